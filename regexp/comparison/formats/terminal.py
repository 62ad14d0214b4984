"""A comparison printed on the terminal. Imports no torch."""

import sys
import textwrap
from collections.abc import Sequence

from rich.markup import escape
from rich.measure import Measurement
from rich.table import Table

from regexp.comparison.best import describe_best_run
from regexp.comparison.by_image.tables import tabulate_images
from regexp.comparison.compare import Comparison
from regexp.comparison.explaining.measured_images import explain_mixed_data
from regexp.comparison.explaining.notes import explain_exclusions, make_brief_notes, make_notes
from regexp.comparison.explaining.training_time import describe_training_time
from regexp.comparison.formats import tables
from regexp.comparison.formats.rich_tables import to_rich_table
from regexp.comparison.formats.run_table import tabulate_runs
from regexp.comparison.formats.status import describe_groups, tabulate_folders
from regexp.comparison.formats.text_table import TextTable, fit_table
from regexp.comparison.formats.writing import format_comparison
from regexp.comparison.loading import format_count
from regexp.comparison.missing_runs import list_unfinished
from regexp.comparison.verdicts import format_headline
from regexp.utils.console import Console
from regexp.utils.messages import show_bytes

# The most rows of a table on a terminal.
MAX_ROWS = 30


class Report:
    """A printer of comparisons, as wide as the terminal, or 80 columns wide where there is none."""

    def __init__(self, console: Console | None = None) -> None:
        self.console = console or Console(highlight=False)
        self.width = self.console.width

    @property
    def _table_width(self) -> int:
        """The width of tables: that of the terminal, but at least 80."""
        return max(80, self.width)

    def print_comparison(self, comparison: Comparison) -> None:
        """Print the tables, verdicts and notes of a comparison."""
        self.print_line(comparison.collection.title)
        self.print_line(format_headline(comparison))
        mixed_data = list(explain_mixed_data(comparison))
        for line in mixed_data:  # before the tables, which mean little then
            self.print_line(line)
        for table in (
            tables.tabulate_results(comparison),
            tables.tabulate_differences(comparison, brief=True),
            *tabulate_images(comparison),
            *tables.tabulate_effects(comparison, brief=True),
        ):
            if table is not None:
                self.console.print()
                self.console.print(f"[bold]{escape(table.title)}[/bold]")
                self.print_rows(table)
        self._print_hidden_rows(comparison)
        self.console.print()
        self.print_notes([note for note in make_notes(comparison) if note not in mixed_data])
        self._print_best_run(comparison)

    def print_overview(self, comparison: Comparison) -> None:
        """Print the short table at the end of a sweep, and its notes."""
        self.print_rows(tables.tabulate_overview(comparison))
        self._print_hidden_rows(comparison)
        self.console.print()
        self.print_notes(make_brief_notes(comparison))

    def print_status(self, comparison: Comparison) -> None:
        """Print which folders the runs are in, which have not finished, and what to type to train them."""
        self.print_line(format_headline(comparison))
        self.print_rows(tabulate_folders(comparison))
        lines = list(describe_groups(list_unfinished(comparison)))
        self.console.print()
        for line in lines:
            self.console.print(escape(line), soft_wrap=True)
        if not lines:
            self.print_line("nothing is missing")
        for remark in comparison.collection.remarks:
            self.print_line(remark)

    def print_runs(self, comparison: Comparison) -> None:
        """Print a row for each run, with its folder, and the notes on those that have not finished."""
        self.print_line(comparison.collection.title)
        self.print_line(format_headline(comparison))
        self.console.print()
        # A folder stays on the line of its run, so that a line can be copied or searched as a whole.
        table = fit_table(tabulate_runs(comparison), self._table_width, wraps=False)
        if table.remark:
            self.print_line(table.remark)
        self._print_table(to_rich_table(table, max(self._table_width, table.full_width)))
        self.console.print()
        self.print_notes([*describe_training_time(comparison), *explain_exclusions(comparison)])
        self._print_best_run(comparison)

    def print_as(self, file_format: str, comparison: Comparison, single_runs: bool = False) -> None:
        """Print a comparison in a format other than text.

        A CSV file has no place for notes on the runs that are left out: they go to standard error.

        Args:
            file_format: the name of the format.
            comparison: the comparison.
            single_runs: whether to list its runs instead of their means.
        """
        try:
            sys.stdout.write(format_comparison(file_format, comparison, single_runs))
            sys.stdout.flush()
        except BrokenPipeError:
            self.console.on_broken_pipe()
        if file_format == "csv":
            for note in explain_exclusions(comparison):
                self.print_aside(note)

    def print_line(self, line: str) -> None:
        """Print a line, wrapped between words."""
        self.console.print(escape(line), soft_wrap=False)

    def print_aside(self, line: str) -> None:
        """Print a line that is not a part of the comparison, to standard error."""
        print(show_bytes(line), file=sys.stderr)

    def print_rows(self, table: TextTable) -> None:
        """Print the first rows of a table, in a form that fits the terminal."""
        table = fit_table(tables.limit_rows(table, MAX_ROWS), self._table_width)
        if table.remark:
            self.print_line(table.remark)
        self._print_table(to_rich_table(table, self._table_width))

    def _print_table(self, table: Table) -> None:
        """Print a table as wide as its figures need: a narrower terminal breaks its lines, but loses no figure."""
        unlimited = self.console.options.update(max_width=10_000)
        needed_width = Measurement.get(self.console, unlimited, table).minimum
        self.console.width = max(self._table_width, needed_width)
        self.console.print(table)
        self.console.width = self.width

    def _print_hidden_rows(self, comparison: Comparison) -> None:
        hidden = len(comparison.rows) - MAX_ROWS
        if hidden > 0:
            self.print_line(f"and {format_count(hidden, 'more row')} (--format csv shows all)")

    def _print_best_run(self, comparison: Comparison) -> None:
        """Print the folder of the best run, and the line that loads it, so that both can be copied."""
        if (best_run := describe_best_run(comparison.records)) is not None:
            self.console.print()
            for heading, line in zip(("best run", "load it"), best_run, strict=True):
                self.console.print(escape(f"{heading:8}  {line}"), soft_wrap=True)

    def print_notes(self, notes: Sequence[str]) -> None:
        """Print notes as a list. Lines are wrapped between words only, so that paths stay whole."""
        for note in notes:
            lines = textwrap.wrap(note, max(20, self.width - 2), break_long_words=False, break_on_hyphens=False)
            self.console.print(escape("- " + "\n  ".join(lines)), soft_wrap=True)
