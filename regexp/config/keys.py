"""All keys that an override may set, and suggestions for keys and options that do not exist."""

import difflib
import types
from collections.abc import Iterator, Sequence
from dataclasses import dataclass, fields, is_dataclass, replace
from functools import cache
from typing import Any, Union, get_args, get_origin, get_type_hints

from regexp.config.fields import iterate_fields
from regexp.config.schema import OPTIONS, Config
from regexp.config.schemas.augmentation import STEPS
from regexp.config.suggestions.synonyms import OPTION_SYNONYMS, find_choice, find_synonym, normalize_word

# How alike two words must be, from 0 to 1, for one to be suggested for the other: a far-fetched suggestion is worse
# than none. It allows one mistake in 4 letters, and in shorter words one mistake.
_SIMILARITY, _SHORT_SIMILARITY = 0.75, 0.66
# A word of at least so many letters may be the beginning of another.
_MIN_PREFIX = 3


@dataclass(frozen=True)
class Key:
    """A key of the configuration, other than those that hold the name of a group's option.

    Attributes:
        name: the dotted name.
        default: the value in the first option that has the key.
        metadata: the metadata of its field: mark, help and constraints.
        type_description: the type of its values in words, such as "a number or null".
        owner: the dataclass that declares it.
        options: the options of its group that have it; empty if all have it, or if it is in no group.
    """

    name: str
    default: Any
    metadata: dict[str, Any]
    type_description: str
    owner: type[Any]
    options: tuple[str, ...] = ()


@cache
def list_keys() -> tuple[Key, ...]:
    """Return all keys but those of augmentation steps: those outside of groups first, then group by group."""
    top_level = [key for key in list_schema_keys(Config(), "") if "." not in key.name and key.name != "augmentation"]
    sections = {item.name: getattr(Config(), item.name) for item in fields(Config) if item.name not in OPTIONS}
    section_keys = [
        key
        for name, section in sections.items()
        if is_dataclass(section)
        for key in list_schema_keys(section, f"{name}.")
    ]
    group_keys = [key for group in OPTIONS for key in _list_group_keys(group)]
    return (*top_level, *section_keys, *group_keys)


@cache
def list_step_keys() -> tuple[Key, ...]:
    """Return the keys of all augmentation steps, named augmentation.STEP.KEY."""
    return tuple(key for name, step in STEPS.items() for key in list_schema_keys(step(), f"augmentation.{name}."))


def _list_group_keys(group: str) -> Iterator[Key]:
    """Yield the keys of a group, each with the options that have it."""
    options = OPTIONS[group]
    keys: dict[str, Key] = {}
    options_with_key: dict[str, list[str]] = {}
    for option, schema in options.items():
        for key in list_schema_keys(schema(), f"{group}."):
            keys.setdefault(key.name, key)
            options_with_key.setdefault(key.name, []).append(option)
    for name, key in keys.items():
        if name in (f"{group}.name", f"{group}.kind"):  # choosing an option sets these
            continue
        some_options = () if len(options_with_key[name]) == len(options) else tuple(options_with_key[name])
        yield Key(name, key.default, key.metadata, key.type_description, key.owner, some_options)


def list_schema_keys(node: Any, prefix: str) -> list[Key]:
    """Return the keys of an instance of a schema class, with a prefix before their names."""
    hints = get_type_hints(type(node))
    descriptions = {item.name: describe_type(hints[item.name]) for item in fields(node)}
    keys = [
        Key(prefix + name, value, metadata, descriptions.get(name, ""), type(node))
        for name, value, metadata in iterate_fields(node)
    ]
    open_fields = [item for item in fields(node) if item.metadata.get("is_open", False)]
    return [*keys, *(Key(prefix + item.name, {}, dict(item.metadata), "a mapping", type(node)) for item in open_fields)]


def describe_type(hint: Any) -> str:
    """Return a type in words: "a number or null" for `float | None`."""
    if get_origin(hint) in (Union, types.UnionType):
        members = [member for member in get_args(hint) if member is not int or float not in get_args(hint)]
        return " or ".join(describe_type(member) for member in members)
    if get_origin(hint) is list:
        return "a list of " + {int: "whole numbers", float: "numbers", str: "strings"}[get_args(hint)[0]]
    words = {int: "a whole number", float: "a number", bool: "true or false", str: "a string", type(None): "null"}
    return words.get(hint, "a mapping")


def find_key(name: str) -> Key | None:
    """Return the key with this dotted name, one of an augmentation step or in an open mapping included, or None."""
    for key in (*list_keys(), *list_step_keys()):
        if key.name == name:
            return key
        if key.metadata.get("is_open", False) and name.startswith(f"{key.name}."):
            return replace(key, name=name, default=None, type_description="any value")
    return None


def find_open_key(group: str, option: str | None) -> Key | None:
    """Return the key of an option that is a mapping of keys of the user's choice, such as model.options, or None."""
    for key in list_keys():
        is_in_option = key.name.partition(".")[0] == group and (not key.options or option in key.options)
        if is_in_option and key.metadata.get("is_open", False):
            return key
    return None


def suggest_keys(name: str, groups: Sequence[str] = tuple(OPTIONS)) -> list[str]:
    """Return the keys or groups that a user may have meant by a key that does not exist, the likeliest first.

    Args:
        name: the dotted name that the user typed.
        groups: the names of all groups.
    """
    key_names = list(dict.fromkeys(key.name for key in (*list_keys(), *list_step_keys())))
    prefix, dot, last_part = name.rpartition(".")
    # Keys without their prefix, or with a wrong one, are the commonest mistake of all.
    if prefixed_keys := [key for key in key_names if dot and key.endswith(f".{name}")]:
        return prefixed_keys
    # A section that is no group, with a value of its own.
    if name not in groups and (keys_of_section := [key for key in key_names if not dot and key.startswith(f"{name}.")]):
        return keys_of_section
    # An option's name in the place of its group's, as in cutmix.alpha.
    keys_of_option = [f"{group}.{last_part}" for group, options in OPTIONS.items() if prefix in options]
    if keys_of_option := [key for key in keys_of_option if key in key_names]:
        return keys_of_option
    # Nobody looks for a key of an augmentation step in another group.
    near_names = [key for key in key_names if prefix not in OPTIONS or not key.startswith("augmentation.")]
    if keys_with_last_part := [key for key in near_names if key.rpartition(".")[2] == last_part and key != name]:
        return sorted(keys_with_last_part, key=lambda key: -difflib.SequenceMatcher(None, name, key).ratio())[:3]
    if (synonym := find_synonym(name)) is not None:
        return [synonym]
    siblings = {key.rpartition(".")[2]: key for key in key_names if dot and key.rpartition(".")[0] == prefix}
    if match := _find_similar_word(last_part, list(siblings)):
        return [siblings[match]]
    # The first key of several with the same last part wins.
    keys_by_last = {key.rpartition(".")[2]: key for key in reversed(near_names)}
    if not dot and (match := _find_similar_word(name, list(groups))):
        return [match]
    match = _find_similar_word(last_part, list(keys_by_last))
    return [keys_by_last[match]] if match else []


def suggest_overrides(name: str, typed_value: str = "") -> list[str]:
    """Return what a user may have meant by an override of a key that does not exist, the likeliest first.

    Args:
        name: the key as it was typed.
        typed_value: its value as it was typed; "" to suggest keys without values.
    """
    if (choice := find_choice(name, typed_value or "true")) is not None:
        return [choice]
    return [f"{key}={typed_value}" if typed_value else key for key in suggest_keys(name)]


def closest_match(word: str, candidates: list[str]) -> str | None:
    """Return the candidate that a user meant by a word: a synonym of it, or one that is much like it, or None."""
    if (synonym := OPTION_SYNONYMS.get(normalize_word(word))) in candidates:
        return synonym
    return _find_similar_word(word, candidates)


def _find_similar_word(word: str, candidates: list[str]) -> str | None:
    """Return the candidate that is spelled most like a word, or that begins with it, or None if none is like it."""
    candidates_by_lower_case = {candidate.lower(): candidate for candidate in candidates}
    cutoff = _SIMILARITY if len(word) > 3 else _SHORT_SIMILARITY
    matches = difflib.get_close_matches(word.lower(), list(candidates_by_lower_case), n=1, cutoff=cutoff)
    if not matches and len(word) >= _MIN_PREFIX:
        matches = [candidate for candidate in candidates_by_lower_case if candidate.startswith(word.lower())]
    return candidates_by_lower_case[matches[0]] if matches else None
