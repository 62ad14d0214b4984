"""Tables and notes in HTML, and pages that hold all that they show. Imports no torch."""

from collections.abc import Iterable, Sequence

from regexp.comparison.formats.text_table import TextTable
from regexp.utils.html.elements import escape_text, make_table

_STYLE = """
body { font-family: system-ui, sans-serif; line-height: 1.45; max-width: 62rem; margin: 2rem auto; padding: 0 1rem;
  color: #111; background: #fff; }
h1 { font-size: 1.4rem; } h2 { font-size: 1.1rem; margin-top: 2.2rem; }
h1, code, pre { overflow-wrap: anywhere; } pre { white-space: pre-wrap; background: #f3f3f3; padding: .7rem; }
figure { margin: 1.5rem 0; } img { max-width: 100%; } figcaption { color: #555; }
"""


def table_to_html(table: TextTable) -> str:
    """Return a table in HTML, without its title.

    The best of a column is bold, and a dagger is at those that no test tells from the best.

    Args:
        table: the table.
    """
    rows = [[_mark_cell(table, i, j) for j in range(len(row))] for i, row in enumerate(table.rows)]
    is_left = [table.is_left_aligned(j) for j in range(len(table.columns))]
    return make_table([escape_text(column) for column in table.columns], rows, is_left)


def list_to_html(lines: Iterable[str]) -> str:
    """Return lines as a list in HTML."""
    return "\n".join(["<ul>", *(f"<li>{escape_text(line)}</li>" for line in lines), "</ul>"])


def make_page(title: str, parts: Sequence[str]) -> str:
    """Return a whole page, which refers to nothing outside of it.

    Args:
        title: the title.
        parts: what follows it, in HTML.
    """
    return "\n".join(
        [
            "<!DOCTYPE html>",
            '<html lang="en">',
            '<head><meta charset="utf-8"><meta name="viewport" content="width=device-width">',
            f"<title>{escape_text(title)}</title>",
            f"<style>{_STYLE}</style></head>",
            "<body>",
            f"<h1>{escape_text(title)}</h1>",
            *parts,
            "</body></html>\n",
        ]
    )


def _mark_cell(table: TextTable, row: int, column: int) -> str:
    """Return a cell, bold where it is the best of its column, with a dagger where no test tells it from the best."""
    text = escape_text(table.rows[row][column])
    if table.columns[column] == "verdict":  # the only cells that are sentences
        text = f'<span style="white-space: normal;">{text}</span>'
    if (row, column) in table.best_cells:
        return f"<b>{text}</b>"
    is_undistinguished = (row, column) in table.undistinguished_cells
    return f'{text}<sup style="line-height: 0;">†</sup>' if is_undistinguished else text
