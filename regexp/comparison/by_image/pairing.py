"""Pairing of configurations image by image, by the logits that their runs have kept. Imports no torch."""

from collections.abc import Sequence
from dataclasses import dataclass, field

import numpy as np
from numpy.typing import NDArray

from regexp.comparison.by_image.crossed_effects import ImageDifference, analyse_differences
from regexp.comparison.by_image.measures import can_measure, is_mean_over_images, measure_images
from regexp.comparison.rows import Row
from regexp.comparison.statistics import adjust_p_values
from regexp.config.metric_registry import Metric
from regexp.errors import RunError
from regexp.runs.files.kept_logits import PREDICTIONS, SplitLogits, read_logits
from regexp.runs.run import Run
from regexp.runs.run_record import READ_ERRORS, RunRecord, describe_error


@dataclass(frozen=True)
class ImagePairing:
    """The differences of rows to a baseline, paired by seed and by image.

    Attributes:
        differences: the difference of each row, by its place; rows without all of their predictions have none.
        adjusted_p_values: its p-value over seeds and images after Holm's correction, by the row's place.
        lacking: the finished runs without predictions.
        problems: what is wrong with files that cannot be used.
    """

    differences: dict[int, ImageDifference] = field(default_factory=dict)
    adjusted_p_values: dict[int, float] = field(default_factory=dict)
    lacking: list[RunRecord] = field(default_factory=list)
    problems: list[str] = field(default_factory=list)


@dataclass(frozen=True)
class _RowImages:
    """The value of a metric on each test image for the seeds of a row.

    Attributes:
        values: [N], by seed.
        labels: [N].
        fingerprint: that of the data.
        unit: the number of which each value is a whole multiple; None if there is none.
    """

    values: dict[int, NDArray[np.float64]]
    labels: NDArray[np.int64]
    fingerprint: object
    unit: float | None


class LogitReader:
    """A reader of the logits of runs, which counts the runs without any, and notes what is wrong with files.

    Attributes:
        lacking: the runs without predictions.
        problems: what is wrong with files that cannot be used.
    """

    def __init__(self) -> None:
        self.lacking: list[RunRecord] = []
        self.problems: list[str] = []

    def read(self, record: RunRecord) -> SplitLogits | None:
        """Return the logits of a run; None if it has kept none, or if its file is broken."""
        if not (record.directory / PREDICTIONS).exists():
            self.lacking.append(record)
            return None
        try:
            return read_logits(record.directory, Run(record.directory).record)
        except RunError as error:
            self.problems.append(str(error))
        except READ_ERRORS as error:
            self.problems.append(describe_error(error, record.directory / PREDICTIONS))
        return None


def name_image_metric(metric: Metric, records: Sequence[RunRecord]) -> str:
    """Return what a metric of runs measures on the images whose logits they keep, such as "accuracy"; "" if nothing.

    Args:
        metric: the metric of runs, such as test_accuracy.
        records: the runs. Where their test images validate, validation metrics are those of the test images.
    """
    finished = [record for record in records if record.finished]
    prefix = "val_" if finished and all(record.validation == "test" for record in finished) else "test_"
    return metric.name.removeprefix(prefix) if metric.name.startswith(prefix) else ""


def pair_rows(rows: Sequence[Row], baseline: Row, metric: Metric) -> ImagePairing:
    """Pair each row with the baseline by seed and by image.

    Args:
        rows: the rows, the baseline among them.
        baseline: the row that the others are compared with.
        metric: the metric of the differences.
    """
    name = name_image_metric(metric, [record for row in rows for record in row.records])
    if not is_mean_over_images(name):
        return ImagePairing()
    reader = LogitReader()
    images = [_read_row(row, metric.name, name, reader) for row in rows]
    baseline_images = images[next(i for i, row in enumerate(rows) if row is baseline)]
    differences = {}
    for i, (row, row_images) in enumerate(zip(rows, images, strict=True)):
        if row is baseline or row_images is None or baseline_images is None:
            continue
        seeds = [seed for seed in row_images.values if seed in baseline_images.values]
        if seeds and _has_same_images(row_images, baseline_images):
            table = {seed: row_images.values[seed] - baseline_images.values[seed] for seed in seeds}
            differences[i] = analyse_differences(table, _common_unit(row_images, baseline_images))
    p_values = {i: item.p_value for i, item in differences.items() if item.p_value is not None}
    return ImagePairing(differences, adjust_p_values(p_values), reader.lacking, reader.problems)


def _read_row(row: Row, metric: str, name: str, reader: LogitReader) -> _RowImages | None:
    """Return the values of a row on each image; None if a run of its finished seeds has no usable predictions.

    Args:
        row: the row, which may average over several configurations.
        metric: the metric of runs.
        name: what it measures on the images.
        reader: reads the logits.
    """
    values: dict[int, NDArray[np.float64]] = {}
    labels: NDArray[np.int64] | None = None
    is_complete, num_members = True, 1
    for seed in row.scores.get(metric, {}):
        records = [record for record in row.records if record.finished and record.seed == seed]
        member_values = []
        for record in records:
            logits = reader.read(record)
            if logits is None or len(logits.labels) < 2 or not can_measure(name, logits.logits.shape[1]):
                is_complete = False
                continue
            labels = logits.labels if labels is None else labels
            if not np.array_equal(labels, logits.labels):
                return None
            member_values.append(measure_images(name, logits.probabilities, logits.labels))
        if member_values:
            values[seed] = np.mean(member_values, axis=0)
            num_members = len(member_values)
    if labels is None or not is_complete:
        return None
    fingerprint = row.records[0].config.get("data.fingerprint")
    unit = 1 / num_members if name.endswith("accuracy") else None
    return _RowImages(values, labels, fingerprint, unit)


def _has_same_images(row: _RowImages, other: _RowImages) -> bool:
    return row.fingerprint == other.fingerprint and np.array_equal(row.labels, other.labels)


def _common_unit(row: _RowImages, other: _RowImages) -> float | None:
    """Return the number of which the values of both rows are whole multiples."""
    return row.unit if row.unit == other.unit else None
