"""The user's own table in a file."""

import dataclasses
import difflib
import itertools
import re
from collections.abc import Collection, Sequence
from pathlib import Path
from typing import TYPE_CHECKING

from regexp.config.schemas.data import TableOptions
from regexp.config.words.homes import expand_home
from regexp.data.sources import SourceFiles
from regexp.data.tables.csv_file import read_csv, read_header
from regexp.data.tables.parquet_file import PARQUET_MARK, read_parquet
from regexp.data.tables.raw_table import RawTable, clean_cell, suggest_list, table_error
from regexp.errors import ConfigError, DataError
from regexp.utils.messages import did_you_mean, show_bytes

if TYPE_CHECKING:
    import numpy as np
    from numpy.typing import NDArray

    from regexp.data.sources import Source
    from regexp.data.splits import Splits

# How other files than CSV and Parquet begin, and what to do with them.
_OTHER_FILES = {
    b"PK\x03\x04": "is a spreadsheet or a zip archive; save the table as CSV",
    b"\xd0\xcf\x11\xe0": "is a spreadsheet; save the table as CSV",
    b"\x1f\x8b": "is compressed; unpack it",
}
# How many columns a message lists.
_MAX_NAMES = 20
# Above this number of classes, which have few rows each, labels that are numbers are probably measurements.
_MAX_NUMBERS, _MIN_ROWS = 20, 10
_WHOLE_NUMBER = re.compile(r"[+-]?\d+")


def find_table(name: str, root: str | None, path: str | None, options: TableOptions) -> SourceFiles:
    """Find the user's table, and check the columns that were named.

    Raises:
        DataError: there is no such table.
        ConfigError: a column does not exist.
    """
    if not path:
        raise DataError("data=table: name the file: data.path=FILE.csv")
    file = expand_home(path)
    if not file.is_file():
        problem = "is a directory" if file.is_dir() else "there is no such file"
        raise DataError(f"data=table: data.path={show_bytes(path)}: {problem}")
    with file.open("rb") as content:
        head = content.read(len(PARQUET_MARK))
    for mark, problem in _OTHER_FILES.items():
        if head.startswith(mark):
            raise table_error(file, problem)
    if head != PARQUET_MARK:  # pyarrow is not needed to recognize a finished run
        _check_names(file, list(filter(None, read_header(file))), _clean_options(options))
    return SourceFiles(file, [file])


def read_table(source: "Source") -> "Splits":
    """Read the user's table; its test set is split off later.

    The classes are the different texts of the labels as written, so that 10 and 010 are two. Numbers are in their
    order.

    Raises:
        DataError: the file, a column or a label is broken; the message says where.
        ConfigError: a column does not exist.
    """
    import numpy as np

    from regexp.data.labels import find_classes, index_labels
    from regexp.data.splits import Split, Splits
    from regexp.data.tables.columns import is_missing_value, read_numbers, type_columns

    assert source.table is not None
    options = _clean_options(source.table)
    with source.root.open("rb") as content:
        is_parquet = content.read(len(PARQUET_MARK)) == PARQUET_MARK
    table = read_parquet(source.root) if is_parquet else read_csv(source.root)
    label = _check_names(source.root, list(table.columns), options)
    cells = table.columns[label]
    missing_rows = [i for i, cell in enumerate(cells) if is_missing_value(cell) and cell.lower() != "none"]
    if missing_rows:
        raise table_error(
            table.path,
            f"{len(missing_rows):,} of {len(cells):,} rows have no label, the first in "
            f"{table.locate(missing_rows[0])}; remove them, or write their {label}",
        )
    where, numbers = f"data=table: {show_bytes(str(table.path))}", read_numbers(cells)
    labels = np.array(cells, np.str_)
    is_numeric = numbers is not None and label not in table.text_columns
    if numbers is not None and is_numeric:
        _check_measurements(table, label, numbers)
    classes = find_classes(where, f"column {label}", labels, None)
    if is_numeric:
        classes = dataclasses.replace(classes, names=tuple(sorted(classes.names, key=_read_label)))
    names = [name for name in table.columns if name != label and name not in options.drop]
    if not names:
        raise table_error(table.path, f"no column is left beside {label}")
    columns, values, warnings = type_columns(table, names, options.categorical, options.missing)
    if is_numeric and (spellings := _find_spellings(classes.names)):
        warnings.append(
            f"column {label} holds {' and '.join(spellings)}, which are two classes; if they are one, write both in "
            "the same way"
        )
    notes = {"left out": "; ".join(table.left_out), "warning": "; ".join(warnings)}
    notes = {heading: text for heading, text in notes.items() if text}
    split = Split(values, index_labels(where, f"column {label}", labels, classes))
    return Splits(split, None, None, classes.names, notes, tuple(columns))


def _clean_options(options: TableOptions) -> TableOptions:
    """Return options whose names of columns are written as a table holds them."""
    return dataclasses.replace(
        options,
        label=options.label and clean_cell(options.label),
        drop=tuple(map(clean_cell, options.drop)),
        categorical=tuple(map(clean_cell, options.categorical)),
    )


def _read_label(text: str) -> tuple[float, str]:
    """Return what sorts a label that is a number: its size, which is exact for a whole number, then its text."""
    return int(text) if _WHOLE_NUMBER.fullmatch(text) else float(text), text


def _find_spellings(labels: Sequence[str]) -> tuple[str, str] | None:
    """Return the first two of sorted labels that are one number, such as 010 and 10; None if there are none."""
    for first, second in itertools.pairwise(labels):
        if _read_label(first)[0] == _read_label(second)[0]:
            return first, second
    return None


def _check_names(path: Path, names: Sequence[str], options: TableOptions) -> str:
    """Return the column of the labels, if all columns that were named exist."""
    if not options.label:
        raise ConfigError(
            f"data=table: name the column that holds the classes: data.label=COLUMN; {show_bytes(str(path))} has the "
            f"columns {_list(names)}"
        )
    for key, typed_names in (
        ("label", [options.label]),
        ("drop", options.drop),
        ("categorical", options.categorical),
    ):
        for name in typed_names:
            if name not in names:
                shown = name if key == "label" else f"[{name}]"
                raise ConfigError(
                    f"data.{key}={shown}: {show_bytes(str(path))} has no such column"
                    f"{_suggest_column(key, name, names)}; its columns are {_list(names)}"
                )
    if options.label in options.drop:
        raise ConfigError(f"data.drop=[{options.label}]: holds the labels (data.label={options.label}); leave it out")
    return options.label


def _suggest_column(key: str, name: str, names: Collection[str]) -> str:
    """Return the end of a message about a column that does not exist: the one that was probably meant."""
    names_by_lower_case = {candidate.lower(): candidate for candidate in names}
    matches = difflib.get_close_matches(name.lower(), names_by_lower_case, n=1, cutoff=0.6)
    if not matches:
        return ""
    match = names_by_lower_case[matches[0]]
    if key == "label":
        return did_you_mean([f"data.label={match}"])
    return f"; did you mean {suggest_list(f'data.{key}', [match])}?"


def _list(names: Sequence[str]) -> str:
    return ", ".join(names[:_MAX_NAMES]) + (f", ... ({len(names)} in all)" if len(names) > _MAX_NAMES else "")


def _check_measurements(table: RawTable, label: str, numbers: "NDArray[np.float64]") -> None:
    """Raise DataError if labels look like measurements: fractions, or many different numbers."""
    import numpy as np

    infinite_rows = np.flatnonzero(np.isinf(numbers)).tolist()
    if infinite_rows:
        row = infinite_rows[0]
        raise table_error(
            table.path, f"column {label}: {table.locate(row)} holds {table.columns[label][row]!r}; no class is infinite"
        )
    different = np.unique(numbers)
    if (different != np.rint(different)).any() or len(different) > max(_MAX_NUMBERS, len(numbers) // _MIN_ROWS):
        raise table_error(
            table.path,
            f"column {label} holds {len(different):,} different numbers, such as {different[0]:g} and "
            f"{different[1 if len(different) > 1 else 0]:g}; labels are classes, not measurements (there is no "
            "regression)",
        )
