"""From configurations to cohorts. Configuration objects stop here: below, functions take plain arguments."""

import hashlib
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from dataclasses import asdict
from functools import cache, lru_cache, partial
from itertools import groupby
from math import inf, prod
from typing import Any

import torch
from torch import Tensor

from regexp.augmentation.image_by_image import image_by_image
from regexp.augmentation.pipeline import TRANSFORMS, Pipeline, Transform
from regexp.config.augmentation_schema import STEPS, TorchvisionConfig
from regexp.config.schema import Config, cohort_key, data_source, stream_key
from regexp.data.dataset import Dataset, load_splits, mislabelled
from regexp.data.sources import locate
from regexp.errors import ConfigError, DataError, OutOfMemory
from regexp.execution import memory
from regexp.execution.images import Png, augmentation_grid, png
from regexp.execution.recorder import RunRecorder, load_checkpoint
from regexp.models.mlp import Architecture
from regexp.runs.directories import PlannedRun, recording_failure
from regexp.training.batches import ImageStream, batch_sizes
from regexp.training.cohort import Cohort
from regexp.training.member import Member, RunSettings
from regexp.training.optimizers import OPTIMIZERS, Hyperparameters
from regexp.training.schedules import Plateau, Schedule, constant, cosine, onecycle, step
from regexp.utils.device import Compute, choose_device


def group_into_cohorts(claims: Sequence[PlannedRun], most: int | None = None) -> list[list[PlannedRun]]:
    """The claims' runs in as few cohorts as their `shared` fields allow; runs that go on join those of their epoch.

    `most`: runs in a cohort; None: as many as find room in half of the device's free memory. More is not slower: up to
    256 runs were measured.

    Raises:
        ConfigError, DataError, DeviceError: what a cohort needs is not there; said before any is trained.
    """
    epochs = {
        claim: 0 if (state := load_checkpoint(claim.directory)) is None else state.facts["epoch"] for claim in claims
    }

    def key(claim: PlannedRun) -> tuple[Any, ...]:
        return (-epochs[claim], cohort_key(claim.job.config))  # what was interrupted goes on first

    alike = [list(group) for _, group in groupby(sorted(claims, key=key), key=key)]
    grouped = []
    for group in alike:
        config = group[0].job.config
        with recording_failure(group):
            compute, shape = _check(config)
        for claim in group:
            with recording_failure([claim]):
                make_pipeline(claim.job.config, shape)
        grouped += _split(group, most or _max_runs(config, compute))
    return grouped


def _max_runs(config: Config, compute: Compute) -> int | None:
    """How many runs find room; None where nothing tells."""
    room = memory.free_bytes(compute.device)
    if room is None:
        return None
    dataset = load_dataset(config)
    own = bytes_per_run(config, make_architecture(config, dataset), compute.dtype)
    return max(1, int(memory.SHARE * room) // (own + memory.bytes_per_stream(dataset.shape, compute.dtype)))


def bytes_per_run(config: Config, architecture: Architecture, dtype: torch.dtype) -> int:
    """That a run adds to a cohort, beside its images."""
    arguments = make_hyperparameters(config, 1).arguments
    entries = len(list(OPTIMIZERS[config.optimizer.name].entries(arguments)))
    return memory.bytes_per_run(architecture, config.batch_size, entries, dtype)


def _split(group: Sequence[PlannedRun], most: int | None) -> list[list[PlannedRun]]:
    """A cohort's runs in parts of at most `most`, of about one size, those of one image stream together."""
    parts = 1 if most is None else -(-len(group) // most)
    ordered = sorted(group, key=lambda claim: stream_key(claim.job.config))
    size = -(-len(group) // parts)
    return [ordered[start : start + size] for start in range(0, len(ordered), size)]


def _check(config: Config) -> tuple[Compute, tuple[int, int, int]]:
    """What can only be known with the data and the device at hand; returns the device and the shape of the images."""
    device = config.device
    compute = choose_device(device.kind, device.index, device.precision, device.threads)
    whole = _load_whole(config)
    count = len(whole.train)
    if config.normalization.name == "batch" and min(batch_sizes(count, config.batch_size)) == 1:
        raise ConfigError("normalization=batch with one training image: one has no variance; use more of them")
    return compute, whole.shape


def build_cohort(claims: Sequence[PlannedRun]) -> Cohort:
    """The cohort of runs that agree in every `shared` field and in their epoch.

    Raises DataError if the data is no longer what the claims are of.
    """
    config, states = claims[0].job.config, [load_checkpoint(claim.directory) for claim in claims]
    compute = choose_device(config.device.kind, config.device.index, config.device.precision, config.device.threads)
    dataset = load_dataset(config).to(compute.device)
    if any(claim.identity.data != dataset.fingerprint for claim in claims):
        raise DataError(f"data={dataset.name}: its files changed after the start; type the same command again")
    digest = hashlib.sha256("".join(claim.identity.config for claim in claims).encode()).hexdigest()
    facts = {"size": len(claims), "id": digest[:12]}
    plans = [make_settings(claim.job.config, dataset) for claim in claims]
    streams = {plan.stream_key: plan.stream for plan in plans}

    @cache
    def preview(key: str) -> Png:  # made once a stream
        return png(augmentation_grid(dataset, streams[key]))

    members = []
    for claim, plan, state in zip(claims, plans, states, strict=True):
        stored = None if state is None else state.facts
        picture = partial(preview, plan.stream_key)
        members.append(Member(plan, RunRecorder(claim, stored, dataset, picture, facts, compute.describe())))
    return Cohort(
        members,
        states,
        make_architecture(config, dataset),
        config.model.init,
        config.optimizer.name,
        config.batch_size,
        dataset,
        compute,
    )


_load = lru_cache(maxsize=1)(load_splits)  # the cohorts of a sweep read the same data


def _load_whole(config: Config) -> Dataset:
    data = config.data
    return _load(locate(*data_source(config)), data.val_size, data.train_size, data.split_seed, data.validation)


def load_dataset(config: Config) -> Dataset:
    """The data set of a configuration, split; what is evaluated is cut to the size that augmentation crops to."""
    whole = _load_whole(config)
    return whole.centre(*make_pipeline(config, whole.shape).size)


@contextmanager
def shortages_explained() -> Iterator[None]:
    """Say what to make smaller where memory does not suffice. Raises MemoryShortage."""
    try:
        yield
    except (RuntimeError, MemoryError) as error:
        if isinstance(error, torch.OutOfMemoryError | MemoryError) or "allocate memory" in str(error):
            raise OutOfMemory(
                "not enough memory; use smaller model.hidden_sizes, batch_size or data.image_size, or fewer runs"
            ) from error
        raise


def make_architecture(config: Config, dataset: Dataset) -> Architecture:
    """What shapes the model on this data."""
    normalization = config.normalization
    options = {name: value for name, value in asdict(normalization).items() if name != "name"}
    return Architecture(
        prod(dataset.seen),
        tuple(config.model.hidden_sizes),
        len(dataset.classes),
        config.model.activation,
        normalization.name,
        **options,
    )


def make_settings(config: Config, dataset: Dataset) -> RunSettings:
    """A run's numbers."""
    steps_per_epoch = len(batch_sizes(len(dataset.train), config.batch_size))
    early_stopping = config.early_stopping
    stream = make_stream(config, dataset)
    return RunSettings(
        seed=config.seed,
        epochs=config.epochs,
        dropout=config.model.dropout,
        label_smoothing=config.loss.label_smoothing,
        patience=inf if early_stopping.patience is None else early_stopping.patience,
        min_delta=early_stopping.min_delta,
        monitor=early_stopping.monitor,
        restore_best=early_stopping.restore_best,
        numbers=make_hyperparameters(config, steps_per_epoch),
        stream=stream,
        stream_key=stream_key(config),
    )


def make_stream(config: Config, dataset: Dataset) -> ImageStream:
    """A run's image stream."""
    return ImageStream(config.seed, make_pipeline(config, dataset.shape), training_labels(config, dataset))


def training_labels(config: Config, dataset: Dataset) -> Tensor | None:
    """The labels [N] of a run that trains on wrong ones; None of one that does not."""
    noise, split_seed = config.data.label_noise, config.data.split_seed
    if noise == 0:
        return None
    return _mislabelled(dataset.train.labels, noise, len(dataset.classes), split_seed)


_mislabelled = lru_cache(maxsize=16)(mislabelled)  # runs that differ in other things share one tensor


def make_pipeline(config: Config, shape: tuple[int, int, int]) -> Pipeline:
    """A run's augmentation of images of this shape. Raises ConfigError that names a step which does not suit them."""
    channels, *size = shape
    steps: list[Transform] = []
    for name, given in config.augmentation.items():
        try:
            steps.append(make_transform(given, (channels, *Pipeline(steps, *size).size)))
            Pipeline(steps, *size)
        except ConfigError as error:
            raise ConfigError(f"augmentation.{name}.{error}") from error
    return Pipeline(steps, *size)


def make_transform(step: Any, shape: tuple[int, int, int]) -> Transform:
    """The transform of a step of the schema, whatever the user calls it, on images of this shape."""
    if isinstance(step, TorchvisionConfig):
        return image_by_image(step.target, step.arguments, shape)
    kind = next(name for name, schema in STEPS.items() if schema is type(step))
    options = {name: tuple(value) if isinstance(value, list) else value for name, value in asdict(step).items()}
    transform: Transform = TRANSFORMS[kind](**options)
    return transform


def make_hyperparameters(config: Config, steps_per_epoch: int) -> Hyperparameters:
    """A run's optimizer."""
    options = asdict(config.optimizer)
    name, l1, clip_norm = options.pop("name"), options.pop("l1"), options.pop("clip_norm")
    if "betas" in options:
        options["betas"] = tuple(options["betas"])
    steps = config.epochs * steps_per_epoch
    # The other schedules are the same whatever the number of epochs: runs that differ in it share a parameter group.
    horizon = steps if config.schedule.name in ("cosine", "onecycle") else 0
    key = repr((name, options, config.schedule, horizon))
    return Hyperparameters(
        options, make_schedule(config, steps_per_epoch), l1, inf if clip_norm is None else clip_norm, key
    )


def make_schedule(config: Config, steps_per_epoch: int) -> Schedule:
    """A run's learning-rate schedule."""
    options = asdict(config.schedule)
    steps = config.epochs * steps_per_epoch
    name = options.pop("name")
    if name == "cosine":
        return cosine(steps, round(options["warmup_epochs"] * steps_per_epoch), options["final_fraction"])
    if name == "onecycle":
        return onecycle(steps, **options)
    if name == "step":
        return step(steps_per_epoch, **options)
    return Plateau(config.optimizer.lr, **options) if name == "plateau" else constant()
