"""Learning-rate schedules: the factor on a run's learning rate at each of its optimizer steps.

Each is a pure function of the step, so that a run goes on from any epoch without a scheduler's state. Tested against
torch.optim.lr_scheduler's.
"""

import math
from collections.abc import Callable

Schedule = Callable[[int], float]

WARMUP_START = 0.01


def constant() -> Schedule:
    """1."""
    return lambda step: 1.0


def cosine(steps: int, warmup_steps: int, final_fraction: float) -> Schedule:
    """Linear from 0.01 to 1 over `warmup_steps`, then half a cosine to `final_fraction` at step `steps`.

    LinearLR followed by CosineAnnealingLR (Loshchilov and Hutter 2017, without restarts).
    """

    def factor(step: int) -> float:
        if step < warmup_steps:
            return WARMUP_START + (1 - WARMUP_START) * step / warmup_steps
        return _anneal(1.0, final_fraction, (step - warmup_steps) / (steps - warmup_steps))

    return factor


def onecycle(steps: int, pct_start: float, div_factor: float, final_div_factor: float) -> Schedule:
    """Half a cosine from 1 / div_factor to 1, then another down to 1 / (div_factor * final_div_factor).

    OneCycleLR without its cycle of the momentum (Smith and Topin 2018).
    """
    peak = pct_start * steps - 1
    first = 1 / div_factor

    def factor(step: int) -> float:
        if step <= peak and peak > 0:
            return _anneal(first, 1.0, step / peak)
        return _anneal(1.0, first / final_div_factor, (step - peak) / (steps - 1 - peak))

    return factor


def _anneal(start: float, end: float, share: float) -> float:
    return end + (start - end) * (1 + math.cos(math.pi * share)) / 2
