"""The plan of a command: the runs of its jobs, and perhaps more while these train. Imports no torch."""

from collections.abc import Sequence
from dataclasses import dataclass, field
from pathlib import Path

from regexp.config.job import Job
from regexp.execution.executors.choice import find_queued
from regexp.execution.terminal import Terminal
from regexp.runs.directories import PlannedRun
from regexp.runs.identity import hash_configuration
from regexp.runs.reserving.claims import Claims
from regexp.runs.reserving.plan import find_unfinished, plan_runs
from regexp.runs.sweep_record import RecordedChoice, SweepRecord


@dataclass
class GrowingPlan:
    """The runs of a command.

    Attributes:
        outputs: the directory that holds outputs/NAME.
        claims: the claims of this process.
        terminal: where to print what was planned.
        sweep: the record of the sweep that the runs belong to; None for a single run.
        choice: what the sweep of such a run has chosen for it where it trains in a process of its own.
        runs: the runs of all jobs so far, in the order of the jobs.
        errors: the errors of those that cannot be stored, and of those that failed.
    """

    outputs: Path
    claims: Claims
    terminal: Terminal
    sweep: SweepRecord | None = None
    choice: RecordedChoice | None = None
    runs: list[PlannedRun] = field(default_factory=list)
    errors: list[Exception] = field(default_factory=list)

    def add(self, jobs: Sequence[Job]) -> list[PlannedRun]:
        """Plan the runs of jobs, and return those to train, each once and none that trains already.

        Raises:
            DataError: a data set is missing, or cannot be read or downloaded.
            StorageError: the record of the sweep cannot be written.
        """
        jobs = [job for job in jobs if not self._trains(job)]
        queued = {} if self.sweep is None else find_queued(self.sweep.executor, self.outputs)
        runs = plan_runs(jobs, self.outputs, self.claims, self.sweep, self.choice, queued)
        unfinished, problems = find_unfinished(runs)
        self.terminal.print_notes(runs)
        if self.sweep is not None:
            self.sweep.add(runs, self.outputs)
            self.terminal.print_counts(runs)
        self.runs += runs
        self.errors += problems
        return unfinished

    def _trains(self, job: Job) -> bool:
        """Return whether the run of a job was planned before and has not ended."""
        key = (job.config.name, hash_configuration(job.config))
        return any(
            key == (planned.job.config.name, planned.identity.config)
            and not (planned.directory / "summary.json").exists()
            for planned in self.runs
        )

    def add_more(self, num_workers: int) -> list[PlannedRun]:
        """Plan the jobs that follow, until some of their runs are to be trained, and return these.

        Args:
            num_workers: how many cohorts train at the same time.

        Raises:
            DataError: a data set is missing, or cannot be read or downloaded.
            StorageError: the record of the sweep cannot be written.
        """
        if self.sweep is None or self.sweep.more_jobs is None:
            return []
        terminal = self.terminal
        terminal.console.hides_headers = terminal.is_brief
        unfinished: list[PlannedRun] = []
        while not unfinished and not self.errors and (jobs := self.sweep.more_jobs(num_workers, terminal.print_line)):
            unfinished = self.add(jobs)
        return unfinished
