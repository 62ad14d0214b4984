"""What a job of SLURM does: it claims the runs of its cohort, trains them, and goes back into the queue if it has to.

The command that submits imports this module too, so torch is imported within the functions that need it.
"""

import os
import signal
import sys
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from pathlib import Path

from regexp.config.job import Job
from regexp.config.schema import source_arguments
from regexp.data.sources import locate
from regexp.errors import Interrupted, RunError
from regexp.execution.executors.event_file import EventWriter, TrainingEnd
from regexp.execution.executors.slurm.scheduler import requeue
from regexp.runs.directories import PlannedRun, record_failure
from regexp.runs.identity import Identity, identify
from regexp.runs.reserving.busy_runs import add_busy_runs
from regexp.runs.reserving.claims import Claims
from regexp.runs.reserving.plan import find_unfinished, plan_runs
from regexp.runs.sweep_record import SweepRecord
from regexp.runs.trials import PrunableTrial
from regexp.utils.signals import StopRequest, catch_stop_signals

# The signal that SLURM sends some time before it takes the machine away (sbatch --signal).
PREEMPTION_SIGNAL = "USR1"


@dataclass(frozen=True)
class QueuedRun:
    """A run that a job trains.

    Attributes:
        job: its checked configuration.
        identity: its identity when it was submitted.
        shows_stream: whether the picture of its augmentation goes into TensorBoard.
        trial: the trial of a search that it belongs to, if that may be pruned; None for other runs.
    """

    job: Job
    identity: Identity
    shows_stream: bool
    trial: PrunableTrial | None


@dataclass(frozen=True)
class CohortTask:
    """The task of a job: to train a cohort. submitit stores it, and the job calls it, also after it was requeued.

    Attributes:
        runs: the runs.
        outputs: the directory that holds outputs/NAME.
        forced: what run.json records of the command if it trains runs anew.
        max_runs: the largest number of runs in a cohort; None for as many as fit in memory.
        events: the file to which the job writes its progress.
    """

    runs: Sequence[QueuedRun]
    outputs: Path
    forced: Mapping[str, str]
    max_runs: int | None
    events: Path

    def __call__(self) -> None:
        """Train the cohort in a job of SLURM, and end the process if a signal asked for it."""
        os.environ.setdefault("OMP_NUM_THREADS", os.environ.get("SLURM_CPUS_PER_TASK", "1"))
        job_id = job_id_of(os.environ)
        writer = EventWriter(self.events)
        number = self.train(writer)
        if number == getattr(signal, f"SIG{PREEMPTION_SIGNAL}", None):
            writer.print_line(f"Job {job_id} goes back into the queue, and goes on from its checkpoints.")
            requeue(job_id)
        if number:
            sys.exit(128 + number)

    def train(self, writer: EventWriter) -> int:
        """Train what is unfinished of the cohort, and return the signal that asked to stop before the end, or 0."""
        with catch_stop_signals(lambda: writer.print_line("Stopping after this epoch.")) as stop_request:
            signal.pthread_sigmask(signal.SIG_UNBLOCK, [signal.SIGUSR1])  # which waits since the process started
            try:
                errors = self._train(writer, stop_request)
            except Interrupted as error:
                return error.signal
            except Exception as error:  # told where the command waits, which does not read the log
                writer.write_end(TrainingEnd.of([error]))
                raise
        writer.write_end(TrainingEnd.of(errors))
        return 0

    def _train(self, writer: EventWriter, stop_request: StopRequest) -> list[Exception]:
        """Return the errors of the runs that failed, and of those that others train.

        Raises:
            RunError: the code or the data have changed since the job was submitted.
            Interrupted: a signal asked to stop before all runs had ended.
        """
        sources = {key: locate(*key) for key in {source_arguments(run.job.config) for run in self.runs}}
        for run in self.runs:
            identity = identify(run.job.config, sources[source_arguments(run.job.config)].fingerprint)
            if identity != run.identity:
                raise RunError(
                    "the code or the data have changed since this job was submitted, so its runs are not trained; run "
                    "the same command again to submit them anew"
                )
        sweep = SweepRecord()
        sweep.forced = self.forced
        queued_runs = {run.identity: run for run in self.runs}
        with Claims(writer.print_line) as claims:
            planned_runs = [
                replace(
                    planned,
                    shows_stream=queued_runs[planned.identity].shows_stream,
                    trial=queued_runs[planned.identity].trial,
                )
                for planned in plan_runs([run.job for run in self.runs], self.outputs, claims, sweep)
            ]
            unfinished, errors = find_unfinished(planned_runs)
            if unfinished:
                errors += self._train_unfinished(unfinished, writer, stop_request)
        return add_busy_runs(errors, planned_runs)

    def _train_unfinished(
        self, planned_runs: Sequence[PlannedRun], writer: EventWriter, stop_request: StopRequest
    ) -> list[Exception]:
        """Train claimed runs in this process, and return the errors of those that failed."""
        from regexp.execution import execute, grouping

        try:
            cohorts = grouping.group_into_cohorts(planned_runs, self.max_runs)
            return execute.train_cohorts([cohort.runs for cohort in cohorts], writer, stop_request)
        except Exception as error:  # a device or data that do not suit the configuration
            for planned in planned_runs:
                record_failure(planned, error)
            raise


def job_id_of(environment: Mapping[str, str]) -> str:
    """Return the id of the job that runs with these environment variables: "17", or "17_3" in an array."""
    if "SLURM_ARRAY_JOB_ID" in environment:
        return f"{environment['SLURM_ARRAY_JOB_ID']}_{environment['SLURM_ARRAY_TASK_ID']}"
    return environment.get("SLURM_JOB_ID", "")
