"""Metrics of probabilities that runs have kept, as training measures them of logits. Imports no torch."""

from collections.abc import Callable, Mapping

import numpy as np
from numpy.typing import NDArray

from regexp.config.metric_registry import TALLY_METRICS

Floats = NDArray[np.float64]
Labels = NDArray[np.int64]

# The bins of the confidence, and the largest probabilities among which the label is looked for, as in training.
_BINS, _TOP = 15, 5


def _correct(probabilities: Floats, labels: Labels) -> Floats:
    correct: Floats = (probabilities.argmax(1) == labels).astype(np.float64)
    return correct


def _loss(probabilities: Floats, labels: Labels) -> Floats:
    """Return -log p(label) of each image, in nats; at most 708, where p is 0 in double precision."""
    chosen: Floats = probabilities[np.arange(len(labels)), labels]
    return -np.log(np.maximum(chosen, np.finfo(np.float64).tiny))


def _brier(probabilities: Floats, labels: Labels) -> Floats:
    one_hot = np.arange(probabilities.shape[1]) == labels[:, None]
    distances: Floats = ((probabilities - one_hot) ** 2).sum(1)
    return distances


def _in_top(probabilities: Floats, labels: Labels) -> Floats:
    largest = np.argpartition(-probabilities, min(_TOP, probabilities.shape[1]) - 1, axis=1)[:, :_TOP]
    is_among: Floats = (largest == labels[:, None]).any(1).astype(np.float64)
    return is_among


def _class_accuracies(probabilities: Floats, labels: Labels) -> Floats:
    correct = _correct(probabilities, labels)
    return np.array([correct[labels == label].mean() for label in np.unique(labels)])


def _calibration_error(probabilities: Floats, labels: Labels) -> float:
    """Return the mean distance between confidence and accuracy in bins of the confidence (Guo et al. 2017, eq. 3)."""
    bins = np.clip(np.ceil(probabilities.max(1) * _BINS), 1, _BINS).astype(np.int64) - 1
    excess = _correct(probabilities, labels) - probabilities.max(1)
    return float(np.abs(np.bincount(bins, excess, _BINS)).sum() / len(labels))


# The metrics that are means over images: functions of probabilities [N, classes] and labels [N] that return [N].
_PER_IMAGE: Mapping[str, Callable[[Floats, Labels], Floats]] = {
    "accuracy": _correct,
    "loss": _loss,
    "brier": _brier,
    "top5_accuracy": _in_top,
}
# The others, which are one number for all images.
_OF_ALL_IMAGES: Mapping[str, Callable[[Floats, Labels], float]] = {
    "balanced_accuracy": lambda probabilities, labels: float(_class_accuracies(probabilities, labels).mean()),
    "worst_class_accuracy": lambda probabilities, labels: float(_class_accuracies(probabilities, labels).min()),
    "ece": _calibration_error,
}


def is_mean_over_images(name: str) -> bool:
    """Return whether a metric is a mean of one value for each image."""
    return name in _PER_IMAGE


def can_measure(name: str, num_classes: int) -> bool:
    """Return whether a metric can be computed from the probabilities of so many classes."""
    is_metric = name in _PER_IMAGE or name in _OF_ALL_IMAGES
    return is_metric and (name not in TALLY_METRICS or num_classes >= TALLY_METRICS[name].min_classes)


def measure_images(name: str, probabilities: Floats, labels: Labels) -> Floats:
    """Return the value of a metric for each image, [N], whose mean is the metric.

    Args:
        name: a metric that is a mean over images.
        probabilities: [N, classes].
        labels: [N].
    """
    return _PER_IMAGE[name](probabilities, labels)


def measure(name: str, probabilities: Floats, labels: Labels) -> float:
    """Return a metric of all images.

    Args:
        name: a metric for which `can_measure` holds.
        probabilities: [N, classes].
        labels: [N].
    """
    if name in _PER_IMAGE:
        return float(_PER_IMAGE[name](probabilities, labels).mean())
    return _OF_ALL_IMAGES[name](probabilities, labels)
