"""Curves of several seeds as one: what plots and TensorBoard's bands show. Imports no torch."""

import statistics
from collections.abc import Sequence

from regexp.rows import Row
from regexp.runs import Run


class Curves:
    """What finished runs have recorded by epoch, read once.

    Attributes:
        problems: of runs whose metrics.csv is missing or not whole; they are left out.
    """

    def __init__(self, rows: Sequence[Row]) -> None:
        self.problems: list[str] = []
        self._metrics = {id(row): self._read(row) for row in rows}

    def _read(self, row: Row) -> list[list[dict[str, float]]]:
        runs = []
        for record in row.records:
            if record.finished:
                try:
                    metrics = Run(record.directory).metrics
                    whole = len(metrics) == record.epoch and all(len(epoch) == len(metrics[0]) for epoch in metrics)
                except (OSError, ValueError, TypeError) as error:
                    self.problems.append(f"no curves of {record.directory}: metrics.csv is broken ({error})")
                    continue
                if whole and metrics:
                    runs.append(metrics)
                else:
                    self.problems.append(f"no curves of {record.directory}: metrics.csv is not whole")
        return runs

    def runs(self, row: Row) -> int:
        """How many runs a row's curves are over."""
        return len(self._metrics[id(row)])

    def of(self, row: Row, column: str) -> list[tuple[float, float]]:
        """Mean and standard deviation by epoch, as long as all runs have it: beyond, the mean would be over others."""
        series = [[epoch[column] for epoch in metrics] for metrics in self._metrics[id(row)]]
        return [
            (statistics.fmean(values), statistics.stdev(values) if len(values) > 1 else 0.0)
            for values in zip(*series, strict=False)
        ]
