"""Keys and values as users type them, to find those that runs have. Imports no torch."""

import re
from collections.abc import Sequence

from regexp.comparison.key_names import abbreviate_keys
from regexp.config.keys import closest_match
from regexp.errors import ConfigError
from regexp.runs.identity import short_names
from regexp.utils.messages import did_you_mean, say, show_option


def parse_condition(condition: str, keys: Sequence[str]) -> tuple[str, str]:
    """Return the key and the text of the values of a condition "key=value,value".

    Args:
        condition: the condition as it was typed.
        keys: the keys that exist.

    Raises:
        ConfigError: the condition is malformed, or its key does not exist.
    """
    key, equals, values = condition.partition("=")
    if not equals or not values:
        example = say(
            "type key=value, for example normalization=batch", 'give a key and its value, {"normalization": "batch"}'
        )
        raise ConfigError(f"{condition}: is not a condition; {example}")
    return resolve_key(key, keys), values


def resolve_values(typed_values: str, existing_values: Sequence[str], condition: str) -> list[str]:
    """Return the existing values that a text names: one that contains commas itself, or several between commas.

    Args:
        typed_values: the text, such as "0.1,0.2", "range(2)" or "[64,32]".
        existing_values: the values that runs have.
        condition: the condition with the values, for the message.

    Raises:
        ConfigError: no run has one of the values.
    """
    if typed_values in existing_values:
        return [typed_values]
    values = [value for text in split_values(typed_values) if text for value in _expand_values(text)]
    return [resolve_value(value, existing_values, condition) for value in values]


def _expand_values(text: str) -> list[str]:
    """Return the values that a function of Hydra's, such as range(3), stands for; any other text stands for itself."""
    if not re.fullmatch(r"(range|choice)\(.*\)", text):
        return [text]
    from regexp.config.words.parsing import is_readable, parse_override  # Hydra, which is seldom needed here

    return list(map(str, parse_override(f"x={text}").sweep_string_iterator())) if is_readable(f"x={text}") else [text]


def split_values(text: str) -> list[str]:
    """Split a text at its commas, except at those within brackets."""
    values = [""]
    depth = 0
    for character in text:
        if character in "[{(":
            depth += 1
        elif character in "]})":
            depth -= 1
        if character == "," and depth == 0:
            values.append("")
        else:
            values[-1] += character
    return values


def resolve_key(key: str, keys: Sequence[str]) -> str:
    """Return the full name of a key that may be shortened to its last parts, or abbreviated as tables do it.

    Args:
        key: the key as it was typed.
        keys: the keys that exist.

    Raises:
        ConfigError: no key matches, or more than one does.
    """
    if key in keys:
        return key
    matching_keys = [full_key for full_key in keys if full_key.endswith(f".{key}")]
    matching_keys = matching_keys or [full_key for full_key, name in abbreviate_keys(keys).items() if name == key]
    if len(matching_keys) == 1:
        return matching_keys[0]
    if matching_keys:
        raise ConfigError(f"{key}: fits more than one key; type {' or '.join(matching_keys)}")
    raise ConfigError(f"{key}: no run has such a key{_suggest_key(key, keys)}")


def resolve_varied_key(key: str, keys: Sequence[str], option: str) -> str:
    """Return the full name of a key that must be one of those that varied.

    Args:
        key: the key as it was typed.
        keys: the keys that varied.
        option: the command-line option that names the key, for the message.

    Raises:
        ConfigError: no key matches, or more than one does.
    """
    try:
        return resolve_key(key, keys)
    except ConfigError as error:
        existing = f"the keys that varied are {', '.join(keys)}" if keys else "no key varied"
        raise ConfigError(f"{show_option(option, key)}: {existing}{_suggest_key(key, keys)}") from error


def resolve_value(value: str, existing_values: Sequence[str], condition: str) -> str:
    """Return the existing value that equals a typed one, also as a number: 1e-3 is 0.001.

    Args:
        value: the value as it was typed.
        existing_values: the values that runs have.
        condition: the condition with the value, for the message.

    Raises:
        ConfigError: no run has the value.
    """
    if value in existing_values:
        return value
    words, number = value.replace(" ", ""), _number(value)  # blanks within brackets mean nothing
    for existing_value in existing_values:
        if words == existing_value.replace(" ", "") or (number is not None and number == _number(existing_value)):
            return existing_value
    remedy = "; every key needs a condition with a flag of its own" if "=" in value else ""
    raise ConfigError(
        f"{condition}: no run has this value; the values are {', '.join(dict.fromkeys(existing_values))}{remedy}"
    )


def _suggest_key(key: str, keys: Sequence[str]) -> str:
    """Return "; did you mean ...?" with the key that is spelled most like this one, or "" if none is like it."""
    match = closest_match(key, [*keys, *short_names(list(keys)).values()])
    return did_you_mean([match] if match else [])


def _number(text: str) -> float | None:
    """Return the number that a text spells, or None if it spells none."""
    try:
        return float(text)
    except ValueError:
        return None
