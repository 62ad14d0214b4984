"""The columns of a table: which hold numbers and which hold categories, and what is missing in them."""

import re
from collections.abc import Collection, Sequence
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from regexp.data.tables.csv_file import counts_rows
from regexp.data.tables.raw_table import RawTable, suggest_list, table_error
from regexp.utils.messages import list_first

# Cells, in lower case, that stand for a missing value.
MISSING_WORDS = frozenset({"", "?", "na", "n/a", "#n/a", "<na>", "nan", "nat", "null", "none"})
# NaN with a sign or a payload, as C prints it; Python reads the sign, too, and would take the cell for a number.
_NAN = re.compile(r"[+-]?nan(\(\w*\))?")
# The category of missing texts.
MISSING_CATEGORY = ""
# A column with more different texts than this, and than half of the rows, names the rows.
_MIN_NAMES = 20
# Each category is a feature: more of them in a column would fill the memory.
_MAX_CATEGORIES = 1000
# How many columns with missing values a message describes.
_MAX_GAPS = 3
_DECIMAL_COMMA = re.compile(r"[+-]?[\d.]+,\d+")


@dataclass(frozen=True)
class Column:
    """A column of a table.

    Attributes:
        name: its name.
        categories: the texts that occur in it, sorted; None if it holds numbers.
    """

    name: str
    categories: tuple[str, ...] | None


def is_missing_value(cell: str) -> bool:
    """Return whether a cell stands for a missing value."""
    word = cell.lower()
    return word in MISSING_WORDS or _NAN.fullmatch(word) is not None


def type_columns(
    table: RawTable, names: Sequence[str], categorical: Collection[str], missing: str
) -> tuple[list[Column], NDArray[np.float64], list[str]]:
    """Decide what each column holds.

    A column is numeric if all of its cells are numbers, and categorical if at most half of them are. What lies between
    is a mistake. A table's mistakes are reported together.

    Args:
        table: the cells.
        names: the columns to read.
        categorical: the columns of numbers to take for categories.
        missing: "error", or "fill" to accept missing values.

    Returns:
        The columns; their values [N, columns], which are numbers, NaN where one is missing, or places in the list of
        categories; and warnings.

    Raises:
        DataError: columns hold missing values, texts among numbers, infinite numbers, or names of the rows.
    """
    columns, values, warnings = [], [], []
    problems: list[str] = []
    gaps: dict[str, tuple[int, int]] = {}
    for name in names:
        cells = table.columns[name]
        is_missing = np.array([is_missing_value(cell) for cell in cells])
        if missing == "error" and is_missing.any():
            gaps[name] = int(is_missing.sum()), int(is_missing.argmax())
            continue
        may_be_numeric = name not in categorical and name not in table.text_columns
        numbers = _read_numbers(cells, is_missing) if may_be_numeric else None
        if may_be_numeric and (problem := _find_problem(table, name, is_missing, numbers)):
            problems.append(problem)
            continue
        if numbers is not None:
            columns.append(Column(name, None))
            values.append(numbers)
            if counts_rows(cells):
                warnings.append(
                    f"column {name} counts the rows; if it says nothing about them, type "
                    f"{suggest_list('data.drop', [name])}"
                )
            continue
        texts = np.where(is_missing, MISSING_CATEGORY, np.array(cells, np.str_))
        different, codes = np.unique(texts, return_inverse=True)
        categories: list[str] = different.tolist()
        names_rows = len(categories) == len(cells) or len(categories) > max(_MIN_NAMES, len(cells) // 2)
        if names_rows or len(categories) > _MAX_CATEGORIES:
            reason = "so it names the rows" if names_rows else f"and {_MAX_CATEGORIES:,} are the most"
            problems.append(
                f"column {name} holds {len(categories):,} different texts in {len(cells):,} rows, such as "
                f"{categories[0] or categories[-1]!r}, {reason}; type {suggest_list('data.drop', [name])}"
            )
        columns.append(Column(name, tuple(categories)))
        values.append(codes.ravel().astype(np.float64))
    if gaps:
        problems.insert(0, _describe_gaps(table, gaps))
    if problems:
        listed = problems[0] if len(problems) == 1 else f"{len(problems)} problems:{list_first(problems)}"
        raise table_error(table.path, listed)
    return columns, np.stack(values, 1), warnings


def read_numbers(cells: Sequence[str]) -> NDArray[np.float64] | None:
    """Return the numbers in cells [N]; None if some are no numbers."""
    try:
        numbers = np.array([float(cell) for cell in cells])
    except ValueError:
        return None
    return None if any("_" in cell for cell in cells) else numbers  # Python reads 1_000


def _read_numbers(cells: Sequence[str], is_missing: NDArray[np.bool_]) -> NDArray[np.float64] | None:
    """Return the numbers of a column [N], NaN where one is missing [N]; None if it holds texts."""
    numbers = np.full(len(cells), np.nan)
    present_numbers = read_numbers([cell for cell, absent in zip(cells, is_missing, strict=True) if not absent])
    if present_numbers is None:
        return None
    numbers[~is_missing] = present_numbers
    return numbers


def _find_problem(
    table: RawTable, name: str, is_missing: NDArray[np.bool_], numbers: NDArray[np.float64] | None
) -> str | None:
    """Return what is wrong with a column that is not said to hold categories; None if nothing is.

    Args:
        table: the table.
        name: the name of the column.
        is_missing: which of its cells are missing, [N].
        numbers: its numbers [N], NaN where one is missing; None if it holds texts.
    """
    cells = table.columns[name]
    if numbers is not None:
        infinite_rows = np.flatnonzero(np.isinf(numbers)).tolist()
        if not infinite_rows:
            return None
        row = infinite_rows[0]
        return f"column {name}: {table.locate(row)} holds {cells[row]!r}; every number must be finite"
    present_rows: list[int] = np.flatnonzero(~is_missing).tolist()
    text_rows = [i for i in present_rows if read_numbers([cells[i]]) is None]
    comma_rows = [i for i in text_rows if _DECIMAL_COMMA.fullmatch(cells[i])]
    num_numbers = len(present_rows) - len(text_rows)
    if comma_rows and 2 * (num_numbers + len(comma_rows)) > len(present_rows):
        row = comma_rows[0]
        return f"column {name}: {table.locate(row)} holds {cells[row]!r}; write 3.5 for 3,5 and 1000 for 1,000"
    if 2 * num_numbers > len(present_rows):
        row = text_rows[0]
        count = f" ({len(text_rows):,} such cells)" if len(text_rows) > 1 else ""
        return (
            f"column {name}: {table.locate(row)} holds {cells[row]!r}{count}, but {num_numbers:,} other cells are "
            f"numbers; correct it, or type {suggest_list('data.categorical', [name])} to take all of them for "
            f"categories, or {suggest_list('data.drop', [name])}"
        )
    return None


def _describe_gaps(table: RawTable, gaps: dict[str, tuple[int, int]]) -> str:
    """Return the problem of columns with missing values, given the number of those and the first row of each."""
    described = [
        f"column {name}: {count:,} of {len(table.places):,} values are missing, the first in {table.locate(row)} "
        f"({table.columns[name][row]!r})"
        for name, (count, row) in list(gaps.items())[:_MAX_GAPS]
    ]
    if len(gaps) > _MAX_GAPS:
        described.append(f"{len(gaps) - _MAX_GAPS} more such columns")
    return (
        f"{'; '.join(described)}; type data.missing=fill to put the mean of the training rows in the place of a number "
        f"and to make a missing text a category, or {suggest_list('data.drop', list(gaps))}"
    )
