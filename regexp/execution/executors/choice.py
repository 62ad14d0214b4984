"""The choice of an executor. Imports no torch, unless the runs will train in this process."""

from collections.abc import Sequence

from regexp.execution.executors.executor import Executor
from regexp.execution.forecasting.workload import choose_num_workers
from regexp.runs.directories import PlannedRun


def choose_executor(planned_runs: Sequence[PlannedRun], workers: int | None, only_plans: bool = False) -> Executor:
    """Return what will train these runs: this process, or worker processes.

    Args:
        planned_runs: the runs that have not ended.
        workers: the number of workers that the user asks for; None for as many as the cores, the memory and the work
            allow.
        only_plans: whether nothing will be trained.
    """
    num_workers = choose_num_workers([planned.job.config for planned in planned_runs], workers)
    if num_workers == 1:
        from regexp.execution.executors.in_process import InProcess

        return InProcess()
    from regexp.execution.executors.local_workers import LocalWorkers

    return LocalWorkers(num_workers, is_fixed=workers is not None, only_plans=only_plans)
