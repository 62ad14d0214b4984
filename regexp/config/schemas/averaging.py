"""The schema of averages of the weights."""

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
        "average of the weights that is evaluated and kept in their place",
        choices=("none", "ema", "swa"),
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
