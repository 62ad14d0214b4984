"""How a field of the schema is declared: its default, its meaning, its rule, and what may differ within a cohort.

A field is `shared` (it shapes the computation: all runs of a cohort agree on it) or `per_run` (it is only a number: the
runs of a cohort may differ in it). Nothing else decides what may train together. `identity=False` marks what cannot
change a run's result, such as where it is stored.
"""

from collections.abc import Iterator
from dataclasses import field, fields, is_dataclass
from typing import Any


def _field(default: Any, help: str, mark: str, rule: dict[str, Any]) -> Any:
    metadata = {"default": default, "mark": mark, "help": help, **rule}
    if isinstance(default, list | dict):
        return field(default_factory=default.copy, metadata=metadata)
    return field(default=default, metadata=metadata)


def shared(default: Any, help: str, **rule: Any) -> Any:
    """A field on which all runs of a cohort agree."""
    return _field(default, help, "shared", rule)


def per_run(default: Any, help: str, **rule: Any) -> Any:
    """A field in which the runs of a cohort may differ."""
    return _field(default, help, "per_run", rule)


def leaves(node: Any, prefix: str = "") -> Iterator[tuple[str, Any, dict[str, Any]]]:
    """(dotted key, value, metadata) of every field of a configuration that is not itself a group."""
    for item in fields(node):
        key, value = prefix + item.name, getattr(node, item.name)
        if is_dataclass(value):
            yield from leaves(value, f"{key}.")
        elif isinstance(value, dict) and value and all(is_dataclass(step) for step in value.values()):
            for name, step in value.items():
                yield from leaves(step, f"{key}.{name}.")
        else:
            yield key, value, dict(item.metadata)
