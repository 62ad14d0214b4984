"""A comparison in Markdown. Imports no torch."""

from collections.abc import Sequence

from regexp.comparison.best import describe_best_run
from regexp.comparison.by_image.tables import tabulate_images
from regexp.comparison.compare import Comparison
from regexp.comparison.explaining.notes import make_notes
from regexp.comparison.formats.run_table import tabulate_runs
from regexp.comparison.formats.tables import tabulate_differences, tabulate_effects, tabulate_results
from regexp.comparison.formats.text_table import TextTable, join_lines
from regexp.comparison.verdicts import format_headline
from regexp.utils.messages import show_bytes


def table_to_markdown(table: TextTable) -> str:
    """Return a table in Markdown, below its title."""
    alignments = [":--" if table.is_left_aligned(i) else "--:" for i in range(len(table.columns))]
    lines = [f"**{table.title}**", ""]
    for row in (table.columns, alignments, *table.rows):
        cells = [join_lines(cell).replace("|", "\\|") for cell in row]
        lines.append(f"| {' | '.join(cells)} |")
    return "\n".join(lines)


def to_markdown(comparison: Comparison, pictures: Sequence[tuple[str, str]] = ()) -> str:
    """Return the whole comparison in Markdown.

    Args:
        comparison: the comparison.
        pictures: the caption and the file name of each plot to link to.
    """
    tables = [tabulate_results(comparison), tabulate_differences(comparison)]
    tables += [*tabulate_images(comparison), *tabulate_effects(comparison)]
    parts = [f"# {comparison.collection.title}", f"{format_headline(comparison)}."]
    parts += [table_to_markdown(table) for table in tables if table is not None]
    parts += ["\n".join(f"- {note}" for note in make_notes(comparison))]
    if (best_run := describe_best_run(comparison.records)) is not None:
        description, python_line = best_run
        parts += [f"Best run by validation: {description}", f"```python\n{python_line}\n```"]
    parts += [f"![{caption}]({file})" for caption, file in pictures]
    return show_bytes("\n\n".join(parts) + "\n")


def runs_to_markdown(comparison: Comparison) -> str:
    """Return the single runs of a comparison in Markdown."""
    parts = [f"# {comparison.collection.title}", table_to_markdown(tabulate_runs(comparison))]
    return show_bytes("\n\n".join(parts) + "\n")
