"""The types and constraints of single keys: which values they accept, and messages about values that they do not.

The metadata of a field holds its constraints by name: at_least, above, at_most, below, choices, pattern, length,
ascending, odd and whole_from. With the prefix each_ a constraint holds for every entry of a list.
"""

import math
import re
from collections.abc import Callable, Iterator
from typing import Any

from omegaconf import OmegaConf
from omegaconf.errors import OmegaConfBaseException

from regexp.config.keys import Key, closest_match
from regexp.utils.messages import did_you_mean, format_value, quote_word

# For each constraint, a function of a value and a bound that tells whether the value satisfies it, and the message.
_CONSTRAINTS: dict[str, tuple[Callable[[Any, Any], bool], str]] = {
    "at_least": (lambda value, bound: value >= bound, "must be at least {}"),
    "above": (lambda value, bound: value > bound, "must be above {}"),
    "at_most": (lambda value, bound: value <= bound, "must be at most {}"),
    "below": (lambda value, bound: value < bound, "must be below {}"),
    "choices": (lambda value, bound: value in bound, "must be one of {}"),
    "pattern": (
        lambda value, bound: re.fullmatch(bound, str(value)) is not None,
        "must be at most 100 characters, only letters, digits and _.+-, beginning with a letter, a digit or _",
    ),
    "length": (lambda value, bound: len(value) == bound, "must have {} entries"),
    "ascending": (lambda value, bound: value == sorted(value), "must be in ascending order"),
    "odd": (lambda value, bound: value % 2 == 1, "must be odd"),
    "whole_from": (
        lambda value, bound: value < bound or value == int(value),
        "must be a whole number, or a fraction up to {0}.0",
    ),
}


def can_convert(value: Any, key: Key) -> bool:
    """Return whether OmegaConf can convert a value to the type of a key."""
    if key.owner not in _structures:
        _structures[key.owner] = OmegaConf.structured(key.owner)
    try:
        _structures[key.owner][key.name.rpartition(".")[2]] = value
    except OmegaConfBaseException:
        return False
    return True


# Configurations of schema classes, to try values in. Making one takes milliseconds; earlier values do not matter.
_structures: dict[type[Any], Any] = {}


def describe_wrong_type(name: str, value: Any, key: Key) -> str:
    """Return the message for a value that does not have the type of its key.

    Args:
        name: the key as the user typed it, which may be a step's of the user's own naming.
        value: the value that the user typed.
        key: the key of the schema.
    """
    problem = f"{name}={format_value(value)}: must be {key.type_description}"
    if key.type_description.startswith("a number") and (percent := re.fullmatch(r"(\d+(?:\.\d+)?) ?%", str(value))):
        return f"{problem}; did you mean {name}={format_value(float(percent[1]) / 100, mark_fractions=True)}?"
    entry_types = {
        "a list of whole numbers": (int,),
        "a list of numbers": (int, float),
        "a list of strings": (str,),
    }
    if type(value) in entry_types.get(key.type_description, ()) and "length" not in key.metadata:
        return f"{problem}; did you mean {quote_word(f'{name}=[{format_value(value)}]')}?"
    examples_instead_of_null = {"a whole number or null": "1", "a number or null": "1.0", "a string or null": "word"}
    if key.default is None:
        example = examples_instead_of_null.get(key.type_description, "true")
    else:
        example = "[word]" if key.default == [] else format_value(key.default)
    return f"{problem}; for example {quote_word(f'{name}={example}')}"


def describe_constraints(metadata: dict[str, Any]) -> list[str]:
    """Return a field's constraints in words, each without its "must be" or "must have"."""
    descriptions = []
    for name, bound in metadata.items():
        constraint = name.removeprefix("each_")
        if constraint in _CONSTRAINTS:
            words = _describe_constraint(constraint, bound).removeprefix("must be ").removeprefix("must have ")
            descriptions.append(f"each {words}" if name.startswith("each_") else words)
    return descriptions


def _describe_constraint(name: str, bound: Any) -> str:
    return _CONSTRAINTS[name][1].format(", ".join(bound) if name == "choices" else format_value(bound))


def find_violations(value: Any, metadata: dict[str, Any]) -> Iterator[str]:
    """Yield a message for each constraint in a field's metadata that a value violates."""
    if value is None:
        return
    entries = value if isinstance(value, list) else [value]
    if any(isinstance(entry, float) and not math.isfinite(entry) for entry in entries):
        yield "must be finite"
        return
    for name, bound in metadata.items():
        constraint = name.removeprefix("each_")
        if constraint not in _CONSTRAINTS:
            continue
        # Whether there is such a choice is known once the whole configuration is.
        if name == "choices" and re.fullmatch(metadata.get("further_choices", ""), str(value)):
            continue
        is_kept = _CONSTRAINTS[constraint][0]
        if name.startswith("each_"):
            if not all(is_kept(entry, bound) for entry in value):
                yield f"every entry {_describe_constraint(constraint, bound)}"
        elif not is_kept(value, bound):
            yield _describe_constraint(constraint, bound)


def suggest_value(name: str, value: Any, metadata: dict[str, Any]) -> str:
    """Return the end of a message that suggests a value instead of one that breaks a constraint.

    Args:
        name: the key as the user typed it.
        value: the value that breaks a constraint.
        metadata: the metadata of the key's field.
    """
    if "choices" in metadata:
        match = closest_match(str(value), list(metadata["choices"]))
        return did_you_mean([f"{name}={match}"] if match else [])
    example = format_value(metadata.get("example", metadata["default"]))
    return f"; for example {quote_word(f'{name}={example}')}"
