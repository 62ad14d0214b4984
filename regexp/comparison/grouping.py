"""What varied between runs, found from what they are and how they were asked for. Imports no torch."""

from collections.abc import Sequence
from dataclasses import dataclass, field, replace

from regexp.comparison.loading import Record
from regexp.config.keys import closest
from regexp.config.validation import did_you_mean, format_value
from regexp.errors import ConfigError
from regexp.runs.identity import IGNORED_KEYS, short_names

# In place of a value, where a configuration has no such key.
ABSENT = "-"


@dataclass
class Configuration:
    """Runs that differ in their seed only.

    Attributes:
        values: of the keys that varied, as one would type them.
    """

    values: dict[str, str]
    records: list[Record] = field(default_factory=list)


def configurations(records: Sequence[Record]) -> list[Configuration]:
    """The runs by configuration, in the order in which they come."""
    settings: dict[str, list[Record]] = {}
    for record in records:
        settings.setdefault(record.setting, []).append(record)
    named = _augmentation_names(records)
    levels = [_levels(alike, named) for alike in settings.values()]
    keys = _varied(levels, records)
    return [
        Configuration({key: own.get(key, ABSENT) for key in keys}, alike)
        for own, alike in zip(levels, settings.values(), strict=True)
    ]


def matching(records: Sequence[Record], conditions: Sequence[str]) -> list[Record]:
    """The runs that meet all conditions, each "key=value", or "key=one,other" for any of several.

    Keys may be short (lr for optimizer.lr) where that is clear. Raises ConfigError for an unknown key, or where a value
    occurs nowhere.
    """
    if not conditions:
        return list(records)
    named = _augmentation_names(records)
    levels = [{**_levels([record], named), "seed": str(record.seed)} for record in records]
    chosen = list(range(len(records)))
    for condition in conditions:
        key, values = read_condition(condition, {key: None for own in levels for key in own})
        there = {own.get(key, ABSENT): None for own in levels}
        wanted = {same_value(value, list(there), condition) for value in values}
        chosen = [i for i in chosen if levels[i].get(key, ABSENT) in wanted]
    return [records[i] for i in chosen]


def read_condition(condition: str, keys: Sequence[str] | dict[str, None]) -> tuple[str, list[str]]:
    """The key and the values of "key=value,value". Raises ConfigError."""
    key, equals, values = condition.partition("=")
    if not equals or not values:
        raise ConfigError(f"{condition}: is no condition; type key=value, for example normalization=batch")
    return full_key(key, keys), [value for value in split_values(values) if value]


def split_values(values: str) -> list[str]:
    """Separated by commas, but for those within brackets."""
    parts, depth = [""], 0
    for letter in values:
        depth += (letter in "[{(") - (letter in "]})")
        if letter == "," and depth == 0:
            parts.append("")
        else:
            parts[-1] += letter
    return parts


def full_key(key: str, keys: Sequence[str] | dict[str, None]) -> str:
    """The one key that is meant, which may be shortened to its last parts. Raises ConfigError."""
    if key in keys:
        return key
    meant = [known for known in keys if known.endswith(f".{key}")]
    if len(meant) == 1:
        return meant[0]
    if meant:
        raise ConfigError(f"{key}: is one of several; type {' or '.join(meant)}")
    close = closest(key, [*keys, *short_names(list(keys)).values()])
    raise ConfigError(f"{key}: no run has such a key{did_you_mean([close] if close else [])}")


def varied_key(key: str, keys: Sequence[str], option: str) -> str:
    """Likewise one of the keys that varied. Raises ConfigError."""
    try:
        return full_key(key, keys)
    except ConfigError as error:
        close = closest(key, [*keys, *short_names(list(keys)).values()])
        there = f"what varied is {', '.join(keys)}" if keys else "nothing varied"
        text = f"{option} {key}: {there}{did_you_mean([close] if close else [])}"
        raise ConfigError(text) from error


def same_value(value: str, there: Sequence[str], condition: str) -> str:
    """The value among those there that was meant: 1e-3 is 0.001. Raises ConfigError."""
    value = value.replace(" ", "")  # within brackets
    for known in there:
        if value == known or (_number(value) is not None and _number(value) == _number(known)):
            return known
    raise ConfigError(f"{condition}: no run has that; values are {', '.join(dict.fromkeys(there))}")


def _number(text: str) -> float | None:
    try:
        return float(text)
    except ValueError:
        return None


def _levels(alike: Sequence[Record], named: dict[str, str]) -> dict[str, str]:
    """Of runs of one setting, every key as one would type it: what they have, and beyond it what was typed."""
    config = alike[0].config
    levels = {key: format_value(value) for key, value in config.items()}
    levels["augmentation"] = named.get(_augmentation(alike[0]), str(config["augmentation"]))
    levels["augmentation.steps"] = str(config["augmentation"])
    for record in alike:
        for key, value in _typed(record).items():
            levels.setdefault(key, value)
    return levels


def _typed(record: Record) -> dict[str, str]:
    """What a run's overrides set, by key."""
    typed = {}
    for override in record.overrides:
        key, _, value = override.lstrip("+").partition("=")
        if not key.startswith(("~", "hydra")) and key != "seed" and key not in IGNORED_KEYS:
            typed[key] = value
    return typed


def _augmentation(record: Record) -> str:
    return format_value({key: value for key, value in record.config.items() if key.startswith("augmentation")})


def _augmentation_names(records: Sequence[Record]) -> dict[str, str]:
    """Of each augmentation the option by which it was first chosen."""
    names: dict[str, str] = {}
    for record in records:
        if (option := _typed(record).get("augmentation")) is not None:
            names.setdefault(_augmentation(record), option)
    return names


def _varied(levels: Sequence[dict[str, str]], records: Sequence[Record]) -> list[str]:
    """Keys that tell all settings apart: those that were typed first, and of the others as few as are needed."""
    typed = dict.fromkeys(key for record in records for key in _typed(record))
    keys = [key for key in typed if len({own.get(key, ABSENT) for own in levels}) > 1]
    others = [key for key in dict.fromkeys(key for own in levels for key in own) if key not in typed]
    while others and len({_row(own, keys) for own in levels}) < len(levels):
        # The key that tells most settings apart beyond those there are already; of several the first.
        keys.append(max(others, key=lambda key: len({_row(own, [*keys, key]) for own in levels})))
        others.remove(keys[-1])
    return keys


def _row(levels: dict[str, str], keys: Sequence[str]) -> tuple[str, ...]:
    return tuple(levels.get(key, ABSENT) for key in keys)


def without_repeats(found: Sequence[Configuration]) -> tuple[list[Configuration], int]:
    """Each seed once: of runs of the same configuration and seed a finished one, of several the newest.

    Returns how many are left out, too.
    """
    kept, left_out = [], 0
    for configuration in found:
        by_seed: dict[int, Record] = {}
        for record in configuration.records:
            other = by_seed.get(record.seed)
            if other is None or (record.finished, record.started) >= (other.finished, other.started):
                by_seed[record.seed] = record
        left_out += len(configuration.records) - len(by_seed)
        kept.append(replace(configuration, records=list(by_seed.values())))
    return kept, left_out
