"""Metrics of a run: the functions that the registry of metrics names, and the values of one epoch."""

import math
from collections.abc import Mapping
from dataclasses import asdict, dataclass
from typing import Any, Self

from torch import Tensor

from regexp.config.metric_registry import lower_is_better
from regexp.training.loss import cross_entropy


def summed_cross_entropy(logits: Tensor, labels: Tensor) -> Tensor:
    """Return the sum over the batch of -log p(label), in nats, for each run.

    Args:
        logits: [K, B, classes].
        labels: [K, B].

    Returns:
        [K].
    """
    return cross_entropy(logits, labels).mean(1) * labels.shape[1]


def count_correct(logits: Tensor, labels: Tensor) -> Tensor:
    """Return the number of images whose largest logit is that of their label, for each run.

    Args:
        logits: [K, B, classes].
        labels: [K, B].

    Returns:
        [K], whole numbers.
    """
    return (logits.argmax(-1) == labels).sum(1)


@dataclass(frozen=True)
class EpochMetrics:
    """The metrics of one run in one epoch. Losses are means over images, in nats; accuracies are fractions.

    Attributes:
        epoch: the number of the epoch, counted from 1.
        objective: the training loss that the optimizer saw, with augmentation, dropout and label smoothing, but without
            the penalties on the weights (weight_decay, l1); a mean over the epoch.
        values: every metric on both splits, by column ("train_loss", "val_accuracy", ...), in evaluation mode and
            without label smoothing. Training metrics are measured on a fixed subset of the training images, without
            augmentation.
        lr: the learning rate of the epoch's last step.
        seconds: how long the epoch took, with its evaluation, for the whole cohort.
        gradient_norm: L2 norm before clipping, l1's part included; a mean over some of the epoch's steps.
    """

    epoch: int
    objective: float
    values: Mapping[str, float]
    lr: float
    seconds: float
    gradient_norm: float

    @classmethod
    def from_dict(cls, record: Mapping[str, Any] | None) -> Self | None:
        """Return the metrics in a record that `asdict` made; None for None."""
        return None if record is None else cls(**record)

    @property
    def gap(self) -> float:
        """The gap val_loss - train_loss, in nats: a measure of overfitting alone, since both are measured alike."""
        return self.values["val_loss"] - self.values["train_loss"]

    def score(self, monitor: str) -> float:
        """Return the monitored value with its sign chosen so that lower is better.

        It is NaN, which is never better, where a loss is not finite.
        """
        return lower_is_better(monitor, self.values[monitor]) if self.is_finite() else math.nan

    def is_finite(self) -> bool:
        """Return whether no loss is infinite or NaN."""
        losses = (self.objective, self.values["train_loss"], self.values["val_loss"])
        return all(math.isfinite(loss) for loss in losses)

    def row(self) -> dict[str, float]:
        """Return all values by column, those of metrics.csv among them."""
        record = asdict(self)
        return {**record, **record.pop("values")}
