"""Mistakes that follow a pattern: a class in place of an option, a range or an interval in place of values."""

import re
from collections.abc import Mapping, Sequence
from typing import Any

from hydra.core.override_parser.types import IntervalSweep, Override

from regexp.config.keys import Key, closest_match, find_key
from regexp.config.schemas.augmentation import STEPS_BY_TARGET
from regexp.utils.messages import did_you_mean, format_value, quote_word, say

# 0..4, 0...4 and 0-4 end with 4; 0:5 ends before 5, as in Python.
_RANGE = re.compile(r"(-?\d+)(\.\.\.?|-|:)(-?\d+)")


def describe_target(name: str, value: str, groups: Mapping[str, Sequence[str]]) -> str | None:
    """Return the end of the message for GROUP._target_=CLASS, or None for other keys.

    Args:
        name: the dotted name of the key.
        value: its value as it was typed.
        groups: the options of each group.
    """
    group, _, last_part = name.partition(".")
    if last_part != "_target_" or group not in groups or group == "augmentation":
        return None
    match = closest_match(value.rpartition(".")[2], list(groups[group]))
    remedy = did_you_mean([f"{group}={match}"]) if match else f"; choose one of {', '.join(groups[group])}"
    return f"{group} is chosen by the name of an option{remedy}"


def describe_unnamed_step(value: Mapping[str, Any]) -> str | None:
    """Return the end of the message for a transform that is given as augmentation itself, or None for other values.

    Args:
        value: the value of augmentation, a mapping.
    """
    target = value.get("_target_")
    if target is None:
        return None
    arguments = {name: argument for name, argument in value.items() if name != "_target_"}
    transform = str(target).rpartition(".")[2]
    if transform in STEPS_BY_TARGET:
        step = f"+augmentation.{STEPS_BY_TARGET[transform]}={format_value(arguments)}"
    else:
        target = target if "." in str(target) else f"torchvision.transforms.{target}"
        step = f"+augmentation.NAME={format_value({'_target_': target, **arguments})}"
    return f"augmentation holds steps by their names; type {quote_word(step)}"


def describe_range(name: str, value: Any, key: Key) -> str | None:
    """Return the end of the message for a range such as 0..4 as the value of a number, or None for other values.

    Args:
        name: the key as it was typed.
        value: its value.
        key: the key of the schema.
    """
    match = _RANGE.fullmatch(value) if isinstance(value, str) else None
    if match is None or "number" not in key.type_description or key.type_description.startswith("a list"):
        return None
    first, sign, last = int(match[1]), match[2], int(match[3])
    end = last if sign == ":" else last + 1
    values = f"range({end})" if first == 0 else f"range({first},{end})"
    command, call = f"type regexp -m {quote_word(f'{name}={values}')}", f"call sweep({{{name!r}: {values}}})"
    return f"several values make a sweep; {say(command, call)}"


def describe_interval(override: Override) -> str | None:
    """Return the end of the message for an interval, or None for other values.

    Args:
        override: the override.
    """
    interval = override.value()
    if not isinstance(interval, IntervalSweep):
        return None
    start, end = float(interval.start or 0), float(interval.end or 0)
    if start > 0 and end >= 10 * start:
        values = [start * (end / start) ** (i / 3) for i in range(4)]
    else:
        values = [start + (end - start) * i / 3 for i in range(4)]
    key = find_key(override.key_or_group)
    whole = key is not None and key.type_description.startswith("a whole number")
    texts = dict.fromkeys(format_value(round(value) if whole else float(f"{value:.2g}")) for value in values)
    name = override.key_or_group
    command, call = f"type regexp -m {name}={','.join(texts)}", f"call sweep({{{name!r}: [{', '.join(texts)}]}})"
    return (
        "an interval is for a sweeper that searches, such as hydra/sweeper=optuna; "
        f"to compare some of its values {say(command, call)}"
    )
