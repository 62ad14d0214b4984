"""Learning-rate schedules: the factor on a run's learning rate at each of its optimizer steps.

All but Plateau are pure functions of the step, so that a run goes on from any epoch without a scheduler's state.
Tested against torch.optim.lr_scheduler's.
"""

import math
from collections.abc import Callable, Mapping

Schedule = Callable[[int], float]

WARMUP_START = 0.01
# ReduceLROnPlateau's eps: a smaller drop of the learning rate is not made.
SMALLEST_DROP = 1e-8


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


def step(steps_per_epoch: int, step_size: int, gamma: float) -> Schedule:
    """A factor of gamma every `step_size` epochs: StepLR, stepped once an epoch."""
    return lambda done: gamma ** (done // steps_per_epoch // step_size)


class Plateau:
    """Multiply the learning rate by `factor` after more than `patience` epochs in a row without improvement.

    ReduceLROnPlateau, stepped once an epoch with a score of which lower is better. An improvement is better than the
    best by more than the fraction `threshold` of it; NaN is none. For `cooldown` epochs after a drop none is counted.
    """

    def __init__(self, lr: float, factor: float, patience: int, threshold: float, cooldown: int, min_lr: float) -> None:
        """`lr`: at the beginning."""
        self.start, self.factor, self.min_lr = lr, factor, min_lr
        self.patience, self.threshold, self.cooldown = patience, threshold, cooldown
        self.lr, self.best, self.waited, self.cooling = lr, math.inf, 0, 0

    def __call__(self, step: int) -> float:
        """The factor, whatever the step."""
        return self.lr / self.start

    def note(self, score: float) -> None:
        """Take an epoch's score."""
        # Of a loss a fraction below the best is less; of an accuracy, which comes negated, it is more.
        if score < self.best * (1.0 - self.threshold if self.best > 0 else 1.0 + self.threshold):
            self.best, self.waited = score, 0
        else:
            self.waited += 1
        if self.cooling > 0:
            self.cooling, self.waited = self.cooling - 1, 0
        if self.waited > self.patience:
            lowered = max(self.lr * self.factor, self.min_lr)
            if self.lr - lowered > SMALLEST_DROP:
                self.lr = lowered
            self.cooling, self.waited = self.cooldown, 0

    def state(self) -> dict[str, float]:
        """What it remembers, for `restore`."""
        return {"lr": self.lr, "best": self.best, "waited": self.waited, "cooling": self.cooling}

    def restore(self, state: Mapping[str, float]) -> None:
        """Remember what another one did."""
        self.lr, self.best = state["lr"], state["best"]
        self.waited, self.cooling = int(state["waited"]), int(state["cooling"])


def _anneal(start: float, end: float, share: float) -> float:
    return end + (start - end) * (1 + math.cos(math.pi * share)) / 2
