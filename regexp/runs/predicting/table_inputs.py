"""Rows of tables to predict, encoded by the figures of the run's training rows."""

from collections.abc import Iterator, Mapping, Sequence
from math import inf, isfinite, nan
from pathlib import Path
from typing import TYPE_CHECKING, Any

from regexp.data.tables.csv_file import read_csv
from regexp.data.tables.parquet_file import PARQUET_MARK, read_parquet
from regexp.data.tables.raw_table import clean_cell
from regexp.errors import DataError
from regexp.runs.predicting.input_format import InputFormat

if TYPE_CHECKING:
    import numpy as np
    from numpy.typing import NDArray

    from regexp.data.tables.columns import Column

_MAX_ROWS = 4096  # that are encoded at once
_MAX_NAMES = 10  # of columns that a message lists
_UNSEEN = inf  # stands for a category that no training row has; no category has this place, and numbers are finite


def read_table_file(path: Path, is_alone: bool) -> tuple[list[str], Mapping[str, Sequence[str]]]:
    """Return the places of the rows of a CSV or Parquet file, and its cells by column.

    Args:
        path: the file.
        is_alone: whether it is the only one; if not, the places name it.

    Raises:
        DataError: there is no such file, or it is broken.
    """
    try:
        with path.open("rb") as content:
            is_parquet = content.read(len(PARQUET_MARK)) == PARQUET_MARK
    except OSError as error:
        raise DataError(f"{path}: {error.strerror}") from error
    table = read_parquet(path) if is_parquet else read_csv(path)
    prefix = "" if is_alone else f"{path}, "
    return [f"{prefix}{table.locate(i)}" for i in range(len(table.places))], table.columns


def read_table_value(value: Any) -> tuple[list[str], Mapping[str, Sequence[Any]]] | None:
    """Return the numbers of the rows of a table in memory and its cells by column; None if it is no table.

    Args:
        value: a mapping of columns, a pandas DataFrame, or a list of records.
    """
    if isinstance(value, Sequence) and value and all(isinstance(record, Mapping) for record in value):
        names = dict.fromkeys(name for record in value for name in record)
        value = {name: [record.get(name) for record in value] for name in names}
    if not hasattr(value, "keys"):
        return None
    try:
        columns = {clean_cell(str(name)): list(value[name]) for name in value.keys()}  # noqa: SIM118
    except TypeError as error:  # what is no sequence
        remedy = "a single record is a list too, [record]"
        raise DataError(f"rows: cannot be read, as a column of a mapping is a list of values; {remedy}") from error
    lengths = {len(cells) for cells in columns.values()}
    if len(lengths) > 1:
        raise DataError(f"rows: columns have different lengths, {', '.join(map(str, sorted(lengths)))}")
    return [str(i) for i in range(max(lengths, default=0))], columns


def encode_rows(
    places: Sequence[str],
    cells: Mapping[str, Sequence[Any]],
    form: InputFormat,
    problems: dict[str, str],
    notes: list[str],
) -> "Iterator[tuple[list[str], NDArray[np.float32]]]":
    """Yield batches of rows as (places, features [n, F]), and enter rows that cannot be read into `problems`.

    Args:
        places: the place of each row.
        cells: the cells by column; other columns than those of the training rows are left out.
        form: what the network takes.
        problems: what is wrong with a row, by its place.
        notes: where a warning about unknown categories is added.

    Raises:
        DataError: a column is missing.
    """
    import numpy as np

    from regexp.data.tables.columns import Column
    from regexp.data.tables.encoding import Encoding

    assert form.features is not None
    categories: dict[str, list[str]] = {}
    for feature in form.features:
        categories.setdefault(feature.column, []).extend([] if feature.category is None else [feature.category])
    columns = [Column(name, tuple(texts) or None) for name, texts in categories.items()]
    if missing_columns := [column.name for column in columns if column.name not in cells]:
        raise DataError(
            f"the rows have no column {_list_names(missing_columns)}, on which the run was trained; they have "
            f"{_list_names(list(cells)) or 'no columns'}"
        )
    indices = tuple(list(categories).index(feature.column) for feature in form.features)
    codes = tuple(
        -1 if feature.category is None else categories[feature.column].index(feature.category)
        for feature in form.features
    )
    encoding = Encoding(form.features, indices, codes, {})
    num_unseen = 0
    for start in range(0, len(places), _MAX_ROWS):
        names, rows = [], []
        for i in range(start, min(start + _MAX_ROWS, len(places))):
            try:
                rows.append([_read_cell(cells[column.name][i], column, form.fills_missing) for column in columns])
                names.append(places[i])
            except ValueError as error:
                problems[places[i]] = str(error)
        num_unseen += sum(_UNSEEN in row for row in rows)
        if rows:
            yield names, encoding.encode(np.array(rows, np.float64))
    if num_unseen:
        subject = "1 row holds" if num_unseen == 1 else f"{num_unseen:,} rows hold"
        notes.append(f"{subject} a category that no training row has; it is encoded as zeros")


def _list_names(names: Sequence[str]) -> str:
    return ", ".join(names[:_MAX_NAMES]) + (f", ... ({len(names)} in all)" if len(names) > _MAX_NAMES else "")


def _read_cell(cell: Any, column: "Column", fills_missing: bool) -> float:
    """Return the number in a cell, or the place of its category; NaN for a missing number."""
    from regexp.data.tables.columns import MISSING_CATEGORY, is_missing_value, read_numbers

    if isinstance(cell, float) and cell.is_integer():
        text = str(int(cell))  # a whole number has no point, whatever the type of its column
    else:
        text = "" if cell is None else clean_cell(str(cell))
    is_missing = is_missing_value(text)
    if is_missing and not fills_missing:
        raise ValueError(f"has no value in column {column.name}, and the run was trained without missing values")
    if column.categories is not None:
        category = MISSING_CATEGORY if is_missing else text
        return column.categories.index(category) if category in column.categories else _UNSEEN
    if is_missing:
        return nan
    numbers = read_numbers([text]) if isinstance(cell, str) else [float(cell)]
    if numbers is None or not isfinite(numbers[0]):
        raise ValueError(f"holds {text!r} in column {column.name}, which is no finite number")
    return float(numbers[0])
