"""Values of Python as overrides that Hydra reads as exactly these values.

"optimizer.lr": 0.01        optimizer.lr=0.01
"early_stopping": None      early_stopping=null
"name": "1.10"              name="1.10"
"model.hidden_sizes": [8]   model.hidden_sizes=[8]
"""

import os
import re
from collections.abc import Iterator, Mapping, Sequence
from itertools import product
from typing import Any

from regexp.config.words.hydra_words import make_hydra_word, quote_text, read_element
from regexp.config.words.value_kinds import find_value_kind
from regexp.errors import ConfigError
from regexp.utils.messages import format_value

# The overrides of a run: each a text "KEY=VALUE", or values by key.
Overrides = Sequence[str] | Mapping[str, Any]

# A text that may stand without quotes in a list or a mapping.
_PLAIN_ELEMENT = re.compile(r"[\w./+-]+")


def write_overrides(overrides: Overrides) -> list[str]:
    """Return the overrides of a run as texts.

    Raises:
        ConfigError: they are neither a list of texts nor a dictionary, or a value cannot be written as an override.
    """
    if isinstance(overrides, Mapping):
        return [_write_override(key, value) for key, value in _flatten(overrides)]
    if isinstance(overrides, str) or not isinstance(overrides, Sequence):
        raise ConfigError(
            f'{overrides!r}: the overrides of a run are a dictionary such as {{"seed": 1}}, or a list of texts such as '
            '["seed=1"]'
        )
    for override in overrides:
        if not isinstance(override, str):
            raise ConfigError(
                f'{override!r}: must be a text such as "seed=1"; a dictionary such as {{"seed": 1}} goes alone'
            )
    return list(overrides)


def name_keywords(keywords: Mapping[str, Any]) -> dict[str, Any]:
    """Return the values of keyword arguments by key: two underscores stand for a dot, as in optimizer__lr."""
    return {name.replace("__", "."): value for name, value in keywords.items()}


def write_conditions(conditions: Sequence[str] | str | Mapping[str, Any]) -> list[str]:
    """Return conditions on runs as texts "key=value,value"; a mapping has a value, or a list of them, for each key."""
    if isinstance(conditions, Mapping):
        return [
            f"{key}={','.join(format_value(value, mark_fractions=True) for value in _list_values(values))}"
            for key, values in conditions.items()
        ]
    return [conditions] if isinstance(conditions, str) else list(conditions)


def expand_python_grid(grid: Mapping[str, Any]) -> list[dict[str, Any]]:
    """Return every combination of the values of a grid, the last key varying fastest.

    Args:
        grid: the values by key: a list, range or array of values, or a single value.
    """
    values_of_keys = [_list_values(value) for value in grid.values()]
    return [dict(zip(grid, combination, strict=True)) for combination in product(*values_of_keys)]


def _list_values(value: Any) -> Sequence[Any]:
    """Return the values of a key in a grid; a text, a mapping or a number is a single one."""
    value = _make_builtin(value)
    return value if isinstance(value, Sequence) and not isinstance(value, str | bytes) else [value]


def _flatten(overrides: Mapping[str, Any]) -> Iterator[tuple[str, Any]]:
    """Yield keys with their values; those of a dictionary within it by dotted key, unless it is added with +."""
    for key, value in overrides.items():
        if isinstance(value, Mapping) and value and not str(key).startswith("+"):
            yield from _flatten({f"{key}.{name}": entry for name, entry in value.items()})
        else:
            yield key, value


def _write_override(key: Any, value: Any) -> str:
    """Return an override that sets a key to a value, or deletes it where the key begins with ~."""
    if not isinstance(key, str):
        raise ConfigError(f'{key!r}: a key must be a text, such as "optimizer.lr"')
    if key.startswith("~") and value is None:
        return key
    value = _make_builtin(value)
    text = _write_text(key, value) if isinstance(value, str) else _write_element(key, value)
    return f"{key}={text}"


def _make_builtin(value: Any) -> Any:
    """Return numbers and arrays of NumPy or torch as those of Python, a path as text, and all else as it is."""
    if isinstance(value, os.PathLike):
        return os.fspath(value)
    # NumPy's float64 is a float whose text is not a number.
    return value.tolist() if hasattr(value, "tolist") else value


def _write_text(key: str, text: str) -> str:
    """Return a text as it may be typed where that is read as this very text, else in quotes."""
    name, kind = key.lstrip("+"), find_value_kind(key.lstrip("+"))
    is_home = kind is not None and kind.content == "path" and text.startswith("~")  # stands for a path by intention
    if is_home or _reads_as(make_hydra_word(f"{name}={text}").partition("=")[2], text):
        return text
    return quote_text(text)


def _write_element(key: str, value: Any) -> str:
    """Return a value, or one within a list or a mapping."""
    value = _make_builtin(value)
    if value is None:
        return "null"
    if isinstance(value, bool):
        return "true" if value else "false"
    if isinstance(value, int | float):
        return repr(value)
    if isinstance(value, str):
        return value if _PLAIN_ELEMENT.fullmatch(value) and _reads_as(value, value) else quote_text(value)
    if isinstance(value, Mapping):
        return "{" + ",".join(f"{name}:{_write_element(key, entry)}" for name, entry in value.items()) + "}"
    if isinstance(value, Sequence) and not isinstance(value, bytes):
        return "[" + ",".join(_write_element(key, entry) for entry in value) + "]"
    raise ConfigError(
        f"{key}={value!r}: must be a number, a text, a boolean, None, or a list or a dictionary of those, "
        f"not {type(value).__name__}"
    )


def _reads_as(word: str, text: str) -> bool:
    """Return whether Hydra and OmegaConf read a word as this very text."""
    reading = read_element(word)
    return isinstance(reading, str) and reading == text and "${" not in text
