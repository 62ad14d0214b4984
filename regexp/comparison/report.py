"""A comparison on the terminal. Imports no torch."""

import sys
import textwrap
from collections.abc import Sequence

from rich.markup import escape
from rich.measure import Measurement
from rich.table import Table

from regexp.comparison import export, tables
from regexp.comparison.compare import Comparison
from regexp.comparison.missing_runs import unfinished
from regexp.comparison.notes import brief_notes, left_out, notes
from regexp.comparison.verdicts import headline
from regexp.utils.console import Console


class Report:
    """Prints comparisons, as wide as the terminal; 80 columns where there is none."""

    def __init__(self, console: Console | None = None) -> None:
        self.console = console or Console(highlight=False)
        self.width = self.console.width

    def say(self, line: str) -> None:
        """A line, wrapped between words."""
        self.console.print(escape(line), soft_wrap=False)

    def table(self, table: Table) -> None:
        """A table, as wide as its figures need: a narrower terminal breaks its lines, and none is lost."""
        wide = self.console.options.update(max_width=10_000)
        needed = Measurement.get(self.console, wide, table).minimum
        self.console.width = max(80, self.width, needed)
        self.console.print(table)
        self.console.width = self.width

    def overview(self, comparison: Comparison) -> None:
        """The short table."""
        self.table(tables.terminal(tables.overview(comparison)))
        if (more := tables.beyond(comparison)) is not None:
            self.say(more)
        self.console.print()
        self.notes(brief_notes(comparison))

    def compare(self, comparison: Comparison) -> None:
        """Tables, verdicts and notes."""
        self.say(comparison.collection.title)
        self.say(headline(comparison))
        grids = [
            tables.results(comparison),
            tables.differences(comparison, brief=True),
            *tables.influences(comparison, brief=True),
        ]
        for grid in grids:
            if grid is not None:
                self.console.print()
                self.console.print(f"[bold]{escape(grid.title)}[/bold]")
                self.table(tables.terminal(grid))
        if (more := tables.beyond(comparison)) is not None:
            self.say(more)
        self.console.print()
        self.notes(notes(comparison))

    def notes(self, said: Sequence[str]) -> None:
        """One below the other, each indented after its mark; words, such as paths, stay whole."""
        for note in said:
            lines = textwrap.wrap(note, max(20, self.width - 2), break_long_words=False, break_on_hyphens=False)
            self.console.print(escape("- " + "\n  ".join(lines)), soft_wrap=True)

    def status(self, comparison: Comparison) -> None:
        """What has not finished."""
        self.say(headline(comparison))
        table = Table(box=None, pad_edge=False, show_header=False)
        table.add_column(no_wrap=True)
        table.add_column(overflow="fold")
        for status, name, state in unfinished(comparison):
            table.add_row(status, escape(name + (f"\n{state}" if state else "")))
        if table.row_count:
            self.table(table)
        else:
            self.say("nothing is missing")
        for remark in comparison.collection.remarks:
            self.say(remark)

    def plain(self, comparison: Comparison, form: str) -> None:
        """In another format, as it is; what has no place in a CSV file goes to the standard error."""
        write = {"md": export.as_markdown, "csv": export.as_csv, "json": export.as_json}[form]
        try:
            sys.stdout.write(write(comparison))
            sys.stdout.flush()
        except BrokenPipeError:
            self.console.on_broken_pipe()
        for note in left_out(comparison) if form == "csv" else ():
            self.aside(note)

    def aside(self, line: str) -> None:
        """A line that is no part of the comparison."""
        print(line, file=sys.stderr)
