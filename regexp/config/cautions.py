"""Cautions: warnings about configurations that are valid but probably not what the user wants."""

from collections.abc import Collection, Iterator, Sequence
from dataclasses import fields
from itertools import pairwise
from typing import Any

from regexp.config.checks.averages import find_idle_averages
from regexp.config.schema import Config
from regexp.config.schemas.augmentation import STEPS
from regexp.config.schemas.averaging import SnapshotsConfig
from regexp.config.schemas.data import DATA_SOURCES
from regexp.config.schemas.early_stopping import GeneralizationLossConfig, ProgressConfig
from regexp.config.schemas.loss import BootstrapConfig, FocalConfig, HardBootstrapConfig, LossConfig
from regexp.config.schemas.model import MLPConfig, ModuleConfig
from regexp.config.schemas.normalization import BatchNormConfig
from regexp.config.schemas.optimizer import (
    CosineConfig,
    OneCycleConfig,
    OptimizerConfig,
    PlateauConfig,
    StepConfig,
)
from regexp.utils.counts import format_size, resolve_count
from regexp.utils.messages import format_value

_MIN_BATCH_SIZE_FOR_STATISTICS = 4
# The largest side, in pixels, of images of which half of TrivialAugment's shifts leave nothing.
_MAX_SIDE_LEFT_EMPTY = 16


def find_cautions(config: Config, experiment: str | None, overrides: Sequence[str]) -> Iterator[str]:
    """Yield the warnings about a valid configuration.

    Args:
        config: the configuration, checked before.
        experiment: the option of the group `experiment`, or None. The lesson's own experiments mirror digits on
            purpose, so they get no warning about that.
        overrides: the overrides that were typed.
    """
    is_lesson = experiment is not None and experiment.startswith("lesson")
    for name, step in config.augmentation.items():
        if (
            isinstance(step, STEPS["flip"])
            and step.p > 0
            and DATA_SOURCES[config.data.name].shows_characters
            and not is_lesson
        ):
            yield (
                f"augmentation.{name} mirrors the characters of data={config.data.name}, and a mirrored 2 is not a 2; "
                f"drop the step with ~augmentation.{name}"
            )
        if isinstance(step, STEPS["crop"]) and step.size == 1 and isinstance(step.size, int):
            yield f"augmentation.{name}.size=1 is one pixel; 1.0 is the whole side"
    for name in ("train_size", "val_size"):
        if getattr(config.data, name) == 1 and isinstance(getattr(config.data, name), int):
            yield f"data.{name}=1 is one image; 1.0 is all of them"
    yield from _find_small_batches(config)
    yield from _find_idle_losses(config.loss)
    yield from _find_idle_layer_options(config)
    yield from _find_idle_schedules(config)
    if getattr(config.adversarial, "epsilon", None) == 0:
        yield f"adversarial={config.adversarial.name} with adversarial.epsilon=0 changes no image; for example 0.1"
    yield from find_idle_averages(config)
    yield from _find_idle_optimizer_options(config.optimizer)
    typed_keys = {override.partition("=")[0] for override in overrides}
    yield from _find_idle_stopping_rules(config, typed_keys)
    yield from _find_idle_data_options(config, typed_keys)
    yield from _find_idle_steps(config)
    yield from _find_idle_mixing(config)
    yield from _find_idle_corruptions(config)
    if config.device.index is not None and config.device.kind == "cpu":
        yield f"device.index={config.device.index} has no effect with device=cpu"
    if config.force and config.keep:
        yield "keep=true has no effect with force=true, which trains again whatever there is"


def _find_small_batches(config: Config) -> Iterator[str]:
    normalization = config.normalization
    if not isinstance(normalization, BatchNormConfig):
        return
    size, text = config.batch_size, f"batch_size={config.batch_size}"
    if normalization.virtual_batch is not None:
        virtual_batch = f"normalization.virtual_batch={normalization.virtual_batch}"
        if normalization.virtual_batch >= size:
            yield f"{virtual_batch} has no effect with {text}: each batch is normalized as a whole"
        elif normalization.virtual_batch == size - 1:
            yield f"{virtual_batch} has hardly an effect with {text}: the image that is left joins the others"
        else:
            size, text = normalization.virtual_batch, virtual_batch
    if size < _MIN_BATCH_SIZE_FOR_STATISTICS:
        yield (
            f"normalization=batch estimates its statistics from batches of {text}; "
            f"use {_MIN_BATCH_SIZE_FOR_STATISTICS} or more, or normalization=layer"
        )


# Options that have no effect beside the others, and that are not simply defaults -------------------------------------


def _find_idle_layer_options(config: Config) -> Iterator[str]:
    model = config.model
    if isinstance(model, ModuleConfig) and config.normalization.name != "none":
        yield f"normalization={config.normalization.name} has no effect with model=module, which has its own layers"
    if not isinstance(model, MLPConfig):
        return
    defaults, sizes = MLPConfig(), f"model.hidden_sizes={format_value(model.hidden_sizes)}"
    settings = {"normalization": (config.normalization.name, "none")}
    for name in ("activation", "dropout", "noise", "residual", "drop_path"):
        settings[f"model.{name}"] = getattr(model, name), getattr(defaults, name)
    changes = {key: f"{key}={format_value(value)}" for key, (value, default) in settings.items() if value != default}
    if not model.hidden_sizes:
        for change in changes.values():
            yield f"{change} has no effect with {sizes}: there is no hidden layer"
        return
    for key in ("model.residual", "model.drop_path"):
        if key not in changes:
            continue
        if not model.residual:
            yield f"{changes[key]} has no effect with model.residual=false: it drops residual layers"
        elif not any(before == size for before, size in pairwise(model.hidden_sizes)):
            example = f"model.hidden_sizes={format_value([model.hidden_sizes[-1]] * 2)}"
            yield (
                f"{changes[key]} has no effect with {sizes}: no hidden layer has as many units as the one before it; "
                f"for example {example}"
            )


def _find_idle_losses(loss: LossConfig) -> Iterator[str]:
    if isinstance(loss, FocalConfig) and loss.gamma == 0:
        yield "loss=focal with loss.gamma=0 is the cross entropy"
    if isinstance(loss, BootstrapConfig | HardBootstrapConfig) and loss.beta == 1:
        yield f"loss={loss.name} with loss.beta=1 is the cross entropy: the target is the label alone"
    elif isinstance(loss, BootstrapConfig) and loss.confidence_penalty > 0:
        yield (
            f"loss.confidence_penalty={format_value(loss.confidence_penalty)} raises the entropy of predictions, and "
            f"loss=bootstrap lowers it, with the weight 1 - loss.beta={format_value(1 - loss.beta)}: one undoes the "
            "other in part"
        )


def _find_idle_schedules(config: Config) -> Iterator[str]:
    schedule = config.schedule
    if isinstance(schedule, CosineConfig) and schedule.final_fraction == 1:
        after = " after the warm-up" if schedule.warmup_epochs else ""
        yield f"schedule=cosine with schedule.final_fraction=1 keeps the learning rate as it is{after}"
    if isinstance(schedule, OneCycleConfig) and schedule.div_factor == schedule.final_div_factor == 1:
        yield (
            "schedule=onecycle with schedule.div_factor=1 and schedule.final_div_factor=1 keeps the learning rate as "
            "it is"
        )
    if isinstance(schedule, StepConfig) and schedule.gamma == 1:
        yield "schedule=step with schedule.gamma=1 keeps the learning rate as it is"
    if isinstance(schedule, StepConfig) and schedule.step_size >= config.epochs:
        yield f"schedule.step_size={schedule.step_size} never lowers the learning rate within epochs={config.epochs}"
    if isinstance(schedule, PlateauConfig):
        yield from _find_idle_plateau(config, schedule)


def _find_idle_plateau(config: Config, schedule: PlateauConfig) -> Iterator[str]:
    patience = f"schedule.patience={schedule.patience}"
    stop = config.early_stopping.patience
    # The first epoch is an improvement, `patience` epochs without one are tolerated, and the next one lowers the rate.
    if schedule.patience + 2 >= config.epochs:
        yield f"{patience} never lowers the learning rate within epochs={config.epochs}"
    elif stop is not None and stop <= schedule.patience + 1:
        yield (
            f"early_stopping.patience={stop} ends a run before {patience} lowers the learning rate; use "
            f"early_stopping.patience={schedule.patience + 2} or more"
        )


def _find_idle_optimizer_options(optimizer: OptimizerConfig) -> Iterator[str]:
    if optimizer.sam_adaptive and optimizer.sam_rho == 0:
        yield "optimizer.sam_adaptive=true has no effect with optimizer.sam_rho=0; for example optimizer.sam_rho=0.5"
    alpha = f"optimizer.lookahead_alpha={format_value(optimizer.lookahead_alpha)}"
    if optimizer.lookahead_k is None and optimizer.lookahead_alpha != OptimizerConfig().lookahead_alpha:
        yield f"{alpha} has no effect with optimizer.lookahead_k=null; for example optimizer.lookahead_k=5"
    elif optimizer.lookahead_k is not None and optimizer.lookahead_alpha == 1:
        yield f"{alpha} changes nothing: the slow weights are the fast ones; use a value below 1"


def _find_idle_stopping_rules(config: Config, typed_keys: Collection[str]) -> Iterator[str]:
    patience, min_delta = config.early_stopping.patience, config.early_stopping.min_delta
    num_counted, reason = config.epochs, f"can never end a run before epochs={config.epochs} are over"
    if isinstance(config.averaging, SnapshotsConfig):
        if not any(key.startswith("early_stopping") for key in typed_keys):
            return  # few runs have as many cycles as the default patience
        num_counted = len(config.averaging.cycle_ends(config.epochs))
        reason = f"can never end a run: with averaging=snapshots it counts cycles, of which there are {num_counted}"
    # The first epoch is an improvement, so that `patience` epochs without one end with the epoch after it at best.
    if patience is not None and patience + 1 >= num_counted:
        yield f"early_stopping.patience={patience} {reason}"
    if isinstance(config.early_stopping, ProgressConfig):
        if config.early_stopping.strip >= num_counted:
            yield f"early_stopping.strip={config.early_stopping.strip} {reason}"
    elif isinstance(config.early_stopping, GeneralizationLossConfig) and num_counted <= 2:
        # The first epoch has the lowest loss so far, so that the second one ends a run at best.
        yield f"early_stopping=generalization_loss {reason}"
    if patience is None and min_delta > 0:
        yield (
            f"early_stopping.min_delta={format_value(min_delta)} has no effect with early_stopping.patience=null: the "
            "best epoch is the best one by any amount"
        )


def _find_idle_data_options(config: Config, typed_keys: Collection[str]) -> Iterator[str]:
    data = config.data
    if data.root is not None and not DATA_SOURCES[data.name].reads_root:
        remedy = "; data.path names its file" if hasattr(data, "path") else ""
        yield f"data.root={data.root} has no effect with data={data.name}{remedy}"
    if data.validation == "test" and "data.val_size" in typed_keys:  # options have different defaults
        size = format_size(data.val_size)
        yield f"data.val_size={size} has no effect with data.validation=test: no training images are held out"


def _find_idle_corruptions(config: Config) -> Iterator[str]:
    if not config.evaluation.corruptions:
        return
    if DATA_SOURCES[config.data.name].is_table:
        yield f"evaluation.corruptions=true has no effect with data={config.data.name}: a table has no images"
    elif config.data.validation == "test":
        yield "evaluation.corruptions=true has no effect with data.validation=test: no test images are left"


def _find_idle_steps(config: Config) -> Iterator[str]:
    side = DATA_SOURCES[config.data.name].side or getattr(config.data, "image_size", None)
    for name, step in config.augmentation.items():
        if isinstance(step, STEPS["trivial"]) and step.p > 0 and side is not None and side <= _MAX_SIDE_LEFT_EMPTY:
            yield (
                f"augmentation.{name} shifts by up to 32 pixels, and often leaves nothing of an image of "
                f"{side}x{side} pixels; augmentation=randaugment shifts by a part of the side"
            )
        if settings := _find_idle_settings(step, side):
            images = "image" if side is None else f"image of {side}x{side} pixels"
            yield f"augmentation.{name} with {settings} changes no {images}; drop the step with ~augmentation.{name}"
        if isinstance(step, STEPS["crop"]) and side is not None:
            side = resolve_count(step.size, side)


def _find_idle_mixing(config: Config) -> Iterator[str]:
    mixing = config.mixing
    for item in fields(mixing):
        value = getattr(mixing, item.name)
        if item.metadata.get("off", ...) == value:
            yield f"mixing={mixing.name} with mixing.{item.name}={format_value(value)} mixes no images; use mixing=none"
            return
    if mixing.name != "none" and config.batch_size == 1:
        yield f"mixing={mixing.name} has no effect with batch_size=1: it mixes the images of a batch"


def _find_idle_settings(step: Any, side: int | None) -> str:
    """Return the settings with which an augmentation step changes no image; "" if it changes some.

    Args:
        step: the step.
        side: the height and width of the images that reach it, in pixels; None where only the files tell.
    """
    values = {item.name: getattr(step, item.name) for item in fields(step)}
    off = [item.name for item in fields(step) if item.metadata.get("off", ...) == values[item.name]]
    neutral = {item.name: item.metadata["neutral"] for item in fields(step) if "neutral" in item.metadata}
    idle: list[str] = []
    if off:
        idle = off
    elif neutral and all(values[name] == value for name, value in neutral.items()):
        idle = list(neutral)
    elif isinstance(step, STEPS["crop"]):
        is_all = isinstance(step.size, float) and step.size == 1
        idle = ["size"] if is_all or (side is not None and resolve_count(step.size, side) == side) else []
    elif side is not None:  # these move pixels by whole ones
        if isinstance(step, STEPS["shift"]) and resolve_count(step.padding, side) == 0:
            idle = ["padding"]
        if isinstance(step, STEPS["perspective"]) and int(step.distortion_scale * (side // 2)) == 0:
            idle = ["distortion_scale"]
        only_translates = isinstance(step, STEPS["affine"]) and step.degrees == step.shear == 0 and step.scale == [1, 1]
        if only_translates and max(step.translate) * side <= 0.5:
            idle = ["translate"]
    return ", ".join(f"{name}={format_value(values[name], mark_fractions=name == 'size')}" for name in idle)
