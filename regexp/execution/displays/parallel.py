"""The display of cohorts that train at the same time. Readable at 80 columns."""

import math
from collections.abc import Sequence

from rich.markup import escape

from regexp.execution.displays.bars import ProgressBar, open_bar
from regexp.execution.displays.epoch_counter import EpochCounter, count_run_epochs
from regexp.execution.displays.lines import (
    MAX_PROGRESS_LINES,
    format_count,
    format_validation,
    lowest_loss,
    print_header,
)
from regexp.execution.events import CohortDescription, EpochSummary
from regexp.execution.planning import PlannedCohort
from regexp.utils.console import Console


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
        self.counters: dict[int, EpochCounter] = {}  # by the number of the cohort
        self.best: EpochSummary | None = None
        self.ended_runs = self.ended_epochs = 0
        self.bar: ProgressBar | None = None

    def __enter__(self) -> "ParallelDisplay":
        """Start the progress bar on a terminal that can be redrawn."""
        self.bar = open_bar(self.console, "runs", self.run_epochs, with_count=False)
        self._redraw()
        return self

    def __exit__(self, *error: object) -> None:
        """Remove the progress bar."""
        if self.bar is not None:
            self.bar.close()
            self.bar = None

    def add_cohorts(self, cohorts: Sequence[PlannedCohort]) -> None:
        """Count the runs of further cohorts to those that there are."""
        self.num_runs += sum(len(cohort.runs) for cohort in cohorts)
        self.run_epochs += count_run_epochs(cohorts)
        if self.bar is not None:
            self.bar.set_total(self.run_epochs)

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
        self.counters.setdefault(number, EpochCounter(planned)).start_part(cohort)
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
        if self.bar is not None:
            self.bar.show_epoch(number, summary, epochs)
            self._redraw()
        elif self.console.hides_progress:
            return
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
        if self.bar is None:
            return
        counters = self.counters.values()
        ended_runs = self.ended_runs + sum(counter.ended_runs for counter in counters)
        done_epochs = self.ended_epochs + sum(counter.done_epochs for counter in counters)
        training_runs = sum(counter.training_runs for counter in counters)
        best = "" if self.best is None else f", best so far {format_validation(self.best)}"
        description = f"{training_runs} training{best}"
        self.bar.update(done_epochs, description, f"{ended_runs}/{self.num_runs}")
