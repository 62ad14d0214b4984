"""The numbers of a run: per epoch, and at its end. Imports no torch."""

import math
from collections.abc import Mapping
from dataclasses import asdict, dataclass
from typing import Any, Self

COLUMNS = ("epoch", "objective", "train_loss", "train_accuracy", "val_loss", "val_accuracy", "lr", "seconds")


@dataclass(frozen=True)
class EpochMetrics:
    """One epoch of one run. Losses are means over samples, in nats; accuracies are fractions.

    Attributes:
        objective: what the optimizer saw: augmented images, dropout, label smoothing; a mean over the epoch, without
            the penalties on the weights (weight_decay, l1).
        train_loss, train_accuracy: in evaluation mode, on a fixed part of the training images as they are.
        val_loss, val_accuracy: likewise on the validation images.
        lr: learning rate of the epoch's last step.
        seconds: the epoch took, with its measuring, for the whole cohort.
        gradient_norm: L2 norm before clipping, l1's part included; a mean over some of the epoch's steps.
    """

    epoch: int
    objective: float
    train_loss: float
    train_accuracy: float
    val_loss: float
    val_accuracy: float
    lr: float
    seconds: float
    gradient_norm: float

    @classmethod
    def of(cls, facts: Mapping[str, Any] | None) -> Self | None:
        """From what `asdict` gave, if there is anything."""
        return None if facts is None else cls(**facts)

    @property
    def gap(self) -> float:
        """val_loss - train_loss, in nats: overfitting and nothing else."""
        return self.val_loss - self.train_loss

    def score(self, monitor: str) -> float:
        """What early stopping compares: lower is better; NaN, which never is, where a loss is not finite."""
        if not self.finite():
            return math.nan
        return -self.val_accuracy if monitor == "val_accuracy" else self.val_loss

    def finite(self) -> bool:
        """Whether no loss is infinite or NaN."""
        return all(math.isfinite(loss) for loss in (self.objective, self.train_loss, self.val_loss))

    def scores(self) -> dict[str, float]:
        """The four figures that a summary quotes."""
        names = ("train_loss", "train_accuracy", "val_loss", "val_accuracy")
        return {name: value for name, value in asdict(self).items() if name in names}


@dataclass(frozen=True)
class TestMetrics:
    """loss in nats, a mean over samples; accuracy a fraction."""

    loss: float
    accuracy: float
