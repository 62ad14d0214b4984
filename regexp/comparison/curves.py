"""Curves averaged over the seeds of a row, for plots and for TensorBoard's bands. Imports no torch."""

import math
from collections.abc import Iterator, Sequence

import numpy as np

from regexp.comparison.rows import Row
from regexp.config.metric_registry import list_columns, list_metrics
from regexp.errors import RunError
from regexp.runs.run import Run

# The smallest loss of which a logarithm is taken: a network can be so sure that its loss rounds to 0.
MIN_LOSS = 1e-12


class Curves:
    """The metrics that finished runs recorded for each epoch, read once.

    Attributes:
        problems: a line for each run that is left out because its metrics.csv is missing, incomplete or broken.
    """

    def __init__(self, rows: Sequence[Row]) -> None:
        self.problems: list[str] = []
        self._runs_by_row = {id(row): self._read_runs(row) for row in rows}

    def _read_runs(self, row: Row) -> list[list[dict[str, float]]]:
        """Return the metrics of each finished run of a row, a record for each epoch."""
        runs = []
        for record in row.records:
            if record.finished:
                try:
                    epochs = Run(record.directory).metrics
                    columns = set(list_columns(list_metrics(record.config)))
                    complete = len(epochs) == record.last_epoch and all(set(epoch) <= columns for epoch in epochs)
                except RunError as error:
                    problem = str(error).removeprefix(f"{record.directory}/")
                    self.problems.append(f"no curves of {record.directory}: {problem}")
                    continue
                if complete and epochs:
                    runs.append(epochs)
                else:
                    self.problems.append(f"no curves of {record.directory}: metrics.csv is incomplete")
        return runs

    def run_count(self, row: Row) -> int:
        """Return the number of runs that the curves of a row are averaged over."""
        return len(self._runs_by_row[id(row)])

    def mean_and_sd(self, row: Row, column: str) -> list[tuple[float, float]]:
        """Return the mean and standard deviation of a column for each epoch.

        The curve ends with the shortest run: beyond it the mean would be over fewer runs.
        """
        return [_mean_and_sd(values) for values in self._values_by_epoch(row, column)]

    def geometric_mean_and_range(self, row: Row, column: str) -> list[tuple[float, float, float]]:
        """Return the geometric mean of a column for each epoch, with the ends of a range around it.

        The range reaches from the mean divided by the geometric standard deviation to the mean times it. The curve ends
        with the shortest run.
        """
        curve = []
        for values in self._values_by_epoch(row, column):
            mean, sd = _mean_and_sd([math.log(max(value, MIN_LOSS)) for value in values])
            curve.append((math.exp(mean), math.exp(mean - sd), math.exp(mean + sd)))
        return curve

    def _values_by_epoch(self, row: Row, column: str) -> Iterator[tuple[float, ...]]:
        """Yield the values of all runs for each epoch that all runs have; none if a run did not record the column."""
        columns = ([epoch[column] for epoch in epochs if column in epoch] for epochs in self._runs_by_row[id(row)])
        return zip(*columns, strict=False)


def _mean_and_sd(values: Sequence[float]) -> tuple[float, float]:
    """Return the mean and sample standard deviation of values; of a single value the latter is 0."""
    # NumPy raises no error for values that are not finite.
    with np.errstate(invalid="ignore"):
        return float(np.mean(values)), float(np.std(values, ddof=1)) if len(values) > 1 else 0.0
