"""Texts of tables: labels, categories and the names of columns, as written and in both of Unicode's forms."""

import unicodedata
from pathlib import Path

import pytest
from helpers.data_files import read_table, write_table

from regexp.data.tables.columns import Column


@pytest.fixture
def file(tmp_path: Path) -> Path:
    return tmp_path / "own.csv"


LABELS = {
    "zeros in front": (("0010", "10", "2"), ("2", "0010", "10")),
    "powers of ten": (("1e3", "1000", "2"), ("2", "1000", "1e3")),
    "signs": (("0", "-0", "+0", "-7"), ("-7", "+0", "-0", "0")),
    "fractions of zero": (("10.0", "9.0", "1.0"), ("1.0", "9.0", "10.0")),
    "numbers that floating point rounds": (
        ("9007199254740993", "9007199254740992", "5"),
        ("5", "9007199254740992", "9007199254740993"),
    ),
    "numbers beyond int64": ((str(2**65 + 1), str(2**65)), (str(2**65), str(2**65 + 1))),
    "a text among numbers": (("10", "9", "nine", "09"), ("09", "10", "9", "nine")),
    "Unicode's forms": (("e\u0301", "é", "a"), ("a", "é")),
}


@pytest.mark.parametrize("kind", LABELS)
def test_the_classes_are_the_different_texts(kind: str, file: Path) -> None:
    texts, classes = LABELS[kind]
    splits = read_table(write_table(file, [(i, text) for i, text in enumerate((*texts, *texts))], "x,class"))
    assert splits.classes == classes
    names = [unicodedata.normalize("NFC", text) for text in texts]
    assert [classes[label] for label in splits.train.labels] == [*names, *names]
    is_warned = "which are two classes" in splits.notes.get("warning", "")
    assert is_warned == (kind in ("zeros in front", "powers of ten", "signs"))


@pytest.mark.parametrize("name", ["é", "e\u0301"])
def test_a_letter_in_two_parts_is_one_text(name: str, file: Path) -> None:
    rows = [(1, "é", "a", 5), (2, "e\u0301", "b", 5), (3, "é", "b", 6), (4, "e", "a", 6)]
    write_table(file, rows, f"x,k{name},class,{name}")
    for typed_name in ("é", "e\u0301"):
        splits = read_table(file, drop=("x",), categorical=(typed_name,))
        assert splits.columns == (Column("ké", ("e", "é")), Column("é", ("5", "6")))
        assert read_table(file, typed_name, drop=("x",)).classes == ("5", "6")
        assert read_table(file, drop=("x", typed_name)).columns == (Column("ké", ("e", "é")),)
