"""The implementation of regexp's Hydra launcher, which trains the jobs of a multirun together."""

from collections.abc import Sequence
from functools import cached_property
from pathlib import Path

from hydra.core.config_loader import ConfigLoader
from hydra.core.utils import JobReturn, JobStatus, setup_globals
from omegaconf import DictConfig

from regexp.config.compose import composer_for_loader
from regexp.config.hydra_config.sweepers import is_search, list_swept_keys, trains_trials
from regexp.config.job import Job
from regexp.config.schema import flatten
from regexp.errors import DIVERGED, RunBusy
from regexp.execution.displays.lines import print_header
from regexp.execution.executors.choice import choose_executor, find_queued
from regexp.execution.launching.job_settings import job_settings
from regexp.execution.launching.objective import Objective, worst_value
from regexp.execution.launching.settings import LauncherSettings
from regexp.execution.terminal import Terminal
from regexp.execution.train import train
from regexp.runs.reserving.plan import plan_runs
from regexp.runs.reserving.run_index import read_run
from regexp.runs.run import Run
from regexp.runs.seed_plan import SeedPlan
from regexp.runs.sweep_record import SweepRecord
from regexp.utils.exit_codes import print_error, record_status
from regexp.utils.processes import typed_command

# A sweeper may launch its jobs in several batches; all of them belong to this sweep.
_sweep = SweepRecord()


def current_sweep() -> SweepRecord:
    """Return the record of the sweep whose batches are launched."""
    return _sweep


def begin_sweep() -> SweepRecord:
    """Begin another sweep within this process, to which the batches that follow belong, and return its record."""
    global _sweep
    _sweep = SweepRecord()
    return _sweep


def launch(
    jobs: Sequence[Sequence[str]],
    first_number: int,
    config: DictConfig,
    loader: ConfigLoader,
    settings: LauncherSettings,
    seed_plan: SeedPlan | None = None,
) -> list[JobReturn]:
    """Train a batch of jobs and return Hydra's result for each, in order.

    Args:
        jobs: the overrides of each job.
        first_number: the number of the first job within the sweep.
        config: the configuration of the sweep.
        loader: Hydra's configuration loader.
        settings: what the sweep was asked to be trained with.
        seed_plan: the plan by which the sweep adds seeds until its verdicts are decided; None: it adds none.

    Raises:
        ConfigError: some jobs are wrong; the message lists all their mistakes.
        SetupError: the executor is not installed.
    """
    setup_globals()
    hydra_overrides = list(config.hydra.overrides.hydra)
    composer = composer_for_loader(loader, config.hydra.job.config_name)
    composed_jobs = composer.compose_jobs([[*hydra_overrides, *overrides] for overrides in jobs])
    reports_itself = trains_trials(config.hydra)
    outputs, terminal = Path(config.hydra.sweep.dir), Terminal(is_brief=reports_itself and not settings.dry_run)
    terminal.console.hides_headers = reports_itself and bool(_sweep.planned_runs)
    if first_number == 0:
        for warning in settings.warnings:
            terminal.console.print_warning(warning)
    _sweep.max_runs, _sweep.workers, _sweep.command = settings.max_runs, settings.workers, typed_command()
    _sweep.executor = settings.executor
    _sweep.swept_keys, _sweep.seed_plan = list_swept_keys(config.hydra), seed_plan
    if settings.dry_run:
        print_forecast(composed_jobs, outputs, terminal, settings.max_runs, settings.workers)
        return [LazyJobReturn(job, first_number + i, None) for i, job in enumerate(composed_jobs)]
    _sweep.workers = settings.choose_workers(config)
    runs: Sequence[Run | None]
    busy: RunBusy | None = None
    try:
        with job_settings(config, outputs):
            runs = train(composed_jobs, outputs, terminal, _sweep)
    except RunBusy as error:
        runs = [read_run(directory) for directory in error.directories]
        if is_search(config.hydra) or seed_plan is not None:
            busy = error
        else:  # the batches that follow are not to wait for other processes
            if str(error):
                print_error(str(error))
            record_status(error.status)
    if any(run is not None and run.status == "diverged" for run in runs) and not reports_itself:
        record_status(DIVERGED)
    results: list[JobReturn] = []
    for number, (job, run) in enumerate(zip(composed_jobs, runs[: len(jobs)], strict=True), first_number):
        value: float | RunBusy
        if busy is not None and (run is None or run.summary is None):
            value = busy
        elif run is None:  # another process has only just begun it
            value = worst_value(flatten(job.config))
        else:
            value = Objective.of(run)
        results.append(LazyJobReturn(job, number, value))
    return results


def print_forecast(
    jobs: Sequence[Job], outputs: Path, terminal: Terminal, max_runs: int | None, workers: int | None
) -> None:
    """Print the memory and time that training these jobs would take, without writing any file.

    Args:
        jobs: the checked configurations.
        outputs: the directory that would hold the runs.
        terminal: where to print.
        max_runs: the largest number of runs in a cohort; None for as many as fit in memory.
        workers: the number of processes that train; None for as many as the cores, the memory and the work allow.
    """
    planned_runs = plan_runs(jobs, outputs, sweep=_sweep, queued=find_queued(_sweep.executor, outputs))
    terminal.print_notes(planned_runs, dry_run=True)
    terminal.print_counts(planned_runs)
    if unfinished := [planned for planned in dict.fromkeys(planned_runs) if planned.is_to_train]:
        with choose_executor(unfinished, workers, _sweep.executor, only_plans=True) as executor:
            cohorts = executor.plan_cohorts(unfinished, max_runs, forecast_costs=True)
            terminal.print_plan(cohorts, executor.num_workers)
        for notes in {str(cohort.data_notes): cohort.data_notes for cohort in cohorts if cohort.data_notes}.values():
            print_header(terminal.console, notes)


class LazyJobReturn(JobReturn):
    """Hydra's result of a job, which copies configurations only when they are asked for: a copy takes 10 ms."""

    def __init__(self, job: Job, number: int, value: float | Exception | None) -> None:
        """Make the result of a job that ended.

        Args:
            job: the job.
            number: its number within the sweep.
            value: its objective; None in a dry run; or the error that who asks for the objective gets.
        """
        status = JobStatus.FAILED if isinstance(value, Exception) else JobStatus.COMPLETED
        super().__init__(list(job.overrides), None, None, str(Path.cwd()), "regexp", status, value)
        # Without values of their own, the configurations are the properties below.
        del self.cfg, self.hydra_cfg
        self._job, self._number = job, number

    @cached_property
    def cfg(self) -> DictConfig:  # type: ignore[override]  # mypy takes a cached property for read-only
        """The configuration that was run."""
        return self._job.composed_config

    @cached_property
    def hydra_cfg(self) -> DictConfig:  # type: ignore[override]
        """Hydra's own configuration, with the number of the job."""
        hydra = self._job.hydra.copy()
        hydra.job.id, hydra.job.num = str(self._number), self._number
        return DictConfig({"hydra": hydra})
