"""What the seeds of a configuration reach together: the mean of the probabilities of its runs. Imports no torch."""

import math
from collections.abc import Sequence
from dataclasses import dataclass, field

import numpy as np
from numpy.typing import NDArray
from scipy import special

from regexp.comparison.by_image.crossed_effects import compute_images_p_value
from regexp.comparison.by_image.measures import can_measure, measure, measure_images
from regexp.comparison.by_image.pairing import LogitReader
from regexp.comparison.rows import Row
from regexp.comparison.statistics import CONFIDENCE_LEVEL
from regexp.runs.run_record import RunRecord


@dataclass(frozen=True)
class ImageMean:
    """A mean over test images of trained networks, with half the width of its 95 % interval; None of one image."""

    mean: float
    half_width: float | None


@dataclass(frozen=True)
class Ensemble:
    """The runs of a configuration that classify together.

    Attributes:
        num_runs: the number of runs.
        metrics: each metric of the ensemble, by name.
        single_metrics: the mean of the same metric over the runs.
        correct: [N], whether the ensemble classifies each image correctly.
        gain: its accuracy less the mean accuracy of its runs, for these networks.
        labels: [N].
        fingerprint: that of the data.
    """

    num_runs: int
    metrics: dict[str, float]
    single_metrics: dict[str, float]
    correct: NDArray[np.float64]
    gain: ImageMean
    labels: NDArray[np.int64]
    fingerprint: object


@dataclass(frozen=True)
class EnsembleComparison:
    """The ensembles of rows.

    Attributes:
        ensembles: the ensemble of each row, by its place; rows without all of their predictions have none.
        differences: the difference of its accuracy to that of the baseline's ensemble, for these networks, by place.
        p_values: the p-value of that difference over images, McNemar's test, by place.
        lacking: the finished runs without predictions.
        problems: what is wrong with files that cannot be used.
    """

    ensembles: dict[int, Ensemble]
    differences: dict[int, ImageMean] = field(default_factory=dict)
    p_values: dict[int, float] = field(default_factory=dict)
    lacking: list[RunRecord] = field(default_factory=list)
    problems: list[str] = field(default_factory=list)


def compare_ensembles(rows: Sequence[Row], baseline: Row, metric_names: Sequence[str]) -> EnsembleComparison:
    """Return the ensemble of each row, and how it compares with that of the baseline.

    Args:
        rows: the rows, each of one configuration, the baseline among them.
        baseline: the row that the others are compared with.
        metric_names: what is measured beside the accuracy, where that can be done.
    """
    reader = LogitReader()
    ensembles = {
        i: ensemble for i, row in enumerate(rows) if (ensemble := _make_ensemble(row, metric_names, reader)) is not None
    }
    base = ensembles.get(next(i for i, row in enumerate(rows) if row is baseline))
    differences, p_values = {}, {}
    for i, ensemble in ensembles.items():
        is_comparable = base is not None and ensemble is not base and ensemble.fingerprint == base.fingerprint
        if base is not None and is_comparable and np.array_equal(ensemble.labels, base.labels):
            image_differences = ensemble.correct - base.correct
            differences[i] = _average_images(image_differences)
            p_values[i] = compute_images_p_value(image_differences, 1.0)
    return EnsembleComparison(ensembles, differences, p_values, reader.lacking, reader.problems)


def _make_ensemble(row: Row, metric_names: Sequence[str], reader: LogitReader) -> Ensemble | None:
    """Return the ensemble of the finished runs of a row; None if one of them has no usable predictions."""
    total: NDArray[np.float64] | None = None
    labels: NDArray[np.int64] | None = None
    correct_sum: NDArray[np.float64] | None = None
    single_metrics: dict[str, list[float]] = {}
    records = [record for record in row.records if record.finished]
    num_read = 0
    for record in records:
        logits = reader.read(record)
        if logits is None:
            continue
        labels = logits.labels if labels is None else labels
        probabilities = logits.probabilities
        if not np.array_equal(labels, logits.labels) or (total is not None and total.shape != probabilities.shape):
            return None
        correct = measure_images("accuracy", probabilities, labels)
        total = probabilities if total is None else total + probabilities
        correct_sum = correct if correct_sum is None else correct_sum + correct
        for name in ("accuracy", *metric_names):
            if can_measure(name, probabilities.shape[1]):
                single_metrics.setdefault(name, []).append(measure(name, probabilities, labels))
        num_read += 1
    if total is None or labels is None or correct_sum is None or num_read < len(records):
        return None
    mean_probabilities = total / num_read
    correct = measure_images("accuracy", mean_probabilities, labels)
    return Ensemble(
        num_runs=num_read,
        metrics={name: measure(name, mean_probabilities, labels) for name in single_metrics},
        single_metrics={name: math.fsum(values) / num_read for name, values in single_metrics.items()},
        correct=correct,
        gain=_average_images(correct - correct_sum / num_read),
        labels=labels,
        fingerprint=row.records[0].config.get("data.fingerprint"),
    )


def _average_images(values: NDArray[np.float64]) -> ImageMean:
    """Return the mean of the values of images, [N], with half the width of its 95 % interval."""
    num_images = len(values)
    if num_images < 2:
        return ImageMean(float(values.mean()), None)
    t = float(special.stdtrit(num_images - 1, (1 + CONFIDENCE_LEVEL) / 2))
    return ImageMean(float(values.mean()), t * math.sqrt(float(values.var(ddof=1)) / num_images))
