"""Checks of a composed configuration: the constraints of every key, and combinations of keys."""

import math
from collections.abc import Iterator
from dataclasses import fields, is_dataclass
from typing import Any

from omegaconf import DictConfig, OmegaConf
from omegaconf.errors import OmegaConfBaseException

from regexp.config.checks.augmentation_steps import make_step
from regexp.config.checks.metrics import find_monitor_problem, make_metric
from regexp.config.checks.targets import find_target_problems
from regexp.config.constraints import can_convert, describe_wrong_type, find_violations, suggest_value
from regexp.config.fields import iterate_fields
from regexp.config.keys import find_key, suggest_overrides
from regexp.config.schema import OPTIONS, Config
from regexp.config.schemas.augmentation import STEPS, TorchvisionConfig, UserTransformConfig
from regexp.config.schemas.averaging import SnapshotsConfig
from regexp.config.schemas.data import DATA_SOURCES
from regexp.config.schemas.loss import CrossEntropyConfig
from regexp.config.schemas.model import CNNConfig, ModuleConfig
from regexp.errors import ConfigError
from regexp.utils.counts import format_size, resolve_count
from regexp.utils.messages import did_you_mean, first_line, format_value, say_where_keys_are


def validate(cfg: DictConfig) -> Config:
    """Return a composed configuration as typed objects, augmentation steps included.

    Raises:
        ConfigError: lists every problem, one a line: the key, the value, the constraint, and what to type.
    """
    config, problems, types_are_right = convert(cfg)
    if types_are_right:
        problems += find_combination_problems(config)
    if problems:
        raise ConfigError("\n".join(problems))
    return config


def convert(cfg: DictConfig) -> tuple[Config, list[str], bool]:
    """Convert a composed configuration to typed objects, augmentation steps included, and check each value by itself.

    Returns:
        The configuration; the problems of its values; and whether all values have the types of their keys.

    Raises:
        ConfigError: it cannot be converted.
    """
    try:
        config = OmegaConf.to_object(cfg)
    except (OmegaConfBaseException, ValueError) as error:
        raise ConfigError("\n".join(_find_unresolved_values(cfg)) or first_line(error)) from error
    if not isinstance(config, Config):
        raise ConfigError(
            "this is not a configuration of regexp; begin its defaults list with `- config` and `- _self_`"
        )
    unknown_keys = list(find_unknown_keys(cfg, config))
    problems = [f"{key}: there is no such key{_suggest(key)}" for key in unknown_keys]
    steps = {}
    for name, step in config.augmentation.items():
        try:
            steps[name] = make_step(f"augmentation.{name}", step)
        except ConfigError as error:
            problems += str(error).splitlines()
    config.augmentation = steps
    metrics = {}
    if not isinstance(config.metrics, dict):  # an interpolation put a value in its place
        raise ConfigError("\n".join([*problems, f"metrics={format_value(config.metrics)}: must be a mapping of keys"]))
    for name, node in config.metrics.items():
        try:
            metrics[str(name)] = make_metric(str(name), node)
        except ConfigError as error:
            problems += str(error).splitlines()
    config.metrics = metrics
    types_are_right = not unknown_keys  # with them came values of any type
    sections = set(cfg)
    for name, value, metadata in iterate_fields(config):
        if name.partition(".")[0] not in sections:  # its default
            continue
        if "default" not in metadata:  # a group: an interpolation put a value in its place
            problems.append(f"{name}={format_value(value)}: must be a mapping of keys")
            types_are_right = False
            continue
        # OmegaConf lets an interpolation put a value of any type where a list, or one of two types, belongs.
        is_union = "whole_from" in metadata and isinstance(value, str | bool | list | dict)
        key = find_key(name) if isinstance(metadata["default"], list) or is_union else None
        if key is not None and not can_convert(value, key):
            problems.append(describe_wrong_type(name, value, key))
            types_are_right = False
            continue
        for violation in find_violations(value, metadata):
            problems.append(f"{name}={format_value(value)}: {violation}{suggest_value(name, value, metadata)}")
        if metadata.get("is_target", False) and value is not None:
            problems += find_target_problems(name, value)
    return config, problems, types_are_right


def _suggest(key: str) -> str:
    """Return the end of a message about a key that does not exist."""
    return did_you_mean(suggest_overrides(key)) or say_where_keys_are()


def _find_unresolved_values(cfg: DictConfig, prefix: str = "") -> Iterator[str]:
    """Yield a problem for each value that cannot be read: an unresolved interpolation or a missing value."""
    for name in cfg:
        key = f"{prefix}{name!s}"
        try:
            value = cfg[name]
        except (OmegaConfBaseException, ValueError) as error:
            yield f"{key}: {first_line(error)}"
            continue
        if isinstance(value, DictConfig):
            yield from _find_unresolved_values(value, f"{key}.")


def find_unknown_keys(cfg: DictConfig, schema: Any, prefix: str = "") -> Iterator[str]:
    """Yield the dotted keys of a configuration that its schema does not have; `+key=value` adds them unchecked.

    Args:
        cfg: the composed configuration.
        schema: an instance of its schema class.
        prefix: the text before the name of every key.
    """
    field_names = {item.name for item in fields(schema)}
    for key, value in cfg.items_ex(resolve=False):
        name = str(key)
        if name not in field_names:
            yield f"{prefix}{name}"
        elif is_dataclass(getattr(schema, name)):
            yield from find_unknown_keys(value, getattr(schema, name), f"{prefix}{name}.")


def find_combination_problems(config: Config) -> Iterator[str]:
    """Yield the problems of values that are valid on their own but not together."""
    for group in OPTIONS:
        node = getattr(config, group)
        if hasattr(node, "name") and OPTIONS[group].get(node.name, type(node)) is not type(node):
            yield (
                f"{group}.name={node.name}: the other keys of {group} belong to another option; choose this one with "
                f"{group}={node.name}, or begin your file with defaults: [{node.name}, _self_]"
            )
    if config.batch_size == 1 and config.normalization.name == "batch":
        yield "batch_size=1 with normalization=batch: a batch of one has no variance; use batch_size=2 or more"
    if config.device.kind == "mps" and config.device.precision == "float64":
        yield "device=mps with device.precision=float64: mps has no float64; use device=cpu"
    if config.device.graphs and config.device.kind in ("cpu", "mps"):
        yield f"device.graphs=true with device={config.device.kind}: only cuda has graphs; leave device.graphs out"
    if isinstance(config.model, CNNConfig) and not config.model.channels:
        yield "model.channels=[]: needs at least one number; use model=mlp for no convolutions"
    if isinstance(config.model, ModuleConfig) and config.model.target is None:
        yield "model=module: needs a class or function; type model.target=FILE.py:NAME"
    if config.device.graphs and not config.model.can_be_captured:
        yield f"device.graphs=true with model={config.model.name}: only an mlp can be captured; leave device.graphs out"
    if config.device.graphs:
        for name, step in config.augmentation.items():
            if isinstance(step, TorchvisionConfig):
                yield (
                    f"device.graphs=true with augmentation.{name}: {step.target} is applied image by image on the CPU, "
                    "and a CUDA graph cannot hold that; leave device.graphs out"
                )
            if isinstance(step, UserTransformConfig):
                yield (
                    f"device.graphs=true with augmentation.{name}: {step.target} is code of your own, and a CUDA graph "
                    "cannot hold its draws; leave device.graphs out"
                )
    yield from _find_loss_problems(config)
    yield from find_monitor_problem(config)
    optimizer, schedule = config.optimizer, config.schedule
    if getattr(optimizer, "nesterov", False) and getattr(optimizer, "momentum", 0) == 0:
        yield "optimizer.nesterov=true with optimizer.momentum=0: Nesterov needs momentum; use optimizer.momentum=0.9"
    if getattr(optimizer, "centered", False) and getattr(optimizer, "alpha", 1) == 0:
        yield "optimizer.centered=true with optimizer.alpha=0: the variance is always 0; use optimizer.alpha=0.99"
    min_lr = getattr(schedule, "min_lr", 0)
    if min_lr > 0 and min_lr >= optimizer.lr:
        yield f"schedule.min_lr={format_value(min_lr)}: must be below optimizer.lr={format_value(optimizer.lr)}"
    warmup_epochs = getattr(schedule, "warmup_epochs", 0)
    if warmup_epochs > 0 and warmup_epochs >= config.epochs:
        yield f"schedule.warmup_epochs={format_value(warmup_epochs)}: must be below epochs={config.epochs}"
    averaging_lr = getattr(config.averaging, "lr", None)
    if averaging_lr is not None and schedule.name == "plateau":
        yield (
            f"averaging.lr={format_value(averaging_lr)} with schedule=plateau: both decide the learning rate of the "
            "last epochs; leave one of them out"
        )
    if isinstance(config.averaging, SnapshotsConfig) and schedule.name != "constant":
        yield (
            f"averaging=snapshots with schedule={schedule.name}: both decide the learning rate, which falls from "
            "optimizer.lr to about 0 in each cycle of snapshots; use schedule=constant"
        )
    yield from _find_data_problems(config)


def _find_loss_problems(config: Config) -> Iterator[str]:
    """Yield the problems of a loss of the user's own, or of options without one."""
    loss = config.loss
    if not isinstance(loss, CrossEntropyConfig):
        return
    if loss.target is None:
        for name in loss.options:
            yield f"loss.options.{name}: cross entropy has no options; type loss.target=FILE.py:NAME as well"
        return
    if loss.label_smoothing != 0:
        yield (
            f"loss.label_smoothing={format_value(loss.label_smoothing)} with loss.target={loss.target}: needs the loss "
            "of every class, and yours is that of the label; leave it out, or make it part of your loss"
        )
    if config.device.graphs:
        yield f"device.graphs=true with loss.target={loss.target}: a CUDA graph cannot hold it; leave device.graphs out"


def _find_data_problems(config: Config) -> Iterator[str]:
    """Yield a problem for each missing path, and for each size that exceeds that of a well-known data set."""
    data = config.data
    if data.name == "arrays" and not getattr(data, "path", None):
        yield "data=arrays: needs a file; type data.path=FILE.npz, with images and labels"
    if data.name == "table" and not getattr(data, "path", None):
        yield "data=table: needs a file; type data.path=FILE.csv, and data.label=COLUMN for the column of the classes"
    if data.name == "image_folder" and not data.root:
        yield "data=image_folder: needs a directory; type data.root=DIR, with a folder of pictures for each class"
    source = DATA_SOURCES[data.name]
    if source.is_table:
        yield from _find_needs_of_images(config)
    count, side = source.training_images, source.side
    if count is None:
        return
    held_out = 0
    if data.validation == "holdout" and 0 < data.val_size < math.inf:
        held_out = resolve_count(data.val_size, count)
        if not 1 <= held_out < count:
            yield (
                f"data.val_size={format_size(data.val_size)}: asks for {held_out:,} of {count:,} training "
                f"{source.unit}s; for example data.val_size=0.2"
            )
            held_out = 0
    if (
        data.train_size is not None
        and math.isfinite(data.train_size)
        and resolve_count(data.train_size, count - held_out) > count - held_out
    ):
        train_size = f"data.train_size={format_value(data.train_size)}"
        yield f"{train_size}: validation leaves {count - held_out:,} training {source.unit}s; use at most that many"
    for name, step in config.augmentation.items():
        if isinstance(step, STEPS["crop"]) and side is not None and step.size > side:
            size = f"augmentation.{name}.size={format_value(step.size)}"
            yield f"{size}: images of data={data.name} are {side}x{side}; use at most {side}, or a fraction up to 1"


def _find_needs_of_images(config: Config) -> Iterator[str]:
    """Yield a problem for the model and for each augmentation step that need images, where a table has none."""
    name = config.data.name
    if config.model.needs_images:
        yield f"model={config.model.name} with data={name}: needs images, and a table has none; use model=mlp"
    if not config.mixing.suits_tables:
        yield f"mixing={config.mixing.name} with data={name}: needs images, and a table has none; use mixing=mixup"
    for step_name, step in config.augmentation.items():
        if not hasattr(step, "suits_tables"):
            suited_steps = ", ".join(kind for kind, schema in STEPS.items() if hasattr(schema, "suits_tables"))
            yield (
                f"augmentation.{step_name} with data={name}: needs images, and a table has none; drop the step with "
                f"~augmentation.{step_name} (steps that suit tables: {suited_steps})"
            )
