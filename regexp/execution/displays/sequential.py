"""The display of cohorts that train one after the other. Readable at 80 columns."""

import math
from collections.abc import Iterator
from contextlib import contextmanager

from rich.markup import escape

from regexp.execution.displays.bars import ProgressBar, open_bar
from regexp.execution.displays.lines import (
    MAX_PROGRESS_LINES,
    format_count,
    format_validation,
    lowest_loss,
    print_header,
)
from regexp.execution.events import CohortDescription, EpochSummary
from regexp.utils.console import Console
from regexp.utils.messages import say


class SequentialDisplay:
    """The display of cohorts that train one after the other. Implements events.CohortDisplay."""

    def __init__(self, console: Console) -> None:
        self.console = console
        self.bar: ProgressBar | None = None
        self.cohort = self.epochs = 0
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
            if self.bar is not None:
                self.bar.close()
                self.bar = None

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
        self.cohort += 1
        self.bar = open_bar(self.console, "epoch", self.epochs)
        if self.bar is not None:
            self.bar.update(cohort.epoch, "")

    def show_summary(self, summary: EpochSummary) -> None:
        """Show the progress after an epoch."""
        epoch = summary.epoch
        if self.several_runs:
            self.best = lowest_loss([self.best, summary])
            progress = f"{format_count(summary.num_runs, 'run')} training, best so far {format_validation(self.best)}"
        else:
            progress = f"loss {summary.train_loss:.4f}, validation {format_validation(summary)}"
        if self.bar is not None:
            self.bar.show_epoch(self.cohort, summary, self.epochs)
            self.bar.update(epoch, progress)
        elif self.console.hides_progress:
            return
        elif epoch in (1, self.epochs) or epoch % math.ceil(self.epochs / MAX_PROGRESS_LINES) == 0:
            self.print_line(f"epoch {epoch}/{self.epochs}  {progress}")

    def print_interruption(self, epoch: int) -> None:
        """Print after which epoch training was interrupted, and how to resume it."""
        again = say(". Run the same command again to resume.", ". Make the same call again to resume.")
        self.print_line(f"Interrupted after epoch {epoch}{again}")
