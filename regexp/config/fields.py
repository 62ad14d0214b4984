"""Declarations of schema fields: default, help, constraints, and whether the runs of a cohort may differ in the field.

A field is `shared` (it shapes the computation, so all runs of a cohort agree on it) or `per_run` (it is only a number,
so the runs of a cohort may differ in it). Nothing else decides which runs may train together. `identity=False` marks a
field that cannot change a run's result, such as where the result is stored.
"""

from collections.abc import Iterator
from dataclasses import field, fields, is_dataclass
from typing import Any


def _make_field(default: Any, help: str, mark: str, constraints: dict[str, Any]) -> Any:
    """Return a dataclass field with the default, help, mark and constraints in its metadata."""
    metadata = {"default": default, "mark": mark, "help": help, **constraints}
    if isinstance(default, list | dict):
        return field(default_factory=default.copy, metadata=metadata)
    return field(default=default, metadata=metadata)


def shared(default: Any, help: str, **constraints: Any) -> Any:
    """Declare a field on which all runs of a cohort agree.

    Args:
        default: the default value.
        help: what the field means, for `regexp --help` and docs/configuration.md.
        **constraints: which values are allowed (see regexp.config.constraints), `example`, a value to suggest in
            messages, `identity`, whether the field can change a run's result, `omitted`, the value with which it does
            nothing and is left out of the identity (so that a field that is added later leaves finished runs as they
            are), `apart`, a value with which runs train in cohorts of their own, because the others take longer,
            `is_path`, whether a text is a path, `is_target`, whether it names code of the user's own (see
            user_code.targets), `is_open`, whether a mapping takes keys of the user's choice, `is_inline`, whether these
            stand beside the other keys rather than below their own, and `key`, the name of the key where it is not that
            of the field.
    """
    return _make_field(default, help, "shared", constraints)


def per_run(default: Any, help: str, **constraints: Any) -> Any:
    """Declare a field in which the runs of a cohort may differ.

    Args:
        default: the default value.
        help: what the field means, for `regexp --help` and docs/configuration.md.
        **constraints: the same as those of `shared`.
    """
    return _make_field(default, help, "per_run", constraints)


def iterate_fields(node: Any, prefix: str = "") -> Iterator[tuple[str, Any, dict[str, Any]]]:
    """Yield the dotted key, value and metadata of every field of a configuration, within its groups too.

    Args:
        node: an instance of a schema class.
        prefix: the text before the name of every field, such as "optimizer.".
    """
    for item in fields(node):
        key, value = prefix + item.metadata.get("key", item.name), getattr(node, item.name)
        if is_dataclass(value):
            yield from iterate_fields(value, f"{key}.")
        elif isinstance(value, dict) and value and all(is_dataclass(step) for step in value.values()):
            for name, step in value.items():
                yield from iterate_fields(step, f"{key}.{name}.")
        elif item.metadata.get("is_open", False) and not isinstance(value, dict):
            yield key, value, {}  # an interpolation put a value in its place
        elif item.metadata.get("is_open", False):
            parent = prefix if item.metadata.get("is_inline", False) else f"{key}."
            for name, entry in value.items():
                yield f"{parent}{name}", entry, {**item.metadata, "default": None}
        else:
            yield key, value, dict(item.metadata)
