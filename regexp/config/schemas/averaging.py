"""The schema of averages of the weights, and of the predictions of several weights."""

import math
from dataclasses import dataclass
from typing import ClassVar

from regexp.config.fields import per_run, shared


@dataclass
class AveragingConfig:
    """No averaging, and the key that all averages share.

    Attributes:
        spans_the_run: whether the average of an epoch depends on the number of all epochs.
    """

    spans_the_run: ClassVar[bool] = False

    name: str = shared(
        "none",
        "average of the weights, or of predictions, that is evaluated and kept in their place",
        choices=("none", "ema", "swa", "snapshots"),
        omitted="none",
    )


@dataclass
class EMAConfig(AveragingConfig):
    """Exponential moving average (Polyak and Juditsky 1992)."""

    name: str = shared("ema", "exponential moving average over the steps")
    decay: float = per_run(
        0.999, "weight of the past in the average; smaller in the first steps: (1 + t) / (10 + t)", at_least=0, below=1
    )


@dataclass
class SWAConfig(AveragingConfig):
    """Stochastic weight averaging (Izmailov et al. 2018)."""

    spans_the_run: ClassVar[bool] = True

    name: str = shared("swa", "mean over the last epochs: stochastic weight averaging")
    start: float = per_run(
        0.75,
        "fraction of the epochs after which averaging begins; until then weights are not averaged",
        at_least=0,
        below=1,
    )
    lr: float | None = per_run(
        None, "learning rate while averaging, as torch.optim.swa_utils.SWALR; null: that of the schedule", above=0
    )
    anneal_epochs: int = per_run(5, "number of epochs in which the learning rate goes over to lr", at_least=0)

    def first_epoch(self, epochs: int) -> int:
        """Return the first of a run's epochs, counted from 1, whose weights are averaged."""
        return math.floor(self.start * epochs) + 1


@dataclass
class SnapshotsConfig(AveragingConfig):
    """Snapshot ensembles (Huang et al. 2017)."""

    spans_the_run: ClassVar[bool] = True

    name: str = shared("snapshots", "ensemble of the weights after each of several cycles of the learning rate")
    cycles: int = per_run(
        5, "number of cycles; in each, the learning rate falls from optimizer.lr to about 0", at_least=1
    )
    snapshots: int | None = per_run(
        None, "number of the last snapshots that make up the ensemble; null: all", at_least=1, example=3
    )

    def cycle_ends(self, epochs: int) -> tuple[int, ...]:
        """Return the last epochs of a run's cycles, counted from 1. Cycles have whole epochs, and at least one."""
        cycles = min(self.cycles, epochs)
        return tuple(math.ceil(i * epochs / cycles) for i in range(1, cycles + 1))
