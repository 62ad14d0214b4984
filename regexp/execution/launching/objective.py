"""The objective of a run: the value that a searching sweeper optimizes."""

import math
from collections.abc import Mapping
from pathlib import Path
from typing import Any, Self, final

from regexp.config.metric_registry import list_metrics, list_monitors
from regexp.runs.run import Run


@final
class Objective(float):
    """The best value of the monitored metric of a run: a number for sweepers, and the run's directory for us.

    A run without one, such as a run that diverged at once, has the worst possible value. An objective may be sent to
    another process.

    Attributes:
        directory: the directory of the run.
    """

    directory: Path

    def __new__(cls, value: float, directory: Path) -> Self:
        """Make the objective of the run in a directory."""
        objective = super().__new__(cls, value)
        objective.directory = directory
        return objective

    def __reduce__(self) -> tuple[Any, ...]:
        """Return how to make the same objective in another process."""
        return Objective, (float(self), self.directory)

    @classmethod
    def of(cls, run: Run) -> Self:
        """Return the objective of a run that has ended."""
        summary: dict[str, Any] = run.summary or {}
        monitor = run.config["early_stopping.monitor"]
        best_value = (summary.get("best") or {}).get(monitor)
        return cls(worst_value(run.config) if best_value is None else best_value, run.directory.absolute())


def worst_value(options: Mapping[str, Any]) -> float:
    """Return the worst value of the metric that a flat configuration monitors: an accuracy of 0, a loss of inf."""
    metric = list_monitors(list_metrics(options))[options["early_stopping.monitor"]]
    return 0.0 if metric.percent and metric.better > 0 else -metric.better * math.inf
