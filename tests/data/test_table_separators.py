"""The separator of a table, found in a header whose names are in quotes or not."""

from collections.abc import Collection
from pathlib import Path

import pytest

from regexp.data.tables.csv_file import SEPARATORS, read_csv, read_header


@pytest.fixture
def file(tmp_path: Path) -> Path:
    return tmp_path / "own.csv"


@pytest.mark.parametrize("separator", SEPARATORS)
@pytest.mark.parametrize("quoted", [(0, 1, 2), (0, 1), (1, 2), (1,), ()])
@pytest.mark.parametrize(
    "name", ["x", "x y", *(f"a{other}b{other}c{other}d" for other in SEPARATORS), 'in ""x""', "a\nb"]
)
def test_names_in_quotes_do_not_hide_the_separator(
    separator: str, quoted: Collection[int], name: str, file: Path
) -> None:
    names = ["kind", name, "class"]
    if name not in ("x", "x y"):
        quoted = {*quoted, 1}
    header = separator.join(f'"{text}"' if i in quoted else text for i, text in enumerate(names))
    file.write_text("\n".join([header, *(separator.join(row) for row in (("a", "1", "n"), ("b", "2", "y")))]))
    assert read_header(file) == ("kind", name.replace('""', '"'), "class")
    assert list(read_csv(file).columns) == list(read_header(file))


def test_a_quote_in_a_name_is_a_character(file: Path) -> None:
    file.write_text('size 6",size 7",class\n1,2,a\n')
    assert read_header(file) == ('size 6"', 'size 7"', "class")
