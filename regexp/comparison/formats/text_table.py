"""A table of formatted cells, and the forms in which it fits a narrow terminal. Imports no torch."""

from collections.abc import Collection as Group
from collections.abc import Iterator, Sequence
from dataclasses import dataclass, replace

from rich.cells import cell_len

from regexp.comparison.key_names import abbreviate_keys, format_label

# So many characters are between the columns of a terminal's table.
COLUMN_GAP = 2
_WORD_COLUMNS = ("verdict", "status", "folder")
# Columns that a narrow terminal names once where all of their cells are equal, and how.
_CONSTANTS = {"seeds": "{} seeds", "best": "best epoch {}", "epochs": "{} epochs"}


@dataclass(frozen=True)
class TextTable:
    """A table of formatted cells, independent of where it is shown.

    Attributes:
        title: what the table shows.
        columns: the columns' names.
        rows: the cells of each row.
        keys: the keys whose values are in the first columns, which bear their short names.
        text_columns: how many of the first columns hold words, which may be wrapped; the others hold figures.
        wraps_last: whether the last column may be wrapped, too.
        baseline_row: the index of the baseline's row; None where the table has no such row.
        best_cells: the row and column of each cell that is the best of its column.
        undistinguished_cells: the row and column of each cell that no test tells from the best of its column.
        remark: what all rows have in common, in words, where the table has no column for it.
    """

    title: str
    columns: list[str]
    rows: list[list[str]]
    keys: tuple[str, ...] = ()
    text_columns: int = 1
    wraps_last: bool = False
    baseline_row: int | None = None
    best_cells: Group[tuple[int, int]] = ()
    undistinguished_cells: Group[tuple[int, int]] = ()
    remark: str = ""

    @property
    def full_widths(self) -> list[int]:
        """The width of each column in a terminal at which nothing in it is wrapped."""
        return [
            max(cell_len(line) for text in texts for line in text.split("\n"))
            for texts in zip(self.columns, *self.rows, strict=True)
        ]

    @property
    def full_width(self) -> int:
        """The width of the table in a terminal at which nothing in it is wrapped."""
        return sum(self.full_widths) + COLUMN_GAP * (len(self.columns) - 1)

    def is_left_aligned(self, column: int) -> bool:
        """Return whether a column holds words rather than figures."""
        return column < self.text_columns or self.columns[column] in _WORD_COLUMNS


def fit_table(table: TextTable, width: int, wraps: bool = True) -> TextTable:
    """Return the fullest form of a table whose lines fit a terminal.

    A narrow terminal gets shorter names of keys, then no columns of constants, and at last one column of labels instead
    of one for each key. Only that last form is wrapped.

    Args:
        table: the table.
        width: the width of the terminal, in characters.
        wraps: whether the table may be wrapped; if not, it gets too wide where nothing else helps.
    """
    form = table
    for form in _narrowing_forms(table):
        if form.full_width <= width:
            return form
    return _merge_keys(form) if wraps and len(form.keys) > 1 else form


def join_lines(cell: str) -> str:
    """Return a cell in one line."""
    return cell.replace("\n", " ")


def _narrowing_forms(table: TextTable) -> Iterator[TextTable]:
    """Yield a table in narrower and narrower forms."""
    yield replace(table, rows=[list(map(join_lines, row)) for row in table.rows])
    if any("\n" in cell for row in table.rows for cell in row):
        yield table
    yield abbreviate_columns(table)
    shortened = drop_constants(table)
    yield shortened
    yield abbreviate_columns(shortened)


def abbreviate_columns(table: TextTable) -> TextTable:
    """Return a table whose columns of keys have the shortest usual names."""
    names = abbreviate_keys(table.keys).values()
    return replace(table, columns=[*names, *table.columns[len(table.keys) :]])


def drop_constants(table: TextTable) -> TextTable:
    """Drop the columns of constants whose cells are all equal, and name their values in the remark instead."""
    constants = {
        i: _CONSTANTS[name].format(table.rows[0][i])
        for i, name in enumerate(table.columns)
        if name in _CONSTANTS and len(table.rows) > 1 and {row[i] for row in table.rows} == {table.rows[0][i]}
        if table.rows[0][i].isdigit()
    }
    if not constants:
        return table
    kept_columns = [i for i in range(len(table.columns)) if i not in constants]
    return replace(select_columns(table, kept_columns), remark=f"every row: {', '.join(constants.values())}")


def select_columns(table: TextTable, columns: Sequence[int]) -> TextTable:
    """Return a table with some of its columns.

    Args:
        table: the table.
        columns: the indices of the columns, among them all that name rows.
    """
    positions = {column: position for position, column in enumerate(columns)}
    names, *rows = ([cells[i] for i in columns] for cells in (table.columns, *table.rows))
    best_cells, undistinguished_cells = (
        [(i, positions[column]) for i, column in cells if column in positions]
        for cells in (table.best_cells, table.undistinguished_cells)
    )
    return replace(table, columns=names, rows=rows, best_cells=best_cells, undistinguished_cells=undistinguished_cells)


def _merge_keys(table: TextTable) -> TextTable:
    """Put the columns of keys together into one of labels such as "norm=batch dropout=0.5"."""
    count = len(table.keys)
    rows = [[format_label(dict(zip(table.keys, row[:count], strict=True))), *row[count:]] for row in table.rows]
    columns = ["configuration", *table.columns[count:]]
    merged = replace(table, columns=columns, rows=rows, keys=(), text_columns=1)
    return replace(merged, best_cells=(), undistinguished_cells=())  # only a terminal's table, which marks none
