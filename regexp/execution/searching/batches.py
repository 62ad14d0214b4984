"""Batches of trials: how many train at the same time, and the training of one batch."""

import math
from collections.abc import Callable, Sequence
from pathlib import Path

from hydra.core.utils import JobReturn

from regexp.config.job import Job
from regexp.errors import OutOfMemory, RegexpError, RunBusy, SetupError
from regexp.execution import launcher as cohort_launcher
from regexp.execution.forecasting.workload import choose_num_workers
from regexp.execution.planning import MIN_RUNS
from regexp.runs.reserving.plan import plan_runs
from regexp.runs.run import Run
from regexp.runs.run_record import READ_ERRORS, RunRecord, read_run_record
from regexp.search.settings import SearchSettings

# A sampler that learns gets at least so many batches to learn from; fewer with a pruner, as each batch waits for the
# few trials that it leaves.
_MIN_BATCHES, _MIN_PRUNED_BATCHES = 4, 3
# With a pruner, which soon leaves few of them, this many times as many runs train together, unless others follow where
# a cohort has ended.
_PRUNED_FACTOR = 2

# Launches jobs, given their overrides and the number of the first one.
Launch = Callable[[Sequence[Sequence[str]], int], Sequence[JobReturn]]


def choose_batch_size(settings: SearchSettings, job: Job, workers: int | None, refills: bool) -> int:
    """Return how many trials train at the same time.

    Together they fill a cohort for each worker, with runs enough to be cheap, also when a pruner has left few of them.
    A sampler that learns from trials still gets some batches to learn from.

    Args:
        settings: the settings of the search.
        job: a job of the search.
        workers: the number of workers that the user asks for; None for as many as are worth it.
        refills: whether worker processes get other trials of a pruned search as soon as their cohorts have ended.
    """
    if settings.num_jobs is not None:
        return settings.num_jobs
    num_runs = MIN_RUNS * count_workers(settings, job, settings.num_trials, workers)
    batch_size = _limit_batch_size(settings, num_runs, _MIN_BATCHES)
    # A single worker trains in this process, one batch after the other.
    if settings.prunes and not (refills and count_workers(settings, job, batch_size, workers) > 1):
        return _limit_batch_size(settings, _PRUNED_FACTOR * num_runs, _MIN_PRUNED_BATCHES)
    return batch_size


def _limit_batch_size(settings: SearchSettings, num_runs: int, min_batches: int) -> int:
    """Return how many trials have so many runs, or a part of all trials where the sampler learns from batches."""
    batch_size = math.ceil(num_runs / settings.num_seeds)
    return min(batch_size, math.ceil(settings.num_trials / min_batches)) if settings.learns else batch_size


def count_workers(settings: SearchSettings, job: Job, num_trials: int, workers: int | None) -> int:
    """Return how many workers train so many trials together; arguments as in `choose_batch_size`."""
    return choose_num_workers([job.config] * num_trials * settings.num_seeds, workers)


def train_jobs(jobs: Sequence[Job], outputs: Path, launch: Launch, first_number: int) -> list[RunRecord | None]:
    """Train the runs of jobs, and return their records in order; None where a run has left none.

    A run that fails leaves the others alone. Where it prevents the others of its batch from starting, these are
    launched again without it.

    Args:
        jobs: the jobs. Others may be appended while these train, and train with them.
        outputs: the directory that holds outputs/NAME.
        launch: launches jobs.
        first_number: the number of the first job within the search.

    Raises:
        ConfigError: the settings of the launcher do not allow training, whatever the trial.
        SetupError: the surroundings do not allow it.
        RunBusy: another process trains one of the runs.
    """
    unfinished, error = list(jobs), None
    while True:
        num_launched, error = len(jobs), None
        try:
            for result in launch([job.overrides for job in unfinished], first_number):
                # Hydra's `return_value` would raise an error as well, but print first that the job has failed.
                if isinstance(result._return_value, Exception):
                    raise result._return_value
        except RegexpError as raised:
            is_of_a_run = isinstance(raised, OutOfMemory) or not isinstance(raised, SetupError | RunBusy)
            if not is_of_a_run:
                raise
            error = raised
        unfinished += jobs[num_launched:]
        records = find_records(jobs, outputs)
        still_unfinished = [
            job for job, record in zip(jobs, records, strict=True) if job in unfinished and not has_ended(record)
        ]
        if error is None or not still_unfinished:
            return records
        if len(still_unfinished) == len(unfinished):  # it is not of a run, which would have a record of it
            raise error
        unfinished = still_unfinished


def has_ended(record: RunRecord | None) -> bool:
    """Return whether a run has ended, well or not; None stands for one without a record."""
    return record is not None and record.status not in ("running", "interrupted")


def find_records(jobs: Sequence[Job], outputs: Path) -> list[RunRecord | None]:
    """Return the records of the runs of jobs, in order; None where a run has left none."""
    planned_runs = plan_runs(jobs, outputs, sweep=cohort_launcher.current_sweep())
    return [_read_record(planned.directory) for planned in planned_runs]


def _read_record(directory: Path) -> RunRecord | None:
    try:
        return read_run_record(Run(directory))
    except READ_ERRORS:
        return None
