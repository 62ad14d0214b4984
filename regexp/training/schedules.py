"""Learning-rate schedules: the factor on a run's learning rate at each of its optimizer steps.

All but Plateau are pure functions of the step, so that a run resumes from any epoch without a scheduler's state.
They equal the schedules of torch.optim.lr_scheduler. Runs whose options are equal share one function, so that an
optimizer can compute its factors once for all of them.
"""

import math
from bisect import bisect_right
from collections.abc import Callable, Mapping
from functools import cache

Schedule = Callable[[int], float]

WARMUP_START = 0.01
# ReduceLROnPlateau's eps: the learning rate is not lowered by less than this.
SMALLEST_DROP = 1e-8


@cache
def constant() -> Schedule:
    """Return a constant schedule, whose factor is always 1."""
    return lambda step: 1.0


@cache
def cosine(steps: int, warmup_steps: int, final_fraction: float) -> Schedule:
    """Return a linear warm-up followed by half a cosine: LinearLR, then CosineAnnealingLR.

    Loshchilov and Hutter 2017, without restarts.

    Args:
        steps: the step at which `final_fraction` is reached.
        warmup_steps: the number of steps in which the factor rises from 0.01 to 1.
        final_fraction: the last factor.
    """

    def factor(step: int) -> float:
        if step < warmup_steps:
            return WARMUP_START + (1 - WARMUP_START) * step / warmup_steps
        return _anneal(1.0, final_fraction, (step - warmup_steps) / (steps - warmup_steps))

    return factor


@cache
def onecycle(steps: int, pct_start: float, div_factor: float, final_div_factor: float) -> Schedule:
    """Return one cycle up and down: OneCycleLR without its cycle of the momentum (Smith and Topin 2018).

    Args:
        steps: the number of steps of the whole run.
        pct_start: the fraction of the steps in which the factor rises, along half a cosine to 1.
        div_factor: the first factor is 1 / div_factor.
        final_div_factor: the last factor is the first one / final_div_factor, reached along half a cosine.
    """
    peak = pct_start * steps - 1
    first_factor = 1 / div_factor

    def factor(step: int) -> float:
        if step <= peak and peak > 0:
            return _anneal(first_factor, 1.0, step / peak)
        return _anneal(1.0, first_factor / final_div_factor, (step - peak) / (steps - 1 - peak))

    return factor


@cache
def step(steps_per_epoch: int, step_size: int, gamma: float) -> Schedule:
    """Return a drop by `gamma` every `step_size` epochs: StepLR, stepped once an epoch."""
    return lambda steps_done: gamma ** (steps_done // steps_per_epoch // step_size)


@cache
def approach(schedule: Schedule, start: int, steps: int, final_factor: float) -> Schedule:
    """Return a schedule that from step `start` on goes over to a constant factor, along half a cosine: SWALR.

    Izmailov et al. 2018 average weights at a constant learning rate.

    Args:
        schedule: the schedule of the steps before.
        start: the first step of the way over.
        steps: how many steps it takes.
        final_factor: the factor after them.
    """

    def factor(step: int) -> float:
        if step < start:
            return schedule(step)
        return _anneal(schedule(start), final_factor, min(1.0, (step - start) / steps) if steps else 1.0)

    return factor


@cache
def restarts(cycle_ends: tuple[int, ...]) -> Schedule:
    """Return half a cosine from 1 to almost 0 in each of several cycles (Huang et al. 2017, equation 2).

    Within a cycle it is CosineAnnealingLR, as CosineAnnealingWarmRestarts is for cycles of equal length.

    Args:
        cycle_ends: [cycles], the number of steps after which each cycle ends.
    """

    def factor(step: int) -> float:
        cycle = min(bisect_right(cycle_ends, step), len(cycle_ends) - 1)
        start = cycle_ends[cycle - 1] if cycle > 0 else 0
        return _anneal(1.0, 0.0, (step - start) / (cycle_ends[cycle] - start))

    return factor


class Plateau:
    """A schedule that lowers the learning rate after more than `patience` epochs in a row without improvement.

    It equals ReduceLROnPlateau, stepped once an epoch with a score of which lower is better, and multiplies the
    learning rate by `factor`. An improvement is better than the best score by more than the fraction `threshold` of it;
    NaN is none. For `cooldown` epochs after a drop, epochs without
    improvement do not count.

    Attributes:
        lr: the current learning rate.
        best: the best score so far.
        bad_epochs: the number of epochs in a row without improvement.
        cooldown_left: the number of epochs that still do not count.
    """

    def __init__(self, lr: float, factor: float, patience: int, threshold: float, cooldown: int, min_lr: float) -> None:
        """Begin at a learning rate.

        Args:
            lr: the first learning rate.
            factor: the factor of each drop.
            patience: the number of epochs in a row without improvement to tolerate before a drop.
            threshold: the fraction by which a score must be better than the best one to count as an improvement.
            cooldown: the number of epochs after a drop that do not count.
            min_lr: the lowest learning rate.
        """
        self.initial_lr, self.factor, self.min_lr = lr, factor, min_lr
        self.patience, self.threshold, self.cooldown = patience, threshold, cooldown
        self.lr = lr
        self.best = math.inf
        self.bad_epochs = 0
        self.cooldown_left = 0

    def __call__(self, step: int) -> float:
        """Return the factor, which does not depend on the step."""
        return self.lr / self.initial_lr

    def update(self, score: float) -> None:
        """Take an epoch's score, lower is better, and lower the learning rate if it is time to."""
        # An accuracy comes negated, so its threshold has to make the factor larger than 1.
        improvement_factor = 1.0 - self.threshold if self.best > 0 else 1.0 + self.threshold
        if score < self.best * improvement_factor:
            self.best = score
            self.bad_epochs = 0
        else:
            self.bad_epochs += 1
        if self.cooldown_left > 0:
            self.cooldown_left -= 1
            self.bad_epochs = 0
        if self.bad_epochs > self.patience:
            lowered_lr = max(self.lr * self.factor, self.min_lr)
            if self.lr - lowered_lr > SMALLEST_DROP:
                self.lr = lowered_lr
            self.cooldown_left = self.cooldown
            self.bad_epochs = 0

    def state(self) -> dict[str, float]:
        """Return the state of the schedule that a checkpoint stores."""
        names = ("lr", "best", "bad_epochs", "cooldown_left")
        return {name: getattr(self, name) for name in names}

    def load_state(self, state: Mapping[str, float]) -> None:
        """Restore a state that `state` returned."""
        self.lr, self.best = state["lr"], state["best"]
        self.bad_epochs, self.cooldown_left = int(state["bad_epochs"]), int(state["cooldown_left"])


def _anneal(start: float, end: float, fraction: float) -> float:
    """Return the value at a fraction of the way along half a cosine from start to end."""
    return end + (start - end) * (1 + math.cos(math.pi * fraction)) / 2
