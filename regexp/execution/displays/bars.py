"""Progress bars: of a terminal that can be redrawn, or of a notebook."""

import math
import time
from typing import Protocol, final

from rich.progress import BarColumn, MofNCompleteColumn, Progress, TextColumn, TimeRemainingColumn

from regexp.execution.displays.page import Page, PageConsole
from regexp.execution.events import EpochSummary
from regexp.utils.console import Console
from regexp.utils.html.charts import draw_curves
from regexp.utils.html.elements import make_bar, make_columns, make_table

# The most cohorts that a notebook's table lists.
MAX_COHORTS = 12


class ProgressBar(Protocol):
    """The progress of training, which is redrawn."""

    def update(self, done: int, description: str, label: str = "") -> None:
        """Show how much is done.

        Args:
            done: the number of steps that are done.
            description: what is happening.
            label: the count to show in place of the steps.
        """
        ...

    def set_total(self, total: int) -> None:
        """Change the number of steps."""
        ...

    def show_epoch(self, cohort: int, summary: EpochSummary, epochs: int) -> None:
        """Show an epoch of a cohort, where there is room for more than a line.

        Args:
            cohort: the number of the cohort.
            summary: its epoch.
            epochs: the largest number of epochs of a run in it.
        """
        ...

    def close(self) -> None:
        """Redraw the bar no longer."""
        ...


def open_bar(console: Console, name: str, total: int, with_count: bool = True) -> ProgressBar | None:
    """Return a progress bar that is shown from now on, or None where the output cannot be redrawn.

    Args:
        console: where the bar is shown.
        name: what is counted.
        total: the number of steps.
        with_count: whether the count is the number of steps; otherwise it is the label.
    """
    if isinstance(console, PageConsole):
        return NotebookBar(console.page, name, total)
    if console.is_terminal and not console.quiet:
        return TerminalBar(console, name, total, with_count)
    return None


@final
class TerminalBar:
    """A progress bar on a terminal, whose description is at its right. Implements ProgressBar."""

    def __init__(self, console: Console, name: str, total: int, with_count: bool) -> None:
        self.progress = Progress(
            TextColumn(name),
            MofNCompleteColumn() if with_count else TextColumn("{task.fields[label]}"),
            BarColumn(bar_width=None),
            TextColumn("{task.description}"),
            TimeRemainingColumn(compact=True),
            console=console,
            expand=True,
        )
        self.progress.start()
        self._task = self.progress.add_task("", total=total, label="")

    def update(self, done: int, description: str, label: str = "") -> None:
        """Show how much is done."""
        self.progress.update(self._task, completed=done, description=description, label=label)

    def set_total(self, total: int) -> None:
        """Change the number of steps."""
        self.progress.update(self._task, total=total)

    def show_epoch(self, cohort: int, summary: EpochSummary, epochs: int) -> None:
        """Show nothing more: a terminal has one line."""

    def close(self) -> None:
        """Remove the bar."""
        self.progress.stop()


@final
class NotebookBar:
    """A progress bar in a notebook, with the curves of what trains and a row for each cohort. Implements ProgressBar.

    Attributes:
        page: the output of the cell, which keeps the epochs of all cohorts.
    """

    def __init__(self, page: Page, name: str, total: int) -> None:
        self.page, self._name, self._total = page, name, total
        self._started, self._first_done = time.monotonic(), -1

    def update(self, done: int, description: str, label: str = "") -> None:
        """Show how much is done."""
        if self._first_done < 0:
            self._first_done = done
        count = f"{self._name} {label or f'{done}/{self._total}'}"
        remaining = self._estimate_seconds(done)
        bar = make_bar(done / max(1, self._total), count, f"{description}{remaining}")
        self.page.set_live(f"{bar}\n{self._make_body()}")

    def set_total(self, total: int) -> None:
        """Change the number of steps."""
        self._total = total

    def show_epoch(self, cohort: int, summary: EpochSummary, epochs: int) -> None:
        """Show an epoch of a cohort with the next update."""
        self.page.epochs.setdefault(cohort, []).append(summary)
        self.page.max_epochs[cohort] = epochs

    def close(self) -> None:
        """Leave the last state of the bar, until there are results to take its place."""
        self.page.show()

    def _estimate_seconds(self, done: int) -> str:
        """Return how long the rest takes at the pace so far, as the end of a sentence."""
        steps = done - self._first_done
        if steps <= 0:
            return ""
        seconds = (time.monotonic() - self._started) / steps * (self._total - done)
        return f", at most {math.ceil(seconds)} s to go" if seconds < 120 else f", at most {seconds / 60:.0f} min to go"

    def _make_body(self) -> str:
        """Return the curves, and a table of the cohorts."""
        if not self.page.epochs:
            return ""
        if len(self.page.epochs) == 1:
            [summaries] = self.page.epochs.values()
            curves = {
                "training": [(float(summary.epoch), summary.train_loss) for summary in summaries],
                "validation": [(float(summary.epoch), summary.val_loss) for summary in summaries],
            }
        else:
            curves = {
                f"cohort {number}": [(float(summary.epoch), summary.val_loss) for summary in summaries]
                for number, summaries in self.page.epochs.items()
            }
        title = "loss" if len(self.page.epochs) == 1 else "lowest validation loss"
        return make_columns([draw_curves(curves, "epoch", title), self._make_table()])

    def _make_table(self) -> str:
        columns = ["cohort", "runs", "epoch", "training loss", "validation loss", "accuracy", "best epoch"]
        rows = []
        for number, summaries in list(self.page.epochs.items())[-MAX_COHORTS:]:
            last = summaries[-1]
            best = min(summaries, key=lambda summary: (math.isnan(summary.val_loss), summary.val_loss))
            rows.append(
                [
                    str(number),
                    str(last.num_runs),
                    f"{last.epoch}/{self.page.max_epochs[number]}",
                    f"{last.train_loss:.4f}",
                    f"{last.val_loss:.4f}",
                    f"{last.val_accuracy:.2%}",
                    f"{best.epoch}: {best.val_loss:.4f} ({best.val_accuracy:.2%})",
                ]
            )
        return make_table(columns, rows, [False] * len(columns))
