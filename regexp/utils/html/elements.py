"""Texts, tables, bars and pictures in HTML. Their styles are written into each of them, as notebooks want it."""

import base64
from collections.abc import Iterable, Sequence
from html import escape

from regexp.utils.messages import show_bytes

# The colour of what is done, and of what is left.
_DONE, _LEFT = "#1b6ca8", "rgba(128,128,128,.25)"
_TABLE_STYLE = "border-collapse: collapse; font-variant-numeric: tabular-nums; font-size: .92em; margin: .3em 0;"
_CELL_STYLE = "padding: .15em .8em .15em 0; white-space: nowrap; vertical-align: top;"
_HEAD_STYLE = "border-bottom: 1px solid currentColor; font-weight: bold;"


def escape_text(text: str) -> str:
    """Return a text as HTML that shows its characters only."""
    return escape(show_bytes(text))


def make_table(columns: Sequence[str], rows: Iterable[Sequence[str]], is_left: Sequence[bool]) -> str:
    """Return a table.

    Args:
        columns: the names of the columns, in HTML.
        rows: the cells of each row, in HTML.
        is_left: whether each column is aligned at its left.
    """
    lines = [f'<div style="overflow-x: auto;"><table style="{_TABLE_STYLE}">']
    lines += [f"<thead>{_make_row('th', columns, is_left, _HEAD_STYLE)}</thead>"]
    lines += ["<tbody>", *(_make_row("td", row, is_left) for row in rows), "</tbody>", "</table></div>"]
    return "\n".join(lines)


def make_bar(done: float, left_text: str, right_text: str) -> str:
    """Return a progress bar between two texts.

    Args:
        done: the fraction that is done, from 0 to 1.
        left_text: the text at its left.
        right_text: the text at its right.
    """
    width = f"{100 * min(max(done, 0), 1):.1f}%"
    track = "display: inline-block; width: 16em; height: .7em; border-radius: .35em; overflow: hidden;"
    return (
        '<div style="font-variant-numeric: tabular-nums; margin: .3em 0;">'
        f'<span style="margin-right: .8em;">{escape_text(left_text)}</span>'
        f'<span style="{track} background: {_LEFT};">'
        f'<span style="display: block; width: {width}; height: 100%; background: {_DONE};"></span></span>'
        f'<span style="margin-left: .8em;">{escape_text(right_text)}</span></div>'
    )


def make_picture(content: bytes, caption: str) -> str:
    """Return a PNG picture that is a part of the HTML itself."""
    data = base64.b64encode(content).decode()
    return f'<img alt="{escape_text(caption)}" title="{escape_text(caption)}" src="data:image/png;base64,{data}">'


def make_details(summary: str, content: str) -> str:
    """Return HTML that is shown once its summary is clicked."""
    return f'<details style="margin: .3em 0;"><summary>{escape_text(summary)}</summary>{content}</details>'


def make_columns(parts: Iterable[str]) -> str:
    """Return parts of HTML side by side, where they fit."""
    columns = "".join(f"<div>{part}</div>" for part in parts)
    return f'<div style="display: flex; flex-wrap: wrap; gap: .5em 2.5em; align-items: flex-start;">{columns}</div>'


def _make_row(tag: str, cells: Iterable[str], is_left: Sequence[bool], style: str = "") -> str:
    """Return a row of a table.

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
    return f'<tr style="background: none;">{joined_cells}</tr>'
