"""The cells of a CSV file, with commas, semicolons, tabs or bars between them."""

import csv
import io
import itertools
import re
from collections import Counter
from collections.abc import Iterator, Sequence
from pathlib import Path

from regexp.data.tables.raw_table import RawTable, table_error

# What may separate cells; the first one wins where several make as many columns of the header.
SEPARATORS = {",": "a comma", ";": "a semicolon", "\t": "a tab", "|": "a bar"}
_UTF_16 = (b"\xff\xfe", b"\xfe\xff")
_NUMBER = re.compile(r"[+-]?(\d+\.?\d*|\.\d+)([eE][+-]?\d+)?")
# Enough of a file for its header.
_HEAD_BYTES = 2**20


def read_header(path: Path) -> tuple[str, ...]:
    """Return the names of the columns in a CSV file; raise DataError if it has none."""
    with path.open("rb") as file:
        head = file.read(_HEAD_BYTES)
    text = _decode(path, head, is_whole=len(head) < _HEAD_BYTES)
    return tuple(_read_names(path, text)[0])


def read_csv(path: Path) -> RawTable:
    """Read the cells of a CSV file.

    The first row names the columns. The separator is the one that makes most columns of it, and every row must have as
    many cells. Cells in double quotes may hold separators and line ends. Empty lines are left out.

    Raises:
        DataError: the file is not such a table; the message names the line.
    """
    text = _decode(path, path.read_bytes())
    names, separator = _read_names(path, text)
    rows: list[list[str]] = []
    lines: list[int] = []
    for line, row in itertools.islice(_read_rows(path, text, separator), 1, None):
        if len(row) != len(names):
            decimal = ", and a number with a decimal comma needs a point" if separator == "," else ""
            raise table_error(
                path,
                f"line {line:,} has {len(row)} cells, but the header has {len(names)}; the separator is "
                f"{SEPARATORS[separator]}, so a cell that contains one must be in double quotes{decimal}",
            )
        rows.append(row)
        lines.append(line)
    if not rows:
        raise table_error(path, "has a header but no rows")
    columns = [[cell.strip() for cell in column] for column in zip(*rows, strict=True)]
    named_columns, left_out = _drop_unnamed_columns(path, names, columns)
    return RawTable(path, named_columns, "line", lines, left_out=tuple(left_out))


def _decode(path: Path, content: bytes, is_whole: bool = True) -> str:
    """Return the text of a file in UTF-8, with or without a byte order mark."""
    if content.startswith(_UTF_16):
        raise table_error(path, "is UTF-16; save it as CSV in UTF-8")
    try:
        return content.decode("utf-8-sig")
    except UnicodeDecodeError as error:
        if not is_whole and error.end == len(content):
            return content[: error.start].decode("utf-8-sig")
        line = content.count(b"\n", 0, error.start) + 1
        raise table_error(
            path, f"is not UTF-8: byte {content[error.start]:#x} in line {line:,}; save it as CSV in UTF-8"
        ) from error


def _read_rows(path: Path, text: str, separator: str) -> Iterator[tuple[int, list[str]]]:
    """Yield the rows that are not empty, each with the number of its last line."""
    reader = csv.reader(io.StringIO(text, newline=""), delimiter=separator, strict=True)
    try:
        for row in reader:
            if row:
                yield reader.line_num, row
    except csv.Error as error:
        raise table_error(path, f"line {reader.line_num:,} cannot be read: {error}") from error


def _read_names(path: Path, text: str) -> tuple[list[str], str]:
    """Return the cells of the first row, and the separator."""
    best_names: list[str] = []
    best_separator = ","
    for separator in SEPARATORS:
        _, names = next(_read_rows(path, text, separator), (0, []))
        if len(names) > len(best_names):
            best_names, best_separator = [name.strip() for name in names], separator
    if not best_names:
        raise table_error(path, "is empty")
    if len(best_names) == 1:
        raise table_error(
            path,
            "has a single column; a table needs one for the classes and one or more to tell them from, separated by "
            f"{', '.join(SEPARATORS.values())}",
        )
    if all(_NUMBER.fullmatch(name) for name in best_names):
        raise table_error(
            path,
            f"begins with numbers ({', '.join(best_names[:3])}, ...) instead of the names of its columns; write the "
            "names into a first line",
        )
    repeated_names = [name for name, count in Counter(filter(None, best_names)).items() if count > 1]
    if repeated_names:
        raise table_error(path, f"has several columns called {repeated_names[0]}; give each a name of its own")
    return best_names, best_separator


def _drop_unnamed_columns(
    path: Path, names: Sequence[str], columns: Sequence[Sequence[str]]
) -> tuple[dict[str, Sequence[str]], list[str]]:
    """Return the columns by name, and what was left out: empty columns and a count of the rows, both without a name.

    pandas writes its index as such a count, and spreadsheets write empty columns.
    """
    named_columns, left_out = {}, []
    for i, (name, cells) in enumerate(zip(names, columns, strict=True)):
        if name:
            named_columns[name] = cells
        elif any(cells):
            if i > 0 or not counts_rows(cells):
                raise table_error(path, f"column {i + 1} has no name; write one into the first line")
            left_out.append("the first column, which has no name and counts the rows")
    return named_columns, left_out


def counts_rows(cells: Sequence[str]) -> bool:
    """Return whether cells are whole numbers that ascend by one from 0 or 1."""
    return any(all(cell == str(i) for i, cell in enumerate(cells, start)) for start in (0, 1))
