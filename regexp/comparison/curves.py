"""Curves of several seeds as one: what plots and TensorBoard's bands show. Imports no torch."""

import csv
import math
from collections.abc import Iterator, Sequence

import numpy as np

from regexp.comparison.rows import Row
from regexp.runs.run import Run
from regexp.config.metrics import COLUMNS

# Of a loss, where a logarithm is taken: a network may be as sure as floating point allows.
LEAST = 1e-12


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
                    whole = len(metrics) == record.last_epoch and all(set(epoch) == set(COLUMNS) for epoch in metrics)
                except (OSError, ValueError, TypeError, KeyError, csv.Error) as error:
                    self.problems.append(f"no curves of {record.directory}: metrics.csv is broken ({str(error)[:100]})")
                    continue
                if whole and metrics:
                    runs.append(metrics)
                else:
                    self.problems.append(f"no curves of {record.directory}: metrics.csv is not whole")
        return runs

    def run_count(self, row: Row) -> int:
        """How many runs a row's curves are over."""
        return len(self._metrics[id(row)])

    def of(self, row: Row, column: str) -> list[tuple[float, float]]:
        """Mean and standard deviation by epoch, as long as all runs have it: beyond, the mean would be over others."""
        return [_spread(values) for values in self._by_epoch(row, column)]

    def logarithmic(self, row: Row, column: str) -> list[tuple[float, float, float]]:
        """Likewise the geometric mean, and it divided by and times the geometric standard deviation."""
        found = [_spread([math.log(max(value, LEAST)) for value in values]) for values in self._by_epoch(row, column)]
        return [(math.exp(mean), math.exp(mean - sd), math.exp(mean + sd)) for mean, sd in found]

    def _by_epoch(self, row: Row, column: str) -> Iterator[tuple[float, ...]]:
        return zip(*([epoch[column] for epoch in metrics] for metrics in self._metrics[id(row)]), strict=False)


def _spread(values: Sequence[float]) -> tuple[float, float]:
    # In numpy, where what is not finite is no error.
    with np.errstate(invalid="ignore"):
        return float(np.mean(values)), float(np.std(values, ddof=1)) if len(values) > 1 else 0.0
