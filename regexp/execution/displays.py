"""Displays of training: a progress bar on a terminal that can be redrawn, a few plain lines elsewhere.

Everything is readable at 80 columns. This module imports no torch.
"""

import math
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager

from rich.markup import escape
from rich.progress import BarColumn, MofNCompleteColumn, Progress, TaskID, TextColumn, TimeRemainingColumn
from rich.table import Table

from regexp.execution.events import CohortDescription, EpochSummary
from regexp.execution.planning import PlannedCohort
from regexp.utils.console import Console
from regexp.utils.messages import say

# The number of progress lines that a cohort may print where the output is not a terminal that can be redrawn.
MAX_PROGRESS_LINES = 20


class SequentialDisplay:
    """The display of cohorts that train one after the other. Implements events.CohortDisplay."""

    def __init__(self, console: Console) -> None:
        self.console = console
        self.progress: Progress | None = None
        self.task = TaskID(0)
        self.epochs = 0
        self.several_runs = False
        self.best: EpochSummary | None = None

    def print_line(self, message: str) -> None:
        """Print a message on a line of its own."""
        self.console.print(escape(message))

    @contextmanager
    def watch(self, cohort: CohortDescription) -> Iterator[None]:
        """Show a cohort while the body of the `with` statement trains it, and always remove the progress bar after."""
        self.start(cohort)
        try:
            yield
        finally:
            if self.progress is not None:
                self.progress.stop()
                self.progress = None

    def start(self, cohort: CohortDescription) -> None:
        """Print a header on the cohort that is about to train, and start its progress bar."""
        facts = dict(cohort.facts)
        if cohort.num_runs > 1:
            streams = cohort.num_streams
            facts["runs"] = f"{cohort.num_runs} together, {streams} image stream{'s' if streams > 1 else ''}"
        print_header(self.console, facts)
        if cohort.epoch:
            self.print_line(f"resuming after epoch {cohort.epoch}")
        self.epochs, self.several_runs, self.best = cohort.epochs, cohort.num_runs > 1, None
        if self.console.is_terminal and not self.console.quiet:
            self.progress = make_progress("epoch", self.console)
            self.progress.start()
            self.task = self.progress.add_task("", total=self.epochs, completed=cohort.epoch)

    def show_summary(self, summary: EpochSummary) -> None:
        """Show the progress after an epoch."""
        epoch = summary.epoch
        if self.several_runs:
            self.best = lowest_loss([self.best, summary])
            progress = f"{format_count(summary.num_runs, 'run')} training, best so far {format_validation(self.best)}"
        else:
            progress = f"loss {summary.train_loss:.4f}, validation {format_validation(summary)}"
        if self.progress is not None:
            self.progress.update(self.task, completed=epoch, description=progress)
        elif epoch in (1, self.epochs) or epoch % math.ceil(self.epochs / MAX_PROGRESS_LINES) == 0:
            self.print_line(f"epoch {epoch}/{self.epochs}  {progress}")

    def print_interruption(self, epoch: int) -> None:
        """Print after which epoch training was interrupted, and how to resume it."""
        again = say(". Run the same command again to resume.", ". Make the same call again to resume.")
        self.print_line(f"Interrupted after epoch {epoch}{again}")


class ParallelDisplay:
    """The display of cohorts that train at the same time: one progress bar for all, or a few lines for each."""

    def __init__(self, console: Console, num_runs: int, run_epochs: int, num_cohorts: int) -> None:
        """Prepare to show the cohorts of a sweep.

        Args:
            console: where to print.
            num_runs: the number of runs in all cohorts.
            run_epochs: the number of their epochs, summed over the runs.
            num_cohorts: the number of cohorts.
        """
        self.console, self.num_runs, self.run_epochs = console, num_runs, run_epochs
        self.max_lines = max(2, MAX_PROGRESS_LINES // num_cohorts)
        self.headers: set[str] = set()
        self.counters: dict[int, _EpochCounter] = {}  # by the number of the cohort
        self.best: EpochSummary | None = None
        self.ended_runs = self.ended_epochs = 0
        self.progress: Progress | None = None
        self.task = TaskID(0)

    def __enter__(self) -> "ParallelDisplay":
        """Start the progress bar on a terminal that can be redrawn."""
        if self.console.is_terminal and not self.console.quiet:
            self.progress = make_progress("runs", self.console, with_count=False)
            self.progress.start()
            self.task = self.progress.add_task("", total=self.run_epochs, label=f"0/{self.num_runs}")
        return self

    def __exit__(self, *error: object) -> None:
        """Remove the progress bar."""
        if self.progress is not None:
            self.progress.stop()
            self.progress = None

    def print_line(self, message: str) -> None:
        """Print a message on a line of its own."""
        self.console.print(escape(message))

    def start_cohort(self, number: int, planned: PlannedCohort, cohort: CohortDescription) -> None:
        """Print what the header of a cohort adds to those before, and show the cohort from now on.

        Args:
            number: the number of the cohort in the plan.
            planned: the cohort as it was planned.
            cohort: what trains now: all of its runs, or a part, where their checkpoints or the memory part them.
        """
        self.counters.setdefault(number, _EpochCounter(planned)).start_part(cohort)
        if str(cohort.facts) not in self.headers:
            self.headers.add(str(cohort.facts))
            print_header(self.console, cohort.facts)
        if cohort.epoch:
            self.print_line(f"cohort {number}: resuming after epoch {cohort.epoch}")
        self._redraw()

    def show_summary(self, number: int, summary: EpochSummary) -> None:
        """Show the progress after an epoch of a cohort."""
        counter = self.counters[number]
        counter.count_epoch(summary)
        self.best = lowest_loss([self.best, summary])
        epoch, epochs = summary.epoch, counter.part_epochs
        if self.progress is not None:
            self._redraw()
        elif epoch in (1, epochs) or epoch % math.ceil(epochs / self.max_lines) == 0:
            training = f"{format_count(summary.num_runs, 'run')} training"
            best = f"best of all so far {format_validation(self.best)}"
            self.print_line(f"cohort {number}  epoch {epoch}/{epochs}  {training}, {best}")

    def end_part(self, number: int) -> None:
        """Count all runs as ended of a cohort, or of the part of it that was started last."""
        self.counters[number].end_part()
        self._redraw()

    def end_cohort(self, number: int, ended: PlannedCohort) -> None:
        """Count runs of a cohort as ended, with all epochs that they had to go at most, and show it no longer.

        Args:
            number: the number of the cohort.
            ended: the runs. Where others go on in another worker, these start as a cohort anew.
        """
        self.ended_runs += len(ended.runs)
        self.ended_epochs += count_run_epochs([ended])
        self.counters.pop(number, None)
        self._redraw()

    def _redraw(self) -> None:
        if self.progress is None:
            return
        counters = self.counters.values()
        ended_runs = self.ended_runs + sum(counter.ended_runs for counter in counters)
        done_epochs = self.ended_epochs + sum(counter.done_epochs for counter in counters)
        training_runs = sum(counter.training_runs for counter in counters)
        best = "" if self.best is None else f", best so far {format_validation(self.best)}"
        description = f"{training_runs} training{best}"
        label = f"{ended_runs}/{self.num_runs}"
        self.progress.update(self.task, completed=done_epochs, description=description, label=label)


class _EpochCounter:
    """A counter of the runs that have ended, and of the epochs done, in a cohort of the plan.

    Attributes:
        done_epochs: the number of epochs done since the plan was made, summed over the runs. A run that has ended has
            done all epochs that it had to go.
        training_runs: the number of runs that train now.
    """

    def __init__(self, planned: PlannedCohort) -> None:
        """Begin with no epochs done."""
        epochs = [run.job.config.epochs - planned.epochs_done for run in planned.runs]
        self._epochs_to_go = sorted(epochs, reverse=True)  # who has many epochs to go trains longest
        self._epochs_done_before = planned.epochs_done
        self._part: CohortDescription | None = None
        self._ended_with_earlier_parts = 0
        self.done_epochs = self.training_runs = 0

    @property
    def part_epochs(self) -> int:
        """The largest number of epochs of a run in the part that trains now."""
        return 0 if self._part is None else self._part.epochs

    @property
    def ended_runs(self) -> int:
        """The number of runs that have ended."""
        part_runs = 0 if self._part is None else self._part.num_runs
        return self._ended_with_earlier_parts + part_runs - self.training_runs

    def start_part(self, part: CohortDescription) -> None:
        """Count from now on the runs of this part, which may resume after an epoch."""
        self._part = part
        self._count(part.num_runs, part.epoch)

    def count_epoch(self, summary: EpochSummary) -> None:
        """Count an epoch."""
        self._count(summary.num_runs, summary.epoch)

    def end_part(self) -> None:
        """Count all runs of the part as ended."""
        if self._part is not None:
            self._count(0, self._part.epochs)
            self._ended_with_earlier_parts += self._part.num_runs
            self._part = None

    def _count(self, training_runs: int, epoch: int) -> None:
        assert self._part is not None
        self.training_runs = training_runs
        others = len(self._epochs_to_go) - self._ended_with_earlier_parts - self._part.num_runs
        done = epoch - self._epochs_done_before
        to_go = sum(max(0, epochs - done) for epochs in self._epochs_to_go[:training_runs])
        to_go += sum(self._epochs_to_go[training_runs : training_runs + others])  # these have not started yet
        self.done_epochs = max(self.done_epochs, sum(self._epochs_to_go) - to_go)


def count_run_epochs(cohorts: Sequence[PlannedCohort]) -> int:
    """Return the number of epochs that the runs of cohorts have to go at most, summed over the runs."""
    return sum(planned.job.config.epochs - cohort.epochs_done for cohort in cohorts for planned in cohort.runs)


def make_progress(name: str, console: Console, with_count: bool = True) -> Progress:
    """Return a progress bar whose description is at its right.

    Args:
        name: what is counted.
        console: where the bar is shown.
        with_count: whether the count is the number of finished steps; otherwise the field `label` of the task.
    """
    return Progress(
        TextColumn(name),
        MofNCompleteColumn() if with_count else TextColumn("{task.fields[label]}"),
        BarColumn(bar_width=None),
        TextColumn("{task.description}"),
        TimeRemainingColumn(compact=True),
        console=console,
        expand=True,
    )


def print_header(console: Console, facts: Mapping[str, str]) -> None:
    """Print facts, each with its name in bold at the left; a warning among them is given also where none is printed."""
    header = Table.grid(padding=(0, 2, 0, 0))
    header.add_column()
    header.add_column(overflow="fold")  # a path is shown whole
    for name, text in facts.items():
        header.add_row(f"[bold]{name}[/bold]", escape(text))
    console.print(header)
    if "warning" in facts:
        console.warn_if_silent(facts["warning"])


def lowest_loss(summaries: Sequence[EpochSummary | None]) -> EpochSummary:
    """Return the last of the summaries with the lowest validation loss; NaN comes after all numbers."""
    known_summaries = [summary for summary in reversed(summaries) if summary is not None]
    return min(known_summaries, key=lambda summary: (math.isnan(summary.val_loss), summary.val_loss))


def format_validation(summary: EpochSummary) -> str:
    """Return the validation loss and accuracy as text."""
    return f"{summary.val_loss:.4f} ({summary.val_accuracy:.2%})"


def format_count(count: int, noun: str) -> str:
    """Return a count with its noun, in the plural where the count is not 1."""
    return f"{count} {noun}{'' if count == 1 else 's'}"
