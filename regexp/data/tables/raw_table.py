"""The cells of a table as its file holds them, and the messages about them."""

import unicodedata
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path

from regexp.config.words.hydra_words import quote_text
from regexp.errors import DataError
from regexp.utils.messages import quote_word, show_bytes

# Characters with which a text in a list must be in quotes.
_SPECIAL = set(",[]{}()\"'\\:=$")


@dataclass(frozen=True)
class RawTable:
    """The cells of a table.

    Attributes:
        path: the file.
        columns: the cells of each column by its name, as `clean_cell` returns them.
        place: the word for a row's place in the file, "line" or "row".
        places: the place of each row.
        text_columns: the names of the columns that hold texts, whatever they look like.
        left_out: what of the file is not in the columns, in words.
    """

    path: Path
    columns: Mapping[str, Sequence[str]]
    place: str
    places: Sequence[int]
    text_columns: frozenset[str] = frozenset()
    left_out: tuple[str, ...] = ()

    def locate(self, i: int) -> str:
        """Return where row i is in the file: "line 17"."""
        return f"{self.place} {self.places[i]:,}"


def clean_cell(text: str) -> str:
    """Return the text of a cell, or the name of a column, without spaces at its ends and in Unicode's form NFC.

    A letter with an accent is one character or two, and the same text in both. Clean cells, not a whole file: NFC turns
    the Greek question mark into a semicolon.
    """
    return unicodedata.normalize("NFC", text.strip())


def table_error(path: Path, message: str) -> DataError:
    """Return the error about a table."""
    return DataError(f"data=table: {show_bytes(str(path))}: {message}")


def suggest_list(key: str, names: Sequence[str]) -> str:
    """Return the override that sets a key to a list of columns, as it is typed in a shell."""
    texts = [quote_text(name) if _SPECIAL & set(name) or name != name.strip() else name for name in names]
    return quote_word(f"{key}=[{','.join(texts)}]")
