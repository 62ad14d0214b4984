"""Learning-rate schedules against torch.optim.lr_scheduler's, at every step."""

import math
from collections.abc import Callable

import pytest
import torch
from torch.optim import SGD, Optimizer
from torch.optim.lr_scheduler import CosineAnnealingLR, LinearLR, LRScheduler, OneCycleLR, SequentialLR

from regexp.schedules import Schedule, constant, cosine, onecycle

LR = 0.3


def torchs(make: Callable[[Optimizer], LRScheduler], steps: int) -> list[float]:
    """Factors on LR at each step."""
    optimizer = SGD([torch.zeros(1, requires_grad=True)], lr=LR)
    scheduler = make(optimizer)
    factors = []
    for _ in range(steps):
        factors.append(optimizer.param_groups[0]["lr"] / LR)
        optimizer.step()
        scheduler.step()
    return factors


def ours(schedule: Schedule, steps: int) -> list[float]:
    return [schedule(step) for step in range(steps)]


def test_constant_is_one() -> None:
    assert ours(constant(), 5) == [1.0] * 5


@pytest.mark.parametrize("final", [0.0, 0.1, 1.0])
@pytest.mark.parametrize(("steps", "warmup"), [(1, 0), (10, 0), (37, 0), (3, 1), (10, 3), (37, 5), (100, 99)])
def test_cosine_is_linear_warm_up_and_cosine_annealing(steps: int, warmup: int, final: float) -> None:
    def make(optimizer: Optimizer) -> LRScheduler:
        annealing = CosineAnnealingLR(optimizer, steps - warmup, eta_min=final * LR)
        if warmup == 0:
            return annealing
        return SequentialLR(optimizer, [LinearLR(optimizer, 0.01, total_iters=warmup), annealing], [warmup])

    assert ours(cosine(steps, warmup, final), steps) == pytest.approx(torchs(make, steps), rel=1e-9, abs=1e-12)


@pytest.mark.parametrize(("div", "final_div"), [(25.0, 1e4), (2.0, 10.0)])
@pytest.mark.parametrize("share", [0.3, 0.05, 0.77])
@pytest.mark.parametrize("steps", [1, 2, 3, 10, 37, 100])
def test_onecycle_is_torchs(steps: int, share: float, div: float, final_div: float) -> None:
    def make(optimizer: Optimizer) -> LRScheduler:
        return OneCycleLR(
            optimizer,
            LR,
            total_steps=steps,
            pct_start=share,
            div_factor=div,
            final_div_factor=final_div,
            cycle_momentum=False,
        )

    schedule = onecycle(steps, share, div, final_div)
    assert ours(schedule, steps) == pytest.approx(torchs(make, steps), rel=1e-9, abs=1e-12)


@pytest.mark.parametrize("steps", [*range(1, 21), 40, 100])
def test_every_factor_is_finite_and_positive(steps: int) -> None:
    schedules = [cosine(steps, warmup, 0.01) for warmup in (0, 1, steps - 1, steps, 2 * steps)]
    schedules += [onecycle(steps, share, 25.0, 1e4) for share in (0.01, 0.05, 0.1, 0.2, 0.25, 0.3, 0.5, 0.99)]
    for schedule in schedules:
        assert all(math.isfinite(factor) and 0 < factor <= 1 for factor in ours(schedule, steps))
