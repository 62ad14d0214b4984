"""The executor that trains in this process, one cohort after the other."""

from collections.abc import Sequence
from contextlib import ExitStack
from typing import Self, final

from regexp.execution import execute, grouping
from regexp.execution.displays.sequential import SequentialDisplay
from regexp.execution.executors.executor import STOPPING, MoreRuns
from regexp.execution.forecasting import forecast
from regexp.execution.planning import PlannedCohort
from regexp.execution.terminal import Terminal
from regexp.runs.directories import PlannedRun
from regexp.utils.device import cpu_settings_of_training
from regexp.utils.signals import StopRequest


@final
class InProcess:
    """An executor that trains in this process. Implements executors.executor.Executor."""

    num_workers = 1
    stop_notice = STOPPING

    def __init__(self) -> None:
        self._settings = ExitStack()

    def __enter__(self) -> Self:
        """Return the executor."""
        self._settings.enter_context(cpu_settings_of_training())
        return self

    def __exit__(self, *error: object) -> None:
        """Leave torch as it was."""
        self._settings.close()

    def plan_cohorts(
        self, planned_runs: Sequence[PlannedRun], max_runs: int | None, forecast_costs: bool
    ) -> list[PlannedCohort]:
        """Group runs into cohorts, in the order in which they will start."""
        cohorts = grouping.group_into_cohorts(planned_runs, max_runs)
        return forecast.forecast_cohorts(cohorts) if forecast_costs else cohorts

    def train(
        self,
        cohorts: Sequence[PlannedCohort],
        terminal: Terminal,
        stop_request: StopRequest,
        more_runs: MoreRuns | None = None,
    ) -> list[Exception]:
        """Train cohorts one after the other, and return the errors of the runs that failed."""
        display = SequentialDisplay(terminal.console)
        return execute.train_cohorts([cohort.runs for cohort in cohorts], display, stop_request)
