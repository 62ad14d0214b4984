"""Tables in files: separators, encodings, headers, what is missing or wrong in columns, and Parquet."""

import gzip
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from helpers.data_files import read_table, write_table

from regexp.config.compose import compose_job
from regexp.config.schema import source_arguments
from regexp.config.schemas.data import TableOptions
from regexp.data.splits import Splits
from regexp.data.tables.columns import MISSING_WORDS
from regexp.errors import ConfigError, DataError

ROWS = [(1.5, "a", "yes"), (-2e3, "b", "no"), (".5", "a, or b", "yes"), (7, "a", "no")]
HEADER = "x,kind,class"


def read_text(path: Path, text: str | bytes, label: str | None = "class", **options: Any) -> Splits:
    """Write a file and read it as a table."""
    path.write_bytes(text.encode() if isinstance(text, str) else text)
    return read_table(path, label, **options)


@pytest.fixture
def file(tmp_path: Path) -> Path:
    return tmp_path / "own.csv"


def test_numbers_texts_and_labels_are_told_apart(file: Path) -> None:
    splits = read_table(write_table(file, ROWS))
    assert splits.columns is not None
    assert [(column.name, column.categories) for column in splits.columns] == [
        ("x", None),
        ("kind", ("a", "a, or b", "b")),
    ]
    assert np.array_equal(splits.train.images, [[1.5, 0], [-2000, 2], [0.5, 1], [7, 0]])
    assert splits.classes == ("no", "yes")
    assert splits.train.labels.tolist() == [1, 0, 1, 0]
    assert splits.test is splits.validation is None


TEXT = 'x,kind,class\n1.5,a,yes\n-2e3,b,no\n.5,"a, or b",yes\n7,a,no\n'
# The same table as other programs write it.
FORMS: dict[str, Callable[[str], bytes]] = {
    "semicolons": lambda text: text.replace(",", ";").replace("a; or b", "a, or b").encode(),
    "tabs": lambda text: text.replace(",", "\t").replace("a\t or b", "a, or b").encode(),
    "bars": lambda text: text.replace(",", "|").replace("a| or b", "a, or b").encode(),
    "byte order mark": lambda text: text.encode("utf-8-sig"),
    "Windows": lambda text: text.replace("\n", "\r\n").encode(),
    "old Mac": lambda text: text.replace("\n", "\r").encode(),
    "no last line end": lambda text: text.rstrip("\n").encode(),
    "empty lines": lambda text: text.replace("\n", "\n\n").encode(),
    "spaces": lambda text: text.replace("1.5", " 1.5 ").replace(",yes", ", yes\t").encode(),
    "quotes": lambda text: text.replace("1.5,a", '"1.5","a"').encode(),
    "an index": lambda text: "".join(
        f"{i - 1 if i else ''},{line}\n" for i, line in enumerate(text.splitlines())
    ).encode(),
    "an empty column": lambda text: text.replace("\n", ",\n").encode(),
    "a declared comma": lambda text: f"sep=,\n{text}".encode(),
    "a declared bar": lambda text: f'"SEP=|"\r\n{text.replace(",", "|").replace("a| or b", "a, or b")}'.encode(),
}


@pytest.mark.parametrize("form", FORMS)
def test_the_form_of_a_file_does_not_change_the_table(form: str, file: Path) -> None:
    expected = read_text(file.with_name("plain.csv"), TEXT)
    splits = read_text(file, FORMS[form](TEXT))
    assert splits.columns == expected.columns
    assert np.array_equal(splits.train.images, expected.train.images)
    assert np.array_equal(splits.train.labels, expected.train.labels)
    assert ("left out" in splits.notes) == (form == "an index")


def test_a_cell_may_hold_line_ends_and_errors_name_the_line(file: Path) -> None:
    text = 'x,kind,class\n1,"a\nb",yes\n2,"a\nb",no\nthree,c,no\n4,c,yes\n'
    with pytest.raises(DataError, match=r"column x: line 6 holds 'three'"):
        read_text(file, text)
    splits = read_text(file, text.replace("three", "3"))
    assert splits.columns is not None
    assert splits.columns[1].categories == ("a\nb", "c")


BROKEN: dict[str, tuple[str | bytes, str]] = {
    "empty": ("", "is empty"),
    "only empty lines": ("\n\n", "is empty"),
    "no rows": ("x,class\n", "has a header but no rows"),
    "one column": ("class\na\nb\n", "has a single column"),
    "no header": ("1,2\n3,4\n", r"begins with numbers \(1, 2, ...\) instead of the names"),
    "a name twice": ("x,x,class\n1,2,a\n", "several columns called x"),
    "no name": ("x,,class\n1,2,a\n3,9,b\n", "column 2 has no name"),
    "a row too long": ("x,class\n1,a\n2,5,b\n", "line 3 has 3 cells, but the header has 2; the separator is a comma"),
    "a row too short": ("x,y,class\n1,2,a\n2\n", "line 3 has 1 cells, but the header has 3"),
    "an open quote": ('x,class\n1,"a\n2,b\n', "line 3 cannot be read: unexpected end of data"),
    "an open quote in the header": ('x;"kind;class\n1;a;b\n', "line 2 cannot be read: unexpected end of data"),
    "another declared separator": ("sep=:\nx:class\n1:a\n", "line 1 says that ':' separates cells; use one of a comma"),
    "a row too long after a declaration": ("sep=;\nx;class\n1;a\n2;5;b\n", "line 4 has 3 cells, but the header has 2"),
    "UTF-16 of little ends": (
        "x,class\n1,a\n".encode("utf-16-le"),
        "byte 0x0 in line 1, as a file in UTF-16 does; save",
    ),
    "UTF-16 of big ends": ("x,class\n1,a\n".encode("utf-16-be"), "byte 0x0 in line 1, as a file in UTF-16 does; save"),
    "a zero byte": (b"x,class\n1,a\n2,\0\n", "holds a byte 0x0 in line 3"),
    "UTF-16": ("x,class\n1,a\n".encode("utf-16"), "is UTF-16; save it as CSV in UTF-8"),
    "Latin-1": ("x,class\n1,a\n2,é\n".encode("latin-1"), "is not UTF-8: byte 0xe9 in line 3"),
    "a spreadsheet": (b"PK\x03\x04" + b"\0" * 50, "is a spreadsheet or a zip archive; save the table as CSV"),
    "an old spreadsheet": (b"\xd0\xcf\x11\xe0" + b"\0" * 50, "is a spreadsheet; save the table as CSV"),
    "compressed": (gzip.compress(TEXT.encode()), "is compressed; unpack it"),
    "a decimal comma": ("x;class\n1,5;a\n2,5;b\n3;a\n", "column x: line 2 holds '1,5'; write 3.5 for 3,5"),
    "text in numbers": (
        "x,class\n1,a\n2,b\ntwo,a\n3,b\n",
        r"column x: line 4 holds 'two', but 3 other cells are numbers; correct it, or type 'data.categorical=\[x\]'",
    ),
    "texts in numbers": ("x,class\n1,a\nm,b\nn,a\n3,b\n4,b\n", r"line 3 holds 'm' \(2 such cells\), but 3 other"),
    "an infinite label": ("x,class\n1,1\n2,inf\n3,2\n", "column class: line 3 holds 'inf'; no class is infinite"),
    "one letter, two names": ("é,e\u0301,class\n1,2,a\n", "several columns called é"),
    "infinity": ("x,class\n1,a\ninf,b\n2,a\n", "column x: line 3 holds 'inf'; every number must be finite"),
    "an underscore": ("x,class\n1_000,a\n2000,b\n2,a\n", "column x: line 2 holds '1_000', but 2 other cells"),
    "names": (
        "full name,class\nAnn B.,a\nBo C.,b\nCy D.,a\n",
        r"column full name holds 3 different texts in 3 rows, such as 'Ann B.', so it names the rows; type "
        r"'data.drop=\[full name\]'$",
    ),
    "many texts": (
        "x,class\n" + "".join(f"t{i % 1001},{'ab'[i % 2]}\n" for i in range(2002)),
        r"column x holds 1,001 different texts in 2,002 rows, such as 't0', and 1,000 are the most; type 'data\.drop=",
    ),
    "one class": ("x,class\n1,a\n2,a\n3,a\n", "column class has only one class; at least two are needed"),
    "no label": ("x,class\n1,a\n2,\n3,b\n4,?\n", r"2 of 4 rows have no label, the first in line 3; remove them"),
    "measurements": (
        "x,class\n1,1.5\n2,2.5\n3,9\n",
        "holds 3 different numbers, such as 1.5 and 2.5; labels are",
    ),
    "numbers of many values": (
        "x,class\n" + "".join(f"{i},{i}\n" for i in range(50)),
        "column class holds 50 different numbers, such as 0 and 1",
    ),
    "only the label": ("class,name\na,x\nb,y\n", r"no column is left beside class"),
    "two problems": (
        "x,y,class\n1,inf,a\ntwo,2,b\n3,3,a\n",
        r"2 problems:\n  column x: line 3 holds 'two', .*\n  column y: line 2 holds 'inf'; every number",
    ),
}


@pytest.mark.parametrize("fault", BROKEN)
def test_what_is_wrong_with_a_file_is_said(fault: str, file: Path) -> None:
    text, message = BROKEN[fault]
    with pytest.raises(DataError, match=f"^data=table: {file}: ") as caught:
        read_text(file, text, drop=("name",) if fault == "only the label" else ())
    assert caught.match(message)
    assert "np." not in str(caught.value)


@pytest.mark.parametrize("word", [*sorted(MISSING_WORDS), "-nan", "+NaN", "-nan(ind)", "nan(0x7)"])
@pytest.mark.parametrize("column", ["x", "kind"])
def test_missing_values_are_an_error_that_says_what_to_type(word: str, column: str, file: Path) -> None:
    rows = [list(row) for row in ROWS]
    rows[2][HEADER.split(",").index(column)] = word.upper()
    write_table(file, rows)
    with pytest.raises(DataError) as caught:
        read_table(file)
    assert f"column {column}: 1 of 4 values are missing, the first in line 4 ({word.upper()!r});" in str(caught.value)
    assert "type data.missing=fill" in str(caught.value)
    assert f"'data.drop=[{column}]'" in str(caught.value)
    splits = read_table(file, missing="fill")
    assert splits.columns is not None
    if column == "x":
        assert np.isnan(splits.train.images[:, 0]).tolist() == [False, False, True, False]
    else:
        assert splits.columns[1].categories == ("", "a", "b")
    assert read_table(file, drop=(column,)).columns == tuple(item for item in splits.columns if item.name != column)


def test_numbers_may_be_categories(file: Path) -> None:
    rows = [(7, "yes"), (70, "no"), (7, "yes")]
    write_table(file, rows, "zip code,class")
    splits = read_table(file, categorical=("zip code",))
    assert splits.columns is not None
    assert splits.columns[0].categories == ("7", "70")


def test_labels_may_be_whole_numbers_in_their_order(file: Path) -> None:
    splits = read_table(write_table(file, [(i, label) for i, label in enumerate((10, 2, 1, 10))], "x,class"))
    assert splits.classes == ("1", "2", "10")
    assert splits.train.labels.tolist() == [2, 1, 0, 2]


def test_none_may_be_a_class(file: Path) -> None:
    splits = read_table(write_table(file, [(1, "none"), (2, "mild"), (3, "None"), (4, "mild")], "x,class"))
    assert splits.classes == ("None", "mild", "none")


@pytest.mark.parametrize("start", [0, 1])
def test_a_column_that_counts_the_rows_gets_a_warning(file: Path, start: int) -> None:
    rows = [(start + i, x, label) for i, (x, _, label) in enumerate(ROWS)]
    assert read_table(write_table(file, rows, "Id,x,class")).notes["warning"].endswith("type 'data.drop=[Id]'")
    assert "warning" not in read_table(write_table(file, rows[::-1], "Id,x,class")).notes


NAMED: dict[str, tuple[dict[str, Any], str]] = {
    "no label": ({"label": None}, r"name the column that holds the classes: data.label=COLUMN; .* x, kind, class$"),
    "another label": ({"label": "Clas"}, r"data.label=Clas: .* did you mean data.label=class\?; its columns are x, k"),
    "no such label": ({"label": "zzz"}, r"data.label=zzz: .* has no such column; its columns are x, kind, class$"),
    "no such drop": ({"drop": ("Kinds",)}, r"data.drop=\[Kinds\]: .* did you mean 'data.drop=\[kind\]'\?"),
    "no such category": ({"categorical": ("y",)}, r"data.categorical=\[y\]: .* has no such column"),
    "the label dropped": ({"drop": ("class",)}, r"data.drop=\[class\]: holds the labels"),
}


@pytest.mark.parametrize("mistake", NAMED)
def test_columns_that_do_not_exist_are_mistakes_before_anything_is_read(
    mistake: str, file: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    def refuse(*arguments: object) -> None:
        raise AssertionError("reads the table")

    monkeypatch.setattr("regexp.data.tables.table_source.read_csv", refuse)
    options, message = NAMED[mistake]
    with pytest.raises(ConfigError, match=message):
        read_table(write_table(file, ROWS), **options)


@pytest.mark.parametrize(("name", "problem"), [("", "is a directory"), ("no.csv", "there is no such file")])
def test_a_path_without_a_file_is_an_error(name: str, problem: str, tmp_path: Path) -> None:
    with pytest.raises(DataError, match=rf"data\.path={tmp_path / name}: {problem}"):
        read_table(tmp_path / name)


def test_the_columns_of_a_command_line_are_names_as_typed(file: Path) -> None:
    write_table(file, [(1, 2, "a", 4), (2, 3, "b", 4)], 'zip code,"a, b",class,5')
    overrides = ["data=table", f"data.path={file}", "data.label=class", "data.categorical=[zip code, 5]"]
    arguments = source_arguments(compose_job([*overrides, 'data.drop=["a, b"]']).config)
    assert arguments[-1] == TableOptions("class", ("a, b",), ("zip code", "5"), "error")


def write_parquet(path: Path, **columns: Sequence[Any]) -> Path:
    """Write columns as a Parquet file."""
    pa = pytest.importorskip("pyarrow")
    from pyarrow import parquet

    parquet.write_table(pa.table(columns), path)
    return path


def test_parquet_files_are_read_by_the_types_of_their_columns(tmp_path: Path) -> None:
    path = write_parquet(
        tmp_path / "own.parquet",
        x=[1.5, 2, 3, 4],
        whole=[7, 8, 9, 7],
        code=["01", "02", "01", "02"],
        flag=[True, False, False, True],
        label=[1.0, 0.0, 1.0, 0.0],
    )
    splits = read_table(path, "label")
    assert splits.columns is not None
    categories = {column.name: column.categories for column in splits.columns}
    assert categories == {"x": None, "whole": None, "code": ("01", "02"), "flag": ("False", "True")}
    assert splits.train.images[:, :2].tolist() == [[1.5, 7], [2, 8], [3, 9], [4, 7]]
    assert splits.classes == ("0", "1")


def test_large_numbers_of_parquet_files_are_different_classes(tmp_path: Path) -> None:
    path = write_parquet(tmp_path / "own.parquet", x=[1, 2, 3], label=[2**53 + 1, 2**53, 5])
    assert read_table(path, "label").classes == ("5", str(2**53), str(2**53 + 1))


def test_missing_values_of_parquet_files_are_named_by_their_row(tmp_path: Path) -> None:
    path = write_parquet(tmp_path / "own.parquet", x=[1.5, None, float("nan"), 4], label=["a", "b", "a", "b"])
    with pytest.raises(DataError, match=r"column x: 2 of 4 values are missing, the first in row 2 \(''\)"):
        read_table(path, "label")


def test_a_broken_parquet_file_is_named(tmp_path: Path) -> None:
    path = write_parquet(tmp_path / "own.parquet", x=[1, 2], label=["a", "b"])
    path.write_bytes(path.read_bytes()[:-10])
    with pytest.raises(DataError, match=f"^data=table: {path}: is broken: "):
        read_table(path, "label")
    write_parquet(path, x=[[1], [2]], label=["a", "b"])
    with pytest.raises(DataError, match="column x holds list<"):
        read_table(path, "label")


def test_without_pyarrow_a_parquet_file_says_what_to_install(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    (tmp_path / "own.parquet").write_bytes(b"PAR1....PAR1")
    monkeypatch.setitem(__import__("sys").modules, "pyarrow", None)
    with pytest.raises(DataError, match="pyarrow, which is not installed; type: uv sync --extra parquet, or save"):
        read_table(tmp_path / "own.parquet", "label")
