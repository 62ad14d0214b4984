"""Which keys hold text, paths or whole numbers, and which words choose options."""

import types
from collections.abc import Iterator
from dataclasses import dataclass, fields, is_dataclass
from functools import cache
from typing import Any, Union, get_args, get_origin, get_type_hints

from hydra.conf import HydraConf

from regexp.config.executor_registry import list_mapping_prefixes, list_text_keys
from regexp.config.keys import list_keys, list_step_keys
from regexp.config.schema import OPTIONS

# Keys of Hydra's that hold paths in which a leading ~ stands for a home.
_HYDRA_PATHS = ("hydra.run.dir", "hydra.sweep.dir", "hydra.searchpath")
# Groups whose options are files only, without a class for each.
_FILE_GROUPS = ("augmentation", "experiment")
# Mappings of text, whose entries have names of the user's choice.
_TEXT_MAPPINGS = ("hydra.job.env_set.", "hydra.sweeper.params.", *list_mapping_prefixes())
# Keys of Hydra's that hold whole numbers; the others that do are Hydra's to set.
_HYDRA_COUNTS = ("hydra.launcher.max_runs", "hydra.launcher.workers", "hydra.sweeper.max_batch_size")


@dataclass(frozen=True)
class ValueKind:
    """What the values of a key are, as far as it decides how a typed word is read.

    Attributes:
        content: "text", "path", "count" (a whole number) or "option" (the name of a group's option).
        is_list: whether a value is a list of those.
        takes_null: whether a value may be null.
        is_swept: whether a comma may separate several values; Hydra cannot sweep over its own keys.
    """

    content: str
    is_list: bool = False
    takes_null: bool = False
    is_swept: bool = True

    @property
    def is_text(self) -> bool:
        """Whether what is typed is meant letter by letter."""
        return self.content in ("text", "path")


@cache
def find_value_kind(key: str) -> ValueKind | None:
    """Return the kind of a key's or a group's values; None for a key whose values Hydra reads as they are meant."""
    if key in OPTIONS or key in _FILE_GROUPS:
        return ValueKind("option", takes_null=True)
    if key.startswith(_TEXT_MAPPINGS):
        return ValueKind("text", is_swept=False)
    if key.startswith(("hydra.job_logging.", "hydra.hydra_logging.")) and key.endswith(".filename"):
        return ValueKind("path", is_swept=False)
    return _list_kinds().get(key)


def list_path_keys() -> list[str]:
    """Return the keys that hold a path, in which a leading ~ stands for a home."""
    return [key for key, kind in _list_kinds().items() if kind.content == "path"]


@cache
def _list_kinds() -> dict[str, ValueKind]:
    """Return the kinds of the schema's keys and of Hydra's own, by key."""
    kinds: dict[str, ValueKind] = dict(_list_hydra_kinds(HydraConf, "hydra."))
    kinds |= {key: ValueKind("count", takes_null=True, is_swept=False) for key in _HYDRA_COUNTS}
    kinds |= {key: ValueKind("text", takes_null=True, is_swept=False) for key in list_text_keys()}
    for key in (*list_keys(), *list_step_keys()):
        description, takes_null = key.type_description.removesuffix(" or null"), key.type_description.endswith("null")
        if description in ("a string", "a list of strings") and "choices" not in key.metadata:
            content = "path" if key.metadata.get("is_path", False) else "text"
            kinds[key.name] = ValueKind(content, is_list=description.startswith("a list"), takes_null=takes_null)
        elif description in ("a whole number", "a list of whole numbers"):
            kinds[key.name] = ValueKind("count", is_list=description.startswith("a list"), takes_null=takes_null)
    return kinds


def _list_hydra_kinds(schema: type[Any], prefix: str) -> Iterator[tuple[str, ValueKind]]:
    """Yield the key and kind of each text in a class of Hydra's schema."""
    hints = get_type_hints(schema)
    for item in fields(schema):
        key, hint, takes_null = prefix + item.name, hints[item.name], False
        if get_origin(hint) in (Union, types.UnionType):
            members = [member for member in get_args(hint) if member is not type(None)]
            hint, takes_null = members[0], True
        if is_dataclass(hint) and isinstance(hint, type):
            yield from _list_hydra_kinds(hint, f"{key}.")
        elif hint in (str, list[str]) or (get_origin(hint) is list and get_args(hint) == (str,)):
            content = "path" if key in _HYDRA_PATHS else "text"
            yield key, ValueKind(content, is_list=hint is not str, takes_null=takes_null, is_swept=False)
