"""The cells of a Parquet file, which pyarrow reads."""

from collections.abc import Sequence
from pathlib import Path
from typing import Any

from regexp.data.tables.raw_table import RawTable, clean_cell, table_error
from regexp.errors import DataError

PARQUET_MARK = b"PAR1"


def read_parquet(path: Path) -> RawTable:
    """Read the cells of a Parquet file.

    Columns of texts are kept apart from those of numbers, so that a text of digits stays a text.

    Raises:
        DataError: pyarrow is not installed, the file is broken, or a column holds lists or the like.
    """
    try:
        import pyarrow as pa
        from pyarrow import parquet
    except ImportError as error:
        raise DataError(
            "data=table: Parquet files are read by pyarrow, which is not installed; type: uv sync --extra parquet, or "
            "save the table as CSV"
        ) from error
    try:
        table = parquet.read_table(path)
    except (pa.ArrowException, OSError) as error:
        raise table_error(path, f"is broken: {str(error).splitlines()[0]}") from error
    columns: dict[str, Sequence[str]] = {}
    text_columns = set()
    for name, column in zip(table.column_names, table.columns, strict=True):
        if pa.types.is_dictionary(column.type):
            column = column.cast(column.type.value_type)
        if pa.types.is_nested(column.type) or pa.types.is_binary(column.type):
            raise table_error(path, f"column {name} holds {column.type}; columns are numbers, texts, dates or booleans")
        if not (pa.types.is_integer(column.type) or pa.types.is_floating(column.type)):
            text_columns.add(clean_cell(name))
        columns[clean_cell(name)] = [_write_cell(value) for value in column.to_pylist()]
    if table.num_rows == 0 or len(columns) < 2:
        raise table_error(path, f"holds {len(columns)} columns and {table.num_rows} rows")
    if len(columns) < table.num_columns:
        raise table_error(path, "has several columns of one name; give each a name of its own")
    return RawTable(path, columns, "row", range(1, table.num_rows + 1), frozenset(text_columns))


def _write_cell(value: Any) -> str:
    """Return a value as a text: a whole number without a point, whatever the type of its column."""
    if isinstance(value, float) and value.is_integer():
        value = int(value)
    return "" if value is None else clean_cell(str(value))
