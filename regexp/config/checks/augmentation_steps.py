"""The check of augmentation steps, and the choice of the transform that each may be."""

import re
from collections.abc import Iterator
from dataclasses import fields
from typing import Any

from omegaconf import OmegaConf

from regexp.config.checks.targets import find_target_problems
from regexp.config.constraints import can_convert, describe_wrong_type
from regexp.config.keys import closest_match, find_key
from regexp.config.schemas.augmentation import (
    BATCHED_KEY,
    STEPS,
    STEPS_BY_TARGET,
    TorchvisionConfig,
    UserTransformConfig,
)
from regexp.errors import ConfigError
from regexp.utils.messages import did_you_mean, format_value

_OUR_TARGETS = "regexp.augmentation."
_TORCHVISION_TARGET = r"torchvision\.transforms\.(v2\.)?[A-Z]\w*"


def make_step(key: str, step: Any) -> Any:
    """Return an augmentation step as a typed object.

    Args:
        key: the dotted key of the step, augmentation.NAME.
        step: the value of that key in the configuration.

    Raises:
        ConfigError: lists every problem of the step.
    """
    if not isinstance(step, dict):
        raise ConfigError(f"{key}={format_value(step)}: a step must be a mapping of keys; drop a step with ~{key}")
    name = key.rpartition(".")[2]
    arguments = dict(step)
    if "_target_" in arguments:
        target = arguments.pop("_target_")
        if isinstance(target, str) and (":" in target or target.endswith(".py")):
            return _make_user_step(key, target, arguments)
        transform = str(target).removeprefix(_OUR_TARGETS)
        if transform not in STEPS_BY_TARGET:
            match = closest_match(transform, list(STEPS_BY_TARGET)) if str(target).startswith(_OUR_TARGETS) else None
            if match is not None:
                suggestion = did_you_mean([_OUR_TARGETS + match])
                raise ConfigError(f"{key}._target_={target}: there is no such transform{suggestion}")
            if problems := list(_find_forbidden_targets(key, step)):
                raise ConfigError("\n".join(problems))
            return TorchvisionConfig(str(target), arguments)
        name = STEPS_BY_TARGET[transform]
    if name not in STEPS:
        match = closest_match(name, list(STEPS))
        suggestion = did_you_mean([f"augmentation.{match}"] if match else [])
        raise ConfigError(f"{key}: there is no such step{suggestion}; the steps are {', '.join(STEPS)}")
    problems = []
    for argument, value in arguments.items():
        schema_key = find_key(f"augmentation.{name}.{argument}")
        if schema_key is None:
            field_names = [item.name for item in fields(STEPS[name])]
            match = closest_match(str(argument), field_names)
            suggestion = did_you_mean([f"{key}.{match}"] if match else [])
            key_names = ", ".join(field_names)
            problems.append(f"{key}.{argument}: there is no such key{suggestion}; the keys of {name} are {key_names}")
            continue
        is_count = isinstance(value, float) and value.is_integer() and abs(value) < 1e15
        if is_count and schema_key.type_description == "a whole number":
            arguments[argument] = value = int(value)
        if not can_convert(value, schema_key):
            problems.append(describe_wrong_type(f"{key}.{argument}", value, schema_key))
    if problems:
        raise ConfigError("\n".join(problems))
    return OmegaConf.to_object(OmegaConf.merge(STEPS[name], arguments))


def _make_user_step(key: str, target: str, arguments: dict[str, Any]) -> UserTransformConfig:
    """Return a step of the user's own. Arguments as in `make_step`, which the step's `_target_` has been taken from.

    Raises:
        ConfigError: lists every problem of the step.
    """
    is_batched = arguments.pop(BATCHED_KEY, True)
    problems = list(find_target_problems(f"{key}._target_", target))
    if not isinstance(is_batched, bool):
        problems.append(f"{key}.{BATCHED_KEY}={format_value(is_batched)}: must be true or false")
    for name in arguments:
        if not str(name).isidentifier():
            problems.append(f"{key}.{name}: must be the name of a keyword argument of {target}")
    problems += _find_nested_targets(key, arguments)
    if problems:
        raise ConfigError("\n".join(problems))
    return UserTransformConfig(target, is_batched, arguments)


def _find_nested_targets(key: str, node: Any) -> Iterator[str]:
    """Yield a problem for each `_target_` among the arguments of a step of the user's own: they are plain values."""
    entries: Any = node.items() if isinstance(node, dict) else enumerate(node) if isinstance(node, list) else ()
    for name, entry in entries:
        entry_key = f"{key}[{name}]" if isinstance(node, list) else f"{key}.{name}"
        if name == "_target_":
            yield f"{entry_key}={format_value(entry)}: the arguments of your own code are plain values; make it there"
        yield from _find_nested_targets(entry_key, entry)


def _find_forbidden_targets(key: str, node: Any) -> Iterator[str]:
    """Yield a problem for each `_target_` of a step, at any depth, that cannot be a transform of torchvision.

    The object that a target names is called, so no other object may be named.
    """
    if isinstance(node, dict):
        target = node.get("_target_")
        if "_target_" in node and not (isinstance(target, str) and re.fullmatch(_TORCHVISION_TARGET, target)):
            yield (
                f"{key}._target_={format_value(target)}: only transforms are allowed: torchvision.transforms.NAME, "
                "torchvision.transforms.v2.NAME, regexp.augmentation.NAME, or your own as FILE.py:NAME or MODULE:NAME"
            )
        for name, entry in node.items():
            yield from _find_forbidden_targets(f"{key}.{name}", entry)
    elif isinstance(node, list):
        for i, entry in enumerate(node):
            yield from _find_forbidden_targets(f"{key}[{i}]", entry)
