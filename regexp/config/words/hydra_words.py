"""Overrides in the form in which Hydra reads them as they were typed.

Hydra reads `name=1.10` as a number, `data.root=a,b` as a sweep, and `data.root=Bob's pics` not at all. A key that holds
text takes what was typed letter by letter, a path that exists above all, so nobody needs quotes within quotes:

    name=1.10               name="1.10"
    data.root=Bob's pics    data.root="Bob's pics"
    epochs=1e2              epochs=100

What Hydra offers on purpose stays: its own quotes, null, interpolations (`${...}`), and several values separated by
commas or within choice(...). The form is a fixed point: an override in it is not changed again.
"""

import os
import re
from collections.abc import Iterator, Sequence
from decimal import Decimal
from typing import Any

from hydra.core.override_parser.types import Quote, QuotedString
from omegaconf import grammar_parser
from omegaconf.errors import GrammarParseError

from regexp.config.words.elements import is_quoted, split_call, split_elements, unwrap
from regexp.config.words.homes import expand_home
from regexp.config.words.parsing import is_readable, parse_override
from regexp.config.words.value_kinds import ValueKind, find_value_kind

# Hydra's functions that take a list of values, and its other functions.
_LIST_FUNCTIONS = ("choice", "shuffle", "sort")
_OTHER_FUNCTIONS = ("range", "interval", "glob", "tag", "extend_list", "int", "float", "str", "bool", "json_str")
_NUMBER = r"[+-]?(?:\d[\d_]*\.?[\d_]*|\.\d[\d_]*)(?:[eE][+-]?\d+)?"
# A number between the brackets and commas of a value.
_NUMBER_ELEMENT = re.compile(rf"(?<![^\[(,=:\s]){_NUMBER}(?![^\])}},\s])")
# An element that Hydra does not read as text.
_CONVERTED_ELEMENT = re.compile(rf"(?<![^\[(,\s])(?i:{_NUMBER}|true|false|[+-]?inf|[+-]?nan)(?![^\]),\s])")
# No count is larger, and a power such as 1e999999999 must not be written out.
_MAX_COUNT = 10**18
# The largest number of commas in a path that is one of several.
_MAX_COMMAS = 8
_MISSING = "???"  # OmegaConf's mark for a value that is missing
_REFERENCE = "${"
_ESCAPED_REFERENCE = re.compile(r"\\\$\{")
UNREADABLE: Any = object()  # stands for the value of a text that Hydra cannot read


def make_hydra_word(word: str, multirun: bool = False) -> str:
    """Return an override in the form in which Hydra reads it as it was typed.

    Args:
        word: the override.
        multirun: whether the command line is a sweep. If so, commas between paths that do not exist separate values.

    Raises:
        ConfigError: a path begins with a home that does not exist.
    """
    typed_key, equals, value = word.partition("=")
    if not equals or not value or typed_key.startswith("~"):
        return word
    return f"{typed_key}={_convert_value(typed_key.lstrip('+'), value, multirun)}"


def quote_text(text: str) -> str:
    """Return a text in double quotes, so that Hydra and OmegaConf read it letter by letter."""
    return _quote(re.sub(r"(\\*)\$\{", r"\1\1\\${", text))


def read_element(text: str) -> Any:
    """Return the value that Hydra reads in one element of an override, or UNREADABLE."""
    if not is_readable(f"x={text}"):
        return UNREADABLE
    override = parse_override(f"x={text}")
    return UNREADABLE if override.is_sweep_override() else override.value()


def write_count(number: str) -> str:
    """Return a number without fraction and exponent if it is whole, else as it is."""
    if re.fullmatch(_NUMBER, number) is None or not set(number) & set(".eE"):
        return number
    value = Decimal(number.replace("_", ""))
    is_count = -_MAX_COUNT < value < _MAX_COUNT and value == value.to_integral_value()
    return str(int(value)) if is_count else number


def _convert_value(key: str, value: str, multirun: bool) -> str:
    """Return the value of a key in the form in which Hydra reads it as it was typed; see `make_hydra_word`."""
    kind = find_value_kind(key)
    entries = unwrap(value, "{}")
    if entries is not None and (kind is None or not kind.is_text):
        return f"{{{','.join(_convert_entries(key, split_elements(entries)))}}}"
    if kind is None:
        return value
    if kind.content == "count":
        return _NUMBER_ELEMENT.sub(lambda number: write_count(number[0]), value)
    if kind.content == "option":
        options = _CONVERTED_ELEMENT.sub(lambda option: quote_text(option[0]), value)
        is_name = not is_readable(f"x={options}") and not set(value) & set("[({")  # probably a path
        return quote_text(value) if is_name else options
    return _convert_text(value, kind, multirun)


def _convert_entries(key: str, entries: Sequence[str]) -> Iterator[str]:
    """Yield the entries `NAME: VALUE` of a mapping, each with its value converted."""
    for entry in entries:
        name, colon, value = entry.partition(":")
        converted_value = _convert_value(f"{key}.{name.strip()}", value.strip(" \t"), False)
        yield f"{name}:{converted_value}" if colon else entry


def _convert_text(value: str, kind: ValueKind, multirun: bool) -> str:
    """Return the value of a key that holds text, or lists of texts; see `make_hydra_word`."""
    if not kind.is_list and (not kind.is_swept or _is_path(value, kind)):
        return _convert_element(value, kind)
    call = split_call(value)
    if call is not None and call[0] in _OTHER_FUNCTIONS and is_readable(f"x={value}"):
        return value
    if call is not None and call[0] in _LIST_FUNCTIONS:
        arguments = [_convert_argument(argument, kind) for argument in split_elements(call[1])]
        return f"{call[0]}({','.join(arguments)})"
    elements = split_elements(value)
    if kind.content == "path" and not kind.is_list and len(elements) > 1:
        elements = _join_paths(elements, kind)
        if not multirun and not all(is_quoted(element) or _is_path(element, kind) for element in elements):
            elements = [value]
    return ",".join(_convert_argument(element, kind) for element in elements)


def _join_paths(elements: Sequence[str], kind: ValueKind) -> list[str]:
    """Join the elements that are one existing path together: the comma between them is part of its name."""
    paths: list[str] = []
    remaining = list(elements)
    while remaining:
        counts = range(min(len(remaining), _MAX_COMMAS), 1, -1)
        count = next((count for count in counts if _is_path(",".join(remaining[:count]), kind)), 1)
        paths.append(",".join(remaining[:count]))
        del remaining[:count]
    return paths


def _convert_argument(argument: str, kind: ValueKind) -> str:
    """Return one of several values: a text, or a list of texts; a named argument of a function stays as it is."""
    if re.match(r"\s*(reverse|seed)=", argument):
        return argument
    if not kind.is_list:
        return _convert_element(argument if _is_path(argument, kind) else argument.strip(" \t"), kind)
    entries = unwrap(argument, "[]")
    if entries is None:
        return _convert_element(argument, kind)
    if not entries.strip():
        return argument
    texts = (_convert_element(entry.strip(" \t"), kind) for entry in split_elements(entries))
    return f"[{','.join(texts)}]"


def _convert_element(text: str, kind: ValueKind) -> str:
    """Return one text as Hydra reads it letter by letter, unless it uses Hydra's own notation."""
    if kind.content == "path":
        expanded_text = _expand_home(text)
        text = text if kind.is_swept else expanded_text  # the others are expanded where they are used
    reading = read_element(text)
    refers = _REFERENCE in text
    if text == _MISSING:
        return quote_text(f"./{text}") if _is_path(text, kind) else text
    if reading == text and not refers:
        return text
    if _is_path(text, kind):
        return quote_text(text)
    if is_quoted(text) or (reading is None and kind.takes_null):
        return text
    if refers and _is_interpolation(text):
        return text if isinstance(reading, str) else _quote(text)
    uses_escapes = isinstance(reading, str) and "\\" in text and not refers
    if uses_escapes and (kind.content == "text" or _is_path(reading, kind)):
        return text
    return quote_text(text)


def _expand_home(text: str) -> str:
    """Return a path with its home in place of ~, in quotes if it has them; see `expand_home`."""
    path = _ESCAPED_REFERENCE.sub(r"${", str(read_element(text))) if is_quoted(text) else text
    scheme = "file://" if path.startswith("file://") else ""
    expanded_path = scheme + os.fspath(expand_home(path.removeprefix(scheme)))
    if not path.removeprefix(scheme).startswith("~") or expanded_path == path:
        return text
    return _quote(expanded_path) if is_quoted(text) else expanded_path


def _quote(text: str) -> str:
    return QuotedString(text, Quote.double).with_quotes()


def _is_path(text: str, kind: ValueKind) -> bool:
    """Return whether a key holds paths, and a text is one that exists."""
    return kind.content == "path" and (os.path.lexists(text) or os.path.exists(os.path.expanduser(text)))


def _is_interpolation(text: str) -> bool:
    """Return whether OmegaConf can read the references of a text."""
    try:
        grammar_parser.parse(text)
    except GrammarParseError:
        return False
    return True
