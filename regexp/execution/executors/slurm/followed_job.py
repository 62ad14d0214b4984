"""Jobs that a command follows, and their table. Imports no torch."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field

from rich.markup import escape
from rich.table import Table

from regexp.execution.events import EpochSummary
from regexp.execution.executors.event_file import EventReader
from regexp.execution.executors.slurm.scheduler import JobState
from regexp.execution.executors.slurm.submission import SubmittedJob
from regexp.execution.planning import PlannedCohort

# The number of jobs that are listed one by one.
MAX_LISTED_JOBS = 30


@dataclass(eq=False)
class FollowedJob:
    """A job that the command follows.

    Attributes:
        number: its number, for the display.
        submitted: the job.
        cohort: its runs, as far as this command has asked for them.
        reader: the reader of its progress.
        is_training: whether it has begun a cohort and not ended it, as far as its progress tells.
        gone_since: when it was first missing from the queue; None while it is there.
    """

    number: int
    submitted: SubmittedJob
    cohort: PlannedCohort
    reader: EventReader = field(init=False)
    is_training: bool = False
    gone_since: float | None = None

    def __post_init__(self) -> None:
        """Open the file of its progress."""
        self.reader = EventReader(self.submitted.events)


def tabulate_jobs(jobs: Sequence[FollowedJob], queue: Mapping[str, JobState]) -> Table:
    """Return a table of jobs: their states, and how many of their runs have ended."""
    table = Table(box=None, pad_edge=False)
    table.add_column("job")
    table.add_column("state")
    table.add_column("runs", justify="right")
    table.add_column("ended", justify="right")
    table.add_column("epoch", justify="right")
    table.add_column("")
    for job in jobs[:MAX_LISTED_JOBS]:
        state = queue.get(job.submitted.id, JobState("ENDED", ""))
        runs = job.cohort.runs
        ended = sum((planned.directory / "summary.json").exists() for planned in runs)
        epochs = [event.epoch for event in job.reader.read() if isinstance(event, EpochSummary)]
        epoch = str(epochs[-1]) if epochs else "-"
        table.add_row(
            job.submitted.id, state.name.lower(), str(len(runs)), str(ended), epoch, escape(state.reason.lower())
        )
    if len(jobs) > MAX_LISTED_JOBS:
        table.add_row(f"and {len(jobs) - MAX_LISTED_JOBS} more")
    return table
