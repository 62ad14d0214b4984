"""The choice of an executor. Imports no torch, unless the runs will train in this process."""

from collections.abc import Mapping, Sequence
from pathlib import Path

from regexp.config.executor_registry import ExecutorSettings
from regexp.execution.executors.executor import Executor
from regexp.execution.forecasting.workload import choose_num_workers
from regexp.runs.directories import PlannedRun
from regexp.runs.identity import Identity
from regexp.utils.lazy import load_object


def choose_executor(
    planned_runs: Sequence[PlannedRun],
    workers: int | None,
    settings: ExecutorSettings | None = None,
    only_plans: bool = False,
) -> Executor:
    """Return what will train these runs.

    Args:
        planned_runs: the runs that have not ended.
        workers: the number of cohorts that the user wants to train at the same time; None for as many as are worth it.
        settings: the executor that the user asks for; None for this process, or worker processes.
        only_plans: whether nothing will be trained.
    """
    settings = settings or ExecutorSettings()
    executor: Executor = load_object(settings.entry.target)(planned_runs, settings, workers, only_plans)
    return executor


def choose_local_executor(
    planned_runs: Sequence[PlannedRun], settings: ExecutorSettings, workers: int | None, only_plans: bool
) -> Executor:
    """Return what will train these runs on this machine: this process, or worker processes.

    Args:
        planned_runs: the runs that have not ended.
        settings: the executor that the user asks for.
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


def find_queued(settings: ExecutorSettings, outputs: Path) -> Mapping[tuple[str, Identity], str]:
    """Return the runs for which a queue has a job by now, of an executor whose jobs outlive the command.

    Args:
        settings: the executor.
        outputs: the directory that holds outputs/NAME.

    Returns:
        The job that trains, or will train, a run, in words, by the `name` and the identity of the run.

    Raises:
        SetupError: the queue cannot be asked.
    """
    if not settings.entry.find_queued:
        return {}
    queued: Mapping[tuple[str, Identity], str] = load_object(settings.entry.find_queued)(outputs)
    return queued
