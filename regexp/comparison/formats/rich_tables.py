"""Tables as rich draws them on a terminal. Imports no torch."""

from collections.abc import Sequence
from typing import Literal

from rich.cells import cell_len
from rich.markup import escape
from rich.table import Table

from regexp.comparison.formats.text_table import COLUMN_GAP, TextTable

# Longer words of a table are broken.
_MAX_WORD = 24


def to_rich_table(table: TextTable, width: int) -> Table:
    """Return a table for rich: columns of words are wrapped, columns of figures are not.

    Args:
        table: the table, in a form that fits (see `fit_table`).
        width: the number of columns that it may take. It takes more where its figures and longest words need more.
    """
    rich_table = Table(box=None, pad_edge=False)
    last_column = len(table.columns) - 1
    text_columns = {
        i for i in range(len(table.columns)) if i < table.text_columns or (table.wraps_last and i == last_column)
    }
    min_widths = []
    for i, (name, full_width) in enumerate(zip(table.columns, table.full_widths, strict=True)):
        wraps = i in text_columns or name == "seeds"  # which also says how other runs ended
        longest_word = max(cell_len(word) for row in (table.columns, *table.rows) for word in ["", *row[i].split()])
        min_widths.append(min(_MAX_WORD, longest_word) if wraps else full_width)
    widths = _share_width(min_widths, table.full_widths, width - COLUMN_GAP * last_column)
    for i, name in enumerate(table.columns):
        justify: Literal["left", "right"] = "left" if table.is_left_aligned(i) else "right"
        rich_table.add_column(escape(name), justify=justify, overflow="fold", width=widths[i])
    for row in table.rows:
        rich_table.add_row(*map(escape, row))
    return rich_table


def _share_width(min_widths: Sequence[int], full_widths: Sequence[int], width: int) -> list[int]:
    """Return the widths of columns, which share what is left above their least widths: the narrowest gets more first.

    rich shares it otherwise, and cuts columns of figures off where its shares do not add up.

    Args:
        min_widths: the least width of each column.
        full_widths: the width at which nothing in a column is wrapped.
        width: the width of all columns together.
    """
    widths = list(min_widths)
    for _ in range(width - sum(widths)):
        growing = [i for i, full_width in enumerate(full_widths) if widths[i] < full_width]
        if not growing:
            break
        widths[min(growing, key=lambda i: widths[i])] += 1
    return widths
