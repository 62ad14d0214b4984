"""The protocol of executors. Imports no torch."""

from collections.abc import Callable, Sequence
from contextlib import AbstractContextManager
from typing import Protocol, Self

from regexp.execution.planning import PlannedCohort
from regexp.execution.terminal import Terminal
from regexp.runs.directories import PlannedRun
from regexp.utils.signals import StopRequest

# The notice of executors that end with the command.
STOPPING = "Stopping after this epoch; interrupt again to stop at once."


# Plans the runs that follow, given how many cohorts train at the same time; returns none where no more follow.
MoreRuns = Callable[[int], Sequence[PlannedRun]]


class Executor(AbstractContextManager["Executor"], Protocol):
    """What trains the cohorts of a sweep. It is used in a `with` statement, at whose end its processes end.

    Attributes:
        num_workers: how many cohorts train at the same time; known once the cohorts are planned.
        stop_notice: what is printed when a signal asks the command to stop.
    """

    num_workers: int
    stop_notice: str

    def __enter__(self) -> Self:
        """Return the executor."""
        ...

    def plan_cohorts(
        self, planned_runs: Sequence[PlannedRun], max_runs: int | None, forecast_costs: bool
    ) -> list[PlannedCohort]:
        """Group runs into cohorts, in the order in which they will start.

        Args:
            planned_runs: the runs to train.
            max_runs: the largest number of runs in a cohort; None for as many as fit in memory.
            forecast_costs: whether to find out what each cohort costs.

        Raises:
            RegexpError: a configuration does not suit its data or its device.
        """
        ...

    def train(
        self,
        cohorts: Sequence[PlannedCohort],
        terminal: Terminal,
        stop_request: StopRequest,
        more_runs: MoreRuns | None = None,
    ) -> list[Exception]:
        """Train cohorts, and return the errors of the runs that failed.

        Args:
            cohorts: the cohorts that `plan_cohorts` returned.
            terminal: shows the progress.
            stop_request: the user's request to stop after the current epoch.
            more_runs: plans what trains next where there is nothing to do while others still train; None where all is
                known. An executor that never asks leaves these runs to its caller.

        Raises:
            Interrupted: the user asked to stop before all runs had ended.
        """
        ...
