"""Tables and notes in HTML, and pages that hold all that they show. Imports no torch."""

from collections.abc import Iterable, Sequence
from html import escape

from regexp.comparison.formats.text_table import TextTable
from regexp.utils.messages import show_bytes

_STYLE = """
body { font-family: system-ui, sans-serif; line-height: 1.45; max-width: 62rem; margin: 2rem auto; padding: 0 1rem;
  color: #111; background: #fff; }
h1 { font-size: 1.4rem; } h2 { font-size: 1.1rem; margin-top: 2.2rem; }
h1, code, pre { overflow-wrap: anywhere; } pre { white-space: pre-wrap; background: #f3f3f3; padding: .7rem; }
.scroll { overflow-x: auto; } figure { margin: 1.5rem 0; } img { max-width: 100%; } figcaption { color: #555; }
"""
# Written into each table, so that a table alone, as in a notebook, looks like one of a page.
_TABLE_STYLE = "border-collapse: collapse; font-variant-numeric: tabular-nums; font-size: .92em;"
_CELL_STYLE = "padding: .15em .8em .15em 0; white-space: nowrap;"


def escape_text(text: str) -> str:
    """Return a text as HTML that shows its characters only."""
    return escape(show_bytes(text))


def table_to_html(table: TextTable) -> str:
    """Return a table in HTML, without its title.

    The best of a column is bold, and a dagger is at those that no test tells from the best.

    Args:
        table: the table.
    """
    rows = [
        [
            f"<b>{escape_text(cell)}</b>"
            if (i, j) in table.best_cells
            else escape_text(cell) + ("<sup>†</sup>" if (i, j) in table.undistinguished_cells else "")
            for j, cell in enumerate(row)
        ]
        for i, row in enumerate(table.rows)
    ]
    is_left = [table.is_left_aligned(j) for j in range(len(table.columns))]
    lines = [f'<div class="scroll"><table style="{_TABLE_STYLE}">', "<thead>"]
    lines += [_make_line("th", map(escape_text, table.columns), is_left, "border-bottom: 1px solid #111;")]
    lines += ["</thead>", "<tbody>", *(_make_line("td", row, is_left) for row in rows), "</tbody>", "</table></div>"]
    return "\n".join(lines)


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


def _make_line(tag: str, cells: Iterable[str], is_left: Sequence[bool], style: str = "") -> str:
    """Return a line of a table.

    Args:
        tag: "th" or "td".
        cells: the cells, in HTML.
        is_left: whether each cell is aligned at its left.
        style: the style of each cell, beside its alignment.
    """
    joined_cells = "".join(
        f'<{tag} style="{_CELL_STYLE}{style} text-align: {"left" if left else "right"};">{cell}</{tag}>'
        for cell, left in zip(cells, is_left, strict=True)
    )
    return f"<tr>{joined_cells}</tr>"
