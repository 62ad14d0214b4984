"""The cells of a CSV file, with commas, semicolons, tabs or bars between them."""

import csv
import io
import itertools
import re
from collections import Counter
from collections.abc import Iterator, Sequence
from pathlib import Path

from regexp.data.tables.raw_table import RawTable, clean_cell, table_error
from regexp.errors import DataError

# What may separate cells; the first one wins where several make as many columns of the header.
SEPARATORS = {",": "a comma", ";": "a semicolon", "\t": "a tab", "|": "a bar"}
_UTF_16 = (b"\xff\xfe", b"\xfe\xff")
# A first line that names the separator to Excel.
_DECLARATION = re.compile(r'\A"?sep=([^\r\n])"?(?=[\r\n])', re.IGNORECASE)
_NUMBER = re.compile(r"[+-]?(\d+\.?\d*|\.\d+)([eE][+-]?\d+)?")
# Enough of a file for its header.
_HEAD_BYTES = 2**20


def read_header(path: Path) -> tuple[str, ...]:
    """Return the names of the columns in a CSV file; raise DataError if it has none."""
    with path.open("rb") as file:
        head = file.read(_HEAD_BYTES)
    text, separators = _take_declaration(path, _decode(path, head, is_whole=len(head) < _HEAD_BYTES))
    return tuple(_read_names(path, text, separators)[0])


def read_csv(path: Path) -> RawTable:
    """Read the cells of a CSV file.

    The first row names the columns. The separator is the one that makes most columns of it, or that a line `sep=;`
    before it names, and every row must have as many cells. Cells in double quotes may hold separators and line ends.
    Empty lines are left out.

    Raises:
        DataError: the file is not such a table; the message names the line.
    """
    text, separators = _take_declaration(path, _decode(path, path.read_bytes()))
    names, separator = _read_names(path, text, separators)
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
    columns = [[clean_cell(cell) for cell in column] for column in zip(*rows, strict=True)]
    named_columns, left_out = _drop_unnamed_columns(path, names, columns)
    return RawTable(path, named_columns, "line", lines, left_out=tuple(left_out))


def _decode(path: Path, content: bytes, is_whole: bool = True) -> str:
    """Return the text of a file in UTF-8, with or without a byte order mark."""
    if content.startswith(_UTF_16):
        raise table_error(path, "is UTF-16; save it as CSV in UTF-8")
    if b"\0" in content:
        line = content.count(b"\n", 0, content.index(b"\0")) + 1
        raise table_error(path, f"holds a byte 0x0 in line {line:,}, as a file in UTF-16 does; save it as CSV in UTF-8")
    try:
        return content.decode("utf-8-sig")
    except UnicodeDecodeError as error:
        if not is_whole and error.end == len(content):
            return content[: error.start].decode("utf-8-sig")
        line = content.count(b"\n", 0, error.start) + 1
        raise table_error(
            path, f"is not UTF-8: byte {content[error.start]:#x} in line {line:,}; save it as CSV in UTF-8"
        ) from error


def _take_declaration(path: Path, text: str) -> tuple[str, Sequence[str]]:
    """Return the text without a declaration of its separator, and the separators that it may have.

    The declaration leaves an empty line, so that the numbers of lines stay.
    """
    declaration = _DECLARATION.match(text)
    if declaration is None:
        return text, tuple(SEPARATORS)
    separator = declaration[1]
    if separator not in SEPARATORS:
        raise table_error(
            path, f"line 1 says that {separator!r} separates cells; use one of {', '.join(SEPARATORS.values())}"
        )
    return text[declaration.end() :], (separator,)


def _read_rows(path: Path, text: str, separator: str) -> Iterator[tuple[int, list[str]]]:
    """Yield the rows that are not empty, each with the number of its last line."""
    reader = csv.reader(io.StringIO(text, newline=""), delimiter=separator, strict=True)
    try:
        for row in reader:
            if row:
                yield reader.line_num, row
    except csv.Error as error:
        raise table_error(path, f"line {reader.line_num:,} cannot be read: {error}") from error


def _try_separators(path: Path, text: str, separators: Sequence[str]) -> tuple[list[str], str]:
    """Return the cells of the first row, and the separator that makes most of them.

    A separator with which the row cannot be read does not count. One that cuts through a cell in quotes counts only if
    all do: it leaves a single quote on either side.
    """
    trials: list[tuple[list[str], str]] = []
    errors: list[DataError] = []
    for separator in separators:
        try:
            _, cells = next(_read_rows(path, text, separator), (0, []))
            trials.append((cells, separator))
        except DataError as error:
            errors.append(error)

    def rank(trial: tuple[list[str], str]) -> tuple[bool, int]:
        cells = trial[0]
        return len(cells) > 1 and all(cell.count('"') % 2 == 0 for cell in cells), len(cells)

    best = max(trials, key=rank, default=([], ","))
    if errors and len(best[0]) < 2:
        raise errors[0]
    return best


def _read_names(path: Path, text: str, separators: Sequence[str]) -> tuple[list[str], str]:
    """Return the names in the first row, and the separator."""
    cells, separator = _try_separators(path, text, separators)
    names = [clean_cell(cell) for cell in cells]
    if not names:
        raise table_error(path, "is empty")
    if len(names) == 1:
        raise table_error(
            path,
            "has a single column; a table needs one for the classes and one or more to tell them from, separated by "
            f"{', '.join(SEPARATORS.values())}",
        )
    if all(_NUMBER.fullmatch(name) for name in names):
        raise table_error(
            path,
            f"begins with numbers ({', '.join(names[:3])}, ...) instead of the names of its columns; write the "
            "names into a first line",
        )
    repeated_names = [name for name, count in Counter(filter(None, names)).items() if count > 1]
    if repeated_names:
        raise table_error(path, f"has several columns called {repeated_names[0]}; give each a name of its own")
    return names, separator


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
