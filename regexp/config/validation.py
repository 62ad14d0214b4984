"""Whether a composed configuration is possible: every rule of the schema, and what no single key can say."""

import math
import re
from collections.abc import Callable, Iterator
from dataclasses import fields, is_dataclass
from typing import Any

from omegaconf import DictConfig, OmegaConf
from omegaconf.errors import OmegaConfBaseException

from regexp.config.augmentation_schema import STEPS, TARGETS, TorchvisionConfig
from regexp.config.fields import leaves
from regexp.config.keys import Key, closest, find, meant
from regexp.config.schema import OPTIONS, Config
from regexp.errors import ConfigError

# Training images and the side of an image, where they are known before the data is read.
SIZES = {"digits": (1437, 8), "mnist": (60_000, 28), "fashion_mnist": (60_000, 28), "kmnist": (60_000, 28)}

_TRANSFORM = r"torchvision\.transforms\.(v2\.)?[A-Z]\w*"


def validate(cfg: DictConfig) -> Config:
    """The typed configuration of a composed one, augmentation steps included.

    Raises ConfigError that lists every problem, one a line: key, value, rule, and what to type.
    """
    try:
        config = OmegaConf.to_object(cfg)
    except (OmegaConfBaseException, ValueError) as error:
        raise ConfigError("\n".join(_unresolved(cfg)) or first_line(error)) from error
    if not isinstance(config, Config):
        raise ConfigError("the configuration is not regexp's; begin its defaults list with `- config` and `- _self_`")
    strangers = list(unknown(cfg, config))
    problems = [f"{key}: there is no such key{did_you_mean(meant(key))}" for key in strangers]
    steps = {}
    for name, given in config.augmentation.items():
        try:
            steps[name] = _step(f"augmentation.{name}", given)
        except ConfigError as error:
            problems += str(error).splitlines()
    config.augmentation = steps
    for key, value, rule in leaves(config):
        # OmegaConf lets an interpolation put anything where a list belongs.
        if isinstance(rule["default"], list) and (entry := find(key)) is not None and not convert(value, entry):
            problems.append(wrong_type(key, value, entry))
            continue
        problems += [
            f"{key}={format_value(value)}: {why}{_instead(key, value, rule)}" for why in broken_rules(value, rule)
        ]
    if not strangers:  # which came with values of any type
        problems += combination_problems(config)
    if problems:
        raise ConfigError("\n".join(problems))
    return config


def _unresolved(cfg: DictConfig, prefix: str = "") -> Iterator[str]:
    """What cannot be read: interpolations to nowhere, values that are still missing."""
    for name in cfg:
        key = f"{prefix}{name!s}"
        try:
            value = cfg[name]
        except (OmegaConfBaseException, ValueError) as error:
            yield f"{key}: {first_line(error)}"
            continue
        if isinstance(value, DictConfig):
            yield from _unresolved(value, f"{key}.")


def first_line(error: BaseException) -> str:
    """The first line of an error that says something; those that follow are for programmers."""
    return next((line.strip() for line in str(error).splitlines() if line.strip()), type(error).__name__)


def unknown(cfg: DictConfig, schema: Any, prefix: str = "") -> Iterator[str]:
    """Dotted keys that a configuration has and its schema has not: `+key=value` adds them unasked."""
    known = {item.name for item in fields(schema)}
    for name, value in ((str(name), value) for name, value in cfg.items_ex(resolve=False)):
        if name not in known:
            yield f"{prefix}{name}"
        elif is_dataclass(getattr(schema, name)):
            yield from unknown(value, getattr(schema, name), f"{prefix}{name}.")


def did_you_mean(words: list[str], value: str = "") -> str:
    """The end of a message that names what may have been meant."""
    return f"; did you mean {' or '.join(word + value for word in words)}?" if words else ""


def _step(key: str, given: Any) -> Any:
    """The typed step of an augmentation. Raises ConfigError that lists every problem."""
    name = key.rpartition(".")[2]
    if not isinstance(given, dict):
        raise ConfigError(f"{key}={format_value(given)}: a step holds keys; drop a step with ~{key}")
    given = dict(given)
    if "_target_" in given:
        target = given.pop("_target_")
        own = str(target).removeprefix("regexp.augmentation.")
        if own not in TARGETS:
            if str(target).startswith("regexp.augmentation.") and (close := closest(own, list(TARGETS))) is not None:
                raise ConfigError(f"{key}._target_={target}: there is none; did you mean regexp.augmentation.{close}?")
            if refused := list(_refused(key, {"_target_": target, **given})):
                raise ConfigError("\n".join(refused))
            return TorchvisionConfig(str(target), given)
        name = TARGETS[own]
    if name not in STEPS:
        close = closest(name, list(STEPS))
        suggestion = did_you_mean([f"augmentation.{close}"] if close else [])
        raise ConfigError(f"{key}: there is no such step{suggestion}; there are {', '.join(STEPS)}")
    problems = []
    for word, value in given.items():
        entry = find(f"augmentation.{name}.{word}")
        if entry is None:
            known = [item.name for item in fields(STEPS[name])]
            close = closest(str(word), known)
            suggestion = did_you_mean([f"{key}.{close}"] if close else [])
            problems.append(f"{key}.{word}: there is no such key{suggestion}; {name} has {', '.join(known)}")
        elif not convert(value, entry):
            problems.append(wrong_type(f"{key}.{word}", value, entry))
    if problems:
        raise ConfigError("\n".join(problems))
    return OmegaConf.to_object(OmegaConf.merge(STEPS[name], given))


def convert(value: Any, key: Key) -> bool:
    """Whether a value is of a key's type, as OmegaConf converts it."""
    try:
        OmegaConf.structured(key.owner)[key.name.rpartition(".")[2]] = value
    except OmegaConfBaseException:
        return False
    return True


def _refused(key: str, node: Any) -> Iterator[str]:
    """Every `_target_` of a step, at any depth, that cannot be torchvision's: naming one makes it run."""
    if isinstance(node, dict):
        target = node.get("_target_")
        if "_target_" in node and not (isinstance(target, str) and re.fullmatch(_TRANSFORM, target)):
            yield (
                f"{key}._target_={format_value(target)}: only transforms may be named, as torchvision.transforms.NAME, "
                "torchvision.transforms.v2.NAME or regexp.augmentation.NAME"
            )
        for word, entry in node.items():
            yield from _refused(f"{key}.{word}", entry)
    elif isinstance(node, list):
        for i, entry in enumerate(node):
            yield from _refused(f"{key}[{i}]", entry)


def wrong_type(name: str, value: Any, key: Key) -> str:
    """What to say of a value that a key does not take."""
    kinds = {"a list of whole numbers": (int,), "a list of numbers": (int, float), "a list of words": (str,)}
    if type(value) in kinds.get(key.kind, ()) and "length" not in key.rule:
        return f"{name}={format_value(value)}: must be {key.kind}; did you mean {name}=[{format_value(value)}]?"
    default = "[word]" if key.default == [] else format_value(key.default)
    if key.default is None:  # an example says more than null, which is the default
        default = {"a whole number or null": "1", "a number or null": "1.0", "a word or null": "word"}.get(
            key.kind, "true"
        )
    return f"{name}={format_value(value)}: must be {key.kind}; for example {name}={default}"


_RULES: dict[str, tuple[Callable[[Any, Any], bool], str]] = {
    "at_least": (lambda value, bound: value >= bound, "must be at least {}"),
    "above": (lambda value, bound: value > bound, "must be above {}"),
    "at_most": (lambda value, bound: value <= bound, "must be at most {}"),
    "below": (lambda value, bound: value < bound, "must be below {}"),
    "choices": (lambda value, bound: value in bound, "must be one of {}"),
    "pattern": (
        lambda value, bound: re.fullmatch(bound, value) is not None,
        "must be letters, digits and _.+- only, not beginning with a sign, at most 100",
    ),
    "length": (lambda value, bound: len(value) == bound, "must have {} entries"),
    "ascending": (lambda value, bound: value == sorted(value), "must have the smallest first"),
    "odd": (lambda value, bound: value % 2 == 1, "must be odd"),
    "whole_from": (lambda value, bound: value < bound or value == int(value), "must be a whole number from {} on"),
}


def describe_rules(rule: dict[str, Any]) -> list[str]:
    """A field's rules, each without its "must be"."""
    said = []
    for name, bound in rule.items():
        if name.removeprefix("each_") in _RULES:
            words = _words(name.removeprefix("each_"), bound).removeprefix("must be ").removeprefix("must have ")
            said.append(f"each {words}" if name.startswith("each_") else words)
    return said


def _words(name: str, bound: Any) -> str:
    return _RULES[name][1].format(", ".join(bound) if name == "choices" else format_value(bound))


def broken_rules(value: Any, rule: dict[str, Any]) -> Iterator[str]:
    """The rules in a field's metadata that a value breaks."""
    if value is None:
        return
    entries = value if isinstance(value, list) else [value]
    if any(isinstance(entry, float) and not math.isfinite(entry) for entry in entries):
        yield "must be finite"
        return
    for name, bound in rule.items():
        each = name.startswith("each_")
        kind = name.removeprefix("each_")
        if kind in _RULES and not all(_RULES[kind][0](entry, bound) for entry in (value if each else [value])):
            yield f"{'every entry ' if each else ''}{_words(kind, bound)}"


def _instead(key: str, value: Any, rule: dict[str, Any]) -> str:
    """The end of a message that gives a value which would be accepted."""
    if "choices" in rule:
        close = closest(str(value), list(rule["choices"]))
        return did_you_mean([f"{key}={close}"] if close else [])
    return f"; for example {key}={format_value(rule.get('example', rule['default']))}"


def combination_problems(config: Config) -> Iterator[str]:
    """Problems that no single key has."""
    for group in OPTIONS:
        node = getattr(config, group)
        if hasattr(node, "name") and OPTIONS[group].get(node.name, type(node)) is not type(node):
            yield (
                f"{group}.name={node.name}: its keys are those of another option; choose it with {group}={node.name}, "
                f"or begin your file with defaults: [{node.name}, _self_]"
            )
    if config.batch_size == 1 and config.normalization.name == "batch":
        yield "batch_size=1 with normalization=batch: a batch of one has no variance; use batch_size=2 or more"
    if config.device.kind == "mps" and config.device.precision == "float64":
        yield "device=mps with device.precision=float64: mps has no float64; use device=cpu"
    optimizer, schedule = config.optimizer, config.schedule
    if getattr(optimizer, "nesterov", False) and getattr(optimizer, "momentum", 0) == 0:
        yield "optimizer.nesterov=true with optimizer.momentum=0: needs a momentum; use optimizer.momentum=0.9"
    if getattr(optimizer, "centered", False) and getattr(optimizer, "alpha", 1) == 0:
        yield "optimizer.centered=true with optimizer.alpha=0: no deviation is left; use optimizer.alpha=0.99"
    min_lr = getattr(schedule, "min_lr", 0)
    if min_lr > 0 and min_lr >= optimizer.lr:
        yield f"schedule.min_lr={format_value(min_lr)}: must be below optimizer.lr={format_value(optimizer.lr)}"
    warmup = getattr(schedule, "warmup_epochs", 0)
    if warmup > 0 and warmup >= config.epochs:
        yield f"schedule.warmup_epochs={format_value(warmup)}: must be below epochs={config.epochs}"
    yield from _sizes(config)


def _sizes(config: Config) -> Iterator[str]:
    """What asks for more than a data set has, where that is known before it is read."""
    data = config.data
    if data.name == "arrays" and not getattr(data, "path", None):
        yield "data=arrays: which? type data.path=FILE.npz, which holds images and labels"
    if data.name == "image_folder" and not data.root:
        yield "data=image_folder: which? type data.root=DIR, which holds a folder of pictures for each class"
    if data.name not in SIZES:
        return
    count, side = SIZES[data.name]
    held_out = 0
    if data.validation == "holdout" and math.isfinite(data.val_size):
        held_out = round(data.val_size * count) if data.val_size < 1 else round(data.val_size)
        if not 1 <= held_out < count:
            yield (
                f"data.val_size={format_value(data.val_size)}: asks for {held_out:,} of {count:,} training images; "
                "for example data.val_size=0.2"
            )
            held_out = 0
    if (
        data.train_size is not None
        and math.isfinite(data.train_size)
        and data.train_size >= 1
        and round(data.train_size) > count - held_out
    ):
        train_size = f"data.train_size={format_value(data.train_size)}"
        yield f"{train_size}: validation leaves {count - held_out:,}; use at most that"
    for name, step in config.augmentation.items():
        if isinstance(step, STEPS["crop"]) and step.size > side:
            size = f"augmentation.{name}.size={format_value(step.size)}"
            yield f"{size}: images of data={data.name} are {side}x{side}; use at most {side}, or up to 1 a fraction"


def format_value(value: Any) -> str:
    """A value as one would type it in an override."""
    if isinstance(value, list | tuple):
        return f"[{','.join(format_value(entry) for entry in value)}]"
    if isinstance(value, dict):
        return f"{{{','.join(f'{name}:{format_value(entry)}' for name, entry in value.items())}}}"
    if value is None or isinstance(value, bool):
        return {None: "null", True: "true", False: "false"}[value]
    return f"{value:.10g}" if isinstance(value, float) else str(value)
