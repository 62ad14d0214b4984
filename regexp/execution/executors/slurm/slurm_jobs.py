"""The executor that submits cohorts to SLURM, and follows its jobs unless it is not to wait. Imports no torch."""

import time
from collections.abc import Iterator, Mapping, Sequence
from pathlib import Path
from typing import Any, Self, final

from regexp.config.executor_registry import ExecutorSettings
from regexp.errors import ConfigError, Interrupted, RunError, RunQueued
from regexp.execution.displays.epoch_counter import count_run_epochs
from regexp.execution.displays.parallel import ParallelDisplay
from regexp.execution.events import CohortDescription, CohortEnd, EpochSummary
from regexp.execution.executors.event_file import EventReader, TrainingEnd
from regexp.execution.executors.executor import MoreRuns
from regexp.execution.executors.shape_grouping import group_by_shape
from regexp.execution.executors.slurm.followed_job import FollowedJob, tabulate_jobs
from regexp.execution.executors.slurm.job import CohortTask, QueuedRun
from regexp.execution.executors.slurm.scheduler import JobState, read_end, read_queue, try_to_read_queue
from regexp.execution.executors.slurm.submission import (
    SubmittedJob,
    events_path,
    make_folder,
    read_jobs,
    record_submission,
)
from regexp.execution.executors.slurm.submitting import count_minutes, submit_tasks
from regexp.execution.planning import PlannedCohort
from regexp.execution.terminal import Terminal
from regexp.runs.directories import PlannedRun, record_failure
from regexp.runs.run import Run
from regexp.utils.messages import first_line
from regexp.utils.next_commands import relative_path
from regexp.utils.signals import StopRequest

# How often the files of jobs are looked at, and how often SLURM is asked for their states, in seconds.
LOOK_SECONDS, ASK_SECONDS = 0.5, 5.0
# SLURM sends the signal of sbatch --signal up to so many seconds earlier than it was asked for.
EARLY_SECONDS = 60
# How long a job may be gone from the queue before it counts as dead: what it wrote last may be seen later elsewhere.
GONE_SECONDS = 30.0


@final
class SlurmJobs:
    """An executor that submits an array of jobs, one for each cohort. Implements executors.executor.Executor.

    Its jobs claim their runs themselves, outlive this command, and are found again by the next one.

    Attributes:
        num_workers: how many jobs may run at the same time.
        options: the options below hydra.launcher.slurm.
        queued_runs: the runs that jobs of an earlier command train, or will train.
        errors: the errors of the runs that have failed.
    """

    stop_notice = "Leaving the jobs to SLURM."

    def __init__(
        self, planned_runs: Sequence[PlannedRun], settings: ExecutorSettings, workers: int | None, only_plans: bool
    ) -> None:
        """Prepare to submit jobs; see executors.choice.choose_executor.

        Raises:
            ConfigError: the jobs would be sent back into the queue as soon as they start.
        """
        self.options: Mapping[str, Any] = settings.options
        grace, seconds = self.options["grace"], 60 * count_minutes(str(self.options["time"]))
        if grace + EARLY_SECONDS >= seconds:
            raise ConfigError(
                f"hydra.launcher.slurm.grace={grace} (seconds) must be more than {EARLY_SECONDS} below the time limit, "
                f"{seconds} seconds with slurm.time={self.options['time']}: SLURM may send its signal that much earlier"
            )
        self.workers, self.num_workers = workers, workers or 1
        self.max_runs: int | None = None
        self.queued_runs: list[PlannedRun] = []
        self.errors: list[Exception] = []

    def __enter__(self) -> Self:
        """Return the executor."""
        return self

    def __exit__(self, *error: object) -> None:
        """Leave all jobs in the queue."""

    def plan_cohorts(
        self, planned_runs: Sequence[PlannedRun], max_runs: int | None, forecast_costs: bool
    ) -> list[PlannedCohort]:
        """Group the runs that no job trains yet into cohorts, without trying them: this machine may lack a GPU."""
        self.max_runs = max_runs
        self.queued_runs = [planned for planned in planned_runs if planned.queued_as]
        new_runs = [planned for planned in planned_runs if not planned.queued_as]
        cohorts = group_by_shape(new_runs, max_runs, self.num_workers)
        self.num_workers = min(self.workers or len(cohorts), max(1, len(cohorts)))
        return cohorts

    def train(
        self,
        cohorts: Sequence[PlannedCohort],
        terminal: Terminal,
        stop_request: StopRequest,
        more_runs: MoreRuns | None = None,
    ) -> list[Exception]:
        """Submit a job for each cohort, follow all jobs if that is asked for, and return the errors of runs.

        Raises:
            SetupError: SLURM refuses the jobs.
            Interrupted: the user asked to stop; the jobs go on.
        """
        planned_runs = [*(planned for cohort in cohorts for planned in cohort.runs), *self.queued_runs]
        outputs = planned_runs[0].directory.parent.parent
        queue = read_queue()
        for line in describe_lost_jobs(outputs, queue, planned_runs):
            terminal.print_line(line)
        new_jobs = self._submit(cohorts, outputs, terminal) if cohorts else []
        jobs = self._find_jobs(new_jobs, cohorts, outputs, queue)
        if self.options["wait"]:
            self._follow(jobs, terminal, stop_request)
            return self.errors
        terminal.console.print(tabulate_jobs(jobs, read_queue()))
        terminal.print_line("The same command shows what has become of them.")
        return [RunQueued(are_new=not self.queued_runs)]

    def _submit(self, cohorts: Sequence[PlannedCohort], outputs: Path, terminal: Terminal) -> list[SubmittedJob]:
        """Submit a job for each cohort, and record them.

        Raises:
            SetupError: SLURM refuses the jobs.
            StorageError: what a job needs cannot be written.
        """
        folder = make_folder(outputs)
        tasks = [
            CohortTask(
                [
                    QueuedRun(planned.job, planned.identity, planned.shows_stream, planned.trial)
                    for planned in cohort.runs
                ],
                outputs.absolute(),
                _read_forced(cohort.runs),
                self.max_runs,
                events_path(folder, number).absolute(),
            )
            for number, cohort in enumerate(cohorts)
        ]
        for cohort in cohorts:
            for planned in cohort.runs:
                if planned.claim is not None:
                    planned.claim.release()  # from here on the jobs claim their runs
        ids = submit_tasks(tasks, folder, self.options, self.num_workers)
        jobs = [
            SubmittedJob(
                job_id, folder, task.events, [(planned.job.config.name, planned.identity) for planned in cohort.runs]
            )
            for job_id, task, cohort in zip(ids, tasks, cohorts, strict=True)
        ]
        record_submission(folder, jobs)
        array = ids[0].partition("_")[0]
        count = "1 job" if len(ids) == 1 else f"{len(ids)} jobs"
        terminal.print_line(f"{count} submitted to SLURM as {array}: squeue --job {array}, scancel {array}")
        terminal.print_line(f"logs  {relative_path(folder)}")
        return jobs

    def _find_jobs(
        self,
        new_jobs: Sequence[SubmittedJob],
        cohorts: Sequence[PlannedCohort],
        outputs: Path,
        queue: Mapping[str, JobState],
    ) -> list[FollowedJob]:
        """Return the new jobs, and those of earlier commands that have runs of this one.

        Args:
            new_jobs: the jobs that this command has submitted.
            cohorts: the cohort of each.
            outputs: the directory that holds outputs/NAME.
            queue: the jobs that had not ended before.
        """
        jobs = list(zip(new_jobs, cohorts, strict=True))
        if self.queued_runs:
            queued = {(planned.job.config.name, planned.identity): planned for planned in self.queued_runs}
            for job in read_jobs(outputs):
                if job.id not in queue:
                    continue
                runs = [queued.pop(run) for run in job.runs if run in queued]
                if runs:
                    jobs.append((job, PlannedCohort(runs)))
        return [FollowedJob(number, job, cohort) for number, (job, cohort) in enumerate(jobs, 1)]

    def _follow(self, jobs: Sequence[FollowedJob], terminal: Terminal, stop_request: StopRequest) -> None:
        """Show the progress of jobs until all have ended.

        Raises:
            Interrupted: the user asked to stop; the jobs go on.
        """
        cohorts = [job.cohort for job in jobs]
        num_runs = sum(len(cohort.runs) for cohort in cohorts)
        pending, asked, queue = list(jobs), time.monotonic(), None
        with ParallelDisplay(terminal.console, num_runs, count_run_epochs(cohorts), len(cohorts)) as display:
            while pending and not stop_request.requested:
                if time.monotonic() - asked > ASK_SECONDS:
                    queue, asked = try_to_read_queue(), time.monotonic()
                pending = [job for job in pending if not self._show_progress(job, display, queue)]
                if pending:
                    time.sleep(LOOK_SECONDS)
        if pending:
            arrays = sorted({job.submitted.id.partition("_")[0] for job in pending})
            terminal.print_line(
                "Interrupted. The jobs go on: the same command follows them, and this ends them: "
                f"scancel {' '.join(arrays)}"
            )
            raise Interrupted(stop_request.signal)

    def _show_progress(self, job: FollowedJob, display: ParallelDisplay, queue: Mapping[str, JobState] | None) -> bool:
        """Show what a job has written since the last time, and return whether it has ended.

        Args:
            job: the job.
            display: shows the progress.
            queue: the jobs that have not ended; None if that was not asked for this time.
        """
        for event in job.reader.read():
            if isinstance(event, CohortDescription):
                if job.is_training:
                    _start_again(job, display)
                job.is_training = True
                display.start_cohort(job.number, job.cohort, event)
            elif isinstance(event, EpochSummary):
                display.show_summary(job.number, event)
            elif isinstance(event, CohortEnd):
                job.is_training = False
                display.end_part(job.number)
            elif isinstance(event, TrainingEnd):
                self.errors += event.make_errors(relative_path(job.submitted.log))
                display.end_cohort(job.number, job.cohort)
                return True
            else:
                display.print_line(f"job {job.submitted.id}: {event}")
        if queue is not None:
            job.gone_since = None if job.submitted.id in queue else job.gone_since or time.monotonic()
        if job.gone_since is None or time.monotonic() - job.gone_since < GONE_SECONDS:
            return False
        self._record_death(job)
        display.end_cohort(job.number, job.cohort)
        return True

    def _record_death(self, job: FollowedJob) -> None:
        """Record for the unfinished runs of a job that it has ended before them."""
        unfinished = [run for run in job.cohort.runs if not (run.directory / "summary.json").exists()]
        if not unfinished:
            return
        state = read_end(job.submitted.id)
        ended = f"ended ({state})" if state else "ended"
        error = RunError(
            f"job {job.submitted.id} of SLURM {ended} before {len(unfinished)} of its runs; its log is "
            f"{relative_path(job.submitted.log)}\nRun the same command again: it goes on from the checkpoints."
        )
        if state != "CANCELLED":
            for planned in unfinished:
                record_failure(planned, error)
        self.errors.append(error)


def _start_again(job: FollowedJob, display: ParallelDisplay) -> None:
    """Count the runs that had ended when a job was requeued; the others go on."""
    ended = [planned for planned in job.cohort.runs if (planned.directory / "summary.json").exists()]
    display.end_cohort(job.number, PlannedCohort(ended))
    job.cohort = PlannedCohort([planned for planned in job.cohort.runs if planned not in ended])


def _read_forced(planned_runs: Sequence[PlannedRun]) -> Mapping[str, str]:
    """Return what run.json of runs records of a command with force=true."""
    for planned in planned_runs:
        if planned.job.config.force:
            return dict(Run(planned.directory).record.get("forced", {}))
    return {}


def describe_lost_jobs(
    outputs: Path, queue: Mapping[str, JobState], planned_runs: Sequence[PlannedRun]
) -> Iterator[str]:
    """Yield what has become of jobs that were submitted before and have ended without finishing runs of this command.

    Args:
        outputs: the directory that holds outputs/NAME.
        queue: the jobs that have not ended.
        planned_runs: the runs that have not finished.
    """
    runs = {(planned.job.config.name, planned.identity) for planned in planned_runs if not planned.queued_as}
    last_jobs = {run: job for job in read_jobs(outputs) if job.id not in queue for run in job.runs if run in runs}
    for job in dict.fromkeys(last_jobs.values()):
        count = sum(last_job is job for last_job in last_jobs.values())
        ends = [event for event in EventReader(job.events).read() if isinstance(event, TrainingEnd)]
        if ends and ends[-1].errors:
            for error in ends[-1].make_errors(relative_path(job.log)):
                yield f"job {job.id}: {first_line(error)}"
        else:
            state = read_end(job.id)
            ended = f"ended ({state.lower()})" if state else "ended"
            runs_text = "1 of its runs" if count == 1 else f"{count} of its runs"
            yield f"job {job.id} {ended} before {runs_text}; its log is {relative_path(job.log)}"
