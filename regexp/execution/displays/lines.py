"""Lines that all displays print: the header of a cohort, and an epoch in words."""

import math
from collections.abc import Mapping, Sequence

from rich.markup import escape
from rich.table import Table

from regexp.execution.displays.page import PageConsole
from regexp.execution.events import EpochSummary
from regexp.utils.console import Console

# The number of progress lines that a cohort may print where the output cannot be redrawn.
MAX_PROGRESS_LINES = 20


def print_header(console: Console, facts: Mapping[str, str]) -> None:
    """Print facts, each with its name in bold at the left; a warning among them is given also where none is printed.

    On a page of a notebook, where all headers stay, a fact that the header before had too is not repeated.
    """
    if console.hides_headers:
        return
    shown_facts = facts
    if isinstance(console, PageConsole):
        shown_facts = {name: text for name, text in facts.items() if console.page.facts.get(name) != text}
        console.page.facts = facts
    header = Table.grid(padding=(0, 2, 0, 0))
    header.add_column(min_width=max(map(len, facts)))
    header.add_column(overflow="fold")  # a path is shown whole
    for name, text in shown_facts.items():
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
