"""Learning-rate schedules: the factor on a run's learning rate at each of its optimizer steps.

All but Plateau are pure functions of the step, so that a run goes on from any epoch without a scheduler's state.
They equal those of torch.optim.lr_scheduler.
"""

import math
from collections.abc import Callable, Mapping

Schedule = Callable[[int], float]

WARMUP_START = 0.01
# ReduceLROnPlateau's eps: a smaller drop of the learning rate is not made.
SMALLEST_DROP = 1e-8


def constant() -> Schedule:
    """Return the schedule that changes nothing."""
    return lambda step: 1.0


def cosine(steps: int, warmup_steps: int, final_fraction: float) -> Schedule:
    """Return a linear warm-up followed by half a cosine: LinearLR, then CosineAnnealingLR.

    Loshchilov and Hutter 2017, without restarts.

    Args:
        steps: the step at which `final_fraction` is reached.
        warmup_steps: how many steps the factor takes from 0.01 to 1.
        final_fraction: the last factor.
    """

    def factor(step: int) -> float:
        if step < warmup_steps:
            return WARMUP_START + (1 - WARMUP_START) * step / warmup_steps
        return _anneal(1.0, final_fraction, (step - warmup_steps) / (steps - warmup_steps))

    return factor


def onecycle(steps: int, pct_start: float, div_factor: float, final_div_factor: float) -> Schedule:
    """Return one cycle up and down: OneCycleLR without its cycle of the momentum (Smith and Topin 2018).

    Args:
        steps: of the whole run.
        pct_start: the fraction of the steps that rise, along half a cosine to 1.
        div_factor: the first factor is 1 / div_factor.
        final_div_factor: the last factor is the first / final_div_factor, reached along half a cosine.
    """
    peak = pct_start * steps - 1
    first = 1 / div_factor

    def factor(step: int) -> float:
        if step <= peak and peak > 0:
            return _anneal(first, 1.0, step / peak)
        return _anneal(1.0, first / final_div_factor, (step - peak) / (steps - 1 - peak))

    return factor


def step(steps_per_epoch: int, step_size: int, gamma: float) -> Schedule:
    """Return a drop by `gamma` every `step_size` epochs: StepLR, stepped once an epoch."""
    return lambda done: gamma ** (done // steps_per_epoch // step_size)


class Plateau:
    """Multiply the learning rate by `factor` after more than `patience` epochs in a row without improvement.

    ReduceLROnPlateau, stepped once an epoch with a score of which lower is better. An improvement is better than the
    best by more than the fraction `threshold` of it; NaN is none. For `cooldown` epochs after a drop, epochs without
    improvement do not count.

    Attributes:
        lr: the learning rate now.
        best: the best score.
        bad_epochs: epochs in a row without improvement.
        cooldown_left: epochs that will not count.
    """

    def __init__(self, lr: float, factor: float, patience: int, threshold: float, cooldown: int, min_lr: float) -> None:
        """Begin at the learning rate `lr`; all others as ReduceLROnPlateau has them."""
        self.initial_lr, self.factor, self.min_lr = lr, factor, min_lr
        self.patience, self.threshold, self.cooldown = patience, threshold, cooldown
        self.lr, self.best, self.bad_epochs, self.cooldown_left = lr, math.inf, 0, 0

    def __call__(self, step: int) -> float:
        """Return the factor, which does not depend on the step."""
        return self.lr / self.initial_lr

    def update(self, score: float) -> None:
        """Take an epoch's score, lower is better, and lower the learning rate if it is time to."""
        # Of a loss a fraction below the best is less; of an accuracy, which comes negated, it is more.
        if score < self.best * (1.0 - self.threshold if self.best > 0 else 1.0 + self.threshold):
            self.best, self.bad_epochs = score, 0
        else:
            self.bad_epochs += 1
        if self.cooldown_left > 0:
            self.cooldown_left, self.bad_epochs = self.cooldown_left - 1, 0
        if self.bad_epochs > self.patience:
            lowered = max(self.lr * self.factor, self.min_lr)
            if self.lr - lowered > SMALLEST_DROP:
                self.lr = lowered
            self.cooldown_left, self.bad_epochs = self.cooldown, 0

    def state(self) -> dict[str, float]:
        """Return what a checkpoint keeps of the schedule."""
        names = ("lr", "best", "bad_epochs", "cooldown_left")
        return {name: getattr(self, name) for name in names}

    def load_state(self, state: Mapping[str, float]) -> None:
        """Go on from where another schedule was, given its `state`."""
        self.lr, self.best = state["lr"], state["best"]
        self.bad_epochs, self.cooldown_left = int(state["bad_epochs"]), int(state["cooldown_left"])


def _anneal(start: float, end: float, fraction: float) -> float:
    """Return the value at a fraction of the way along half a cosine from start to end."""
    return end + (start - end) * (1 + math.cos(math.pi * fraction)) / 2
