"""Metrics of a run: the functions that the registry of metrics names, and the values of one epoch."""

import math
import numbers
from collections.abc import Mapping
from dataclasses import asdict, dataclass
from typing import Any, Self, final

import torch
from torch import Tensor

from regexp.errors import ConfigError
from regexp.training.losses.cross_entropy import cross_entropy
from regexp.user_code.failures import describe_failure
from regexp.user_code.loading import list_paths, make_function
from regexp.utils.rng import draw_from, random_stream

_PROBES_PER_CLASS = 4  # logits that a metric of the user's own is tried on


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


@final
class UserMetric:
    """A metric of the user's own: a number for all images of a split, which need not be a mean over images.

    Attributes:
        name: its name.
        target: the function or class (see user_code.targets).
    """

    def __init__(self, name: str, target: str, options: Mapping[str, Any], num_classes: int) -> None:
        """Make the metric, and try it on random logits.

        Args:
            name: its name.
            target: a function of logits [N, classes] and labels [N], or a class whose instances are called with these.
            options: the keyword arguments of the class once, or of the function at every call.
            num_classes: the number of classes.

        Raises:
            ConfigError: there are no such parameters, or the result is no number.
        """
        self.name, self.target = name, target
        key = f"metrics.{name}"
        with draw_from(random_stream(0, "probes")):
            self._function = make_function(target, options, ["logits", "labels"], f"{key}.options")
            labels = torch.arange(num_classes).repeat(_PROBES_PER_CLASS)
            logits = torch.randn(len(labels), num_classes)
            try:
                value = self(logits, labels)
            except ConfigError as error:
                raise ConfigError(f"{key}.target={error}") from error
            except Exception as error:  # code that is not ours may raise anything
                raise ConfigError(
                    f"{key}.target={target}: fails for {_describe_inputs(logits)}: "
                    f"{describe_failure(error, list_paths(target))}"
                ) from error
        if math.isnan(value):
            raise ConfigError(f"{key}.target={target}: returns NaN for {_describe_inputs(logits)}")

    def __call__(self, logits: Tensor, labels: Tensor) -> float:
        """Return the metric of one run for logits [N, classes] and labels [N]. Waits for the device.

        Raises:
            ConfigError: the function does not return a number.
        """
        with torch.no_grad(), draw_from(random_stream(0, "evaluation"), logits.device):
            value = self._function(logits, labels)
        if isinstance(value, Tensor) and value.dim() == 0:
            value = value.item()
        if isinstance(value, bool) or not isinstance(value, numbers.Real):
            returned = list(value.shape) if isinstance(value, Tensor) else type(value).__name__
            raise ConfigError(
                f"{self.target}: returns {returned} for {_describe_inputs(logits)}; must return one number for all "
                "images, a float or a tensor of shape []"
            )
        return float(value)


def _describe_inputs(logits: Tensor) -> str:
    return f"logits {list(logits.shape)} and labels [{len(logits)}]"


@dataclass(frozen=True)
class EpochMetrics:
    """The metrics of one run in one epoch. Losses are means over images, in nats; accuracies are fractions.

    Attributes:
        epoch: the number of the epoch, counted from 1.
        objective: the training loss that the optimizer saw, with augmentation, dropout and all terms of the loss, but
            without the penalties on the weights (weight_decay, l1); a mean over the epoch.
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

    def score(self, monitor: str, better: int) -> float:
        """Return the monitored value with its sign chosen so that lower is better.

        It is NaN, which is never better, where a loss is not finite.

        Args:
            monitor: the column of the value.
            better: 1 where larger values are better, -1 where smaller ones are.
        """
        return -better * self.values[monitor] if self.is_finite() else math.nan

    def is_finite(self) -> bool:
        """Return whether no loss is infinite or NaN."""
        losses = (self.objective, self.values["train_loss"], self.values["val_loss"])
        return all(math.isfinite(loss) for loss in losses)

    def row(self) -> dict[str, float]:
        """Return all values by column, those of metrics.csv among them."""
        record = asdict(self)
        return {**record, **record.pop("values")}
