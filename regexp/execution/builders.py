"""Builders that turn configurations into cohorts.

Configuration objects stop here: the packages that builders call take plain arguments.
"""

import hashlib
from collections.abc import Iterable, Iterator, Sequence
from contextlib import contextmanager
from functools import cache, lru_cache, partial

from regexp.config.metric_registry import list_metrics, list_monitors
from regexp.config.schema import Config, flatten, list_targets, source_arguments, stream_key
from regexp.config.schemas.loss import CrossEntropyConfig
from regexp.config.schemas.model import rate_names
from regexp.data.dataset import Dataset, read_dataset
from regexp.data.sources import locate
from regexp.errors import DataError, DeviceLost, OutOfMemory
from regexp.execution.building.loss_settings import make_loss_settings
from regexp.execution.building.optimizer_builders import make_attack, make_averaging, make_hyperparameters
from regexp.execution.building.stopping import make_stopping_rule
from regexp.execution.building.stream_builders import make_noisy_labels, make_pipeline, make_stream
from regexp.execution.checkpoint_file import load_checkpoint
from regexp.execution.forecasting import memory
from regexp.execution.images import Png, draw_augmentation_grid, encode_png
from regexp.execution.run_recorder import RunRecorder
from regexp.models.protocol import Architecture
from regexp.runs.directories import PlannedRun
from regexp.training.cohort import Cohort
from regexp.training.losses.user_loss import UserLoss
from regexp.training.member import Member, RunSettings
from regexp.training.metrics import UserMetric
from regexp.user_code.loading import explain_user_failures
from regexp.utils.counts import batch_sizes
from regexp.utils.device import Backend, choose_backend, choose_threads, is_device_lost, is_out_of_memory
from regexp.utils.lazy import load_object
from regexp.utils.messages import first_line, say


def build_cohort(planned_runs: Sequence[PlannedRun]) -> Cohort:
    """Build the cohort of runs that agree in every `shared` field and in their epoch.

    Raises:
        DataError: the data has changed since the runs were planned.
    """
    config, device = planned_runs[0].job.config, planned_runs[0].job.config.device
    checkpoints = [load_checkpoint(planned.directory) for planned in planned_runs]
    dataset = load_dataset(config)
    architecture = make_architecture(config, dataset)
    threads = device.threads
    if threads is None:
        threads = choose_threads(memory.count_flop(architecture, config.batch_size))
    backend = choose_backend(device.kind, device.index, device.precision, threads, device.graphs)
    dataset = dataset.to(backend.device)
    if any(planned.identity.data != dataset.fingerprint for planned in planned_runs):
        raise DataError(f"data={dataset.name}: its files changed after this command started; type it again")
    digest = hashlib.sha256("".join(planned.identity.config for planned in planned_runs).encode()).hexdigest()
    cohort_record = {"size": len(planned_runs), "id": digest[:12]}
    run_settings = [make_settings(planned.job.config, dataset) for planned in planned_runs]
    streams = {settings.stream_key: settings.stream for settings in run_settings}

    @cache
    def draw_preview(key: str) -> Png:  # drawn once for each stream
        # A recorder keeps errors to itself, so they are explained here.
        with explain_errors([planned.job.config for planned in planned_runs]):
            return encode_png(draw_augmentation_grid(dataset, streams[key]))

    members = []
    for planned, settings, checkpoint in zip(planned_runs, run_settings, checkpoints, strict=True):
        metadata = None if checkpoint is None else checkpoint.metadata
        augments = dataset.features is None and planned.job.config.augmentation
        preview = partial(draw_preview, settings.stream_key) if augments else None
        recorder = RunRecorder(planned, metadata, dataset, architecture, preview, cohort_record, backend.describe())
        members.append(Member(settings, recorder))
    return Cohort(
        members,
        checkpoints,
        architecture,
        config.optimizer.name,
        config.batch_size,
        dataset,
        backend,
        make_user_loss(config, dataset, backend),
        make_user_metrics(config, dataset),
    )


# The cohorts of a sweep usually read the same data. Typed, because a size of 1 is one image and 1.0 is all.
_read_dataset_once = lru_cache(maxsize=1, typed=True)(read_dataset)


def load_uncropped_dataset(config: Config) -> Dataset:
    """Load and split the data set of a configuration."""
    data = config.data
    return _read_dataset_once(
        locate(*source_arguments(config)), data.val_size, data.train_size, data.split_seed, data.validation
    )


def load_dataset(config: Config) -> Dataset:
    """Load and split the data set of a configuration, and crop evaluated images to the size of augmented ones."""
    dataset = load_uncropped_dataset(config)
    return dataset.center_crop(*make_pipeline(config, dataset.shape).output_size)


@contextmanager
def explain_device_errors() -> Iterator[None]:
    """Replace errors of a device, raised in the `with` statement, by errors that say what to do.

    Raises:
        OutOfMemory: torch or Python could not allocate memory.
        DeviceLost: a GPU stopped working.
    """
    try:
        yield
    except (RuntimeError, MemoryError, OSError) as error:
        if is_out_of_memory(error):
            raise OutOfMemory(
                "not enough memory; use a smaller model, batch_size or data.image_size, or fewer runs"
            ) from error
        if is_device_lost(error):
            again = say(
                "this process can no longer use it. Type the same command again",
                "this process can no longer use it. Restart Python, in a notebook the kernel, and make the call again",
            )
            raise DeviceLost(
                f"the GPU stopped working ({first_line(error)}), and {again}: finished runs are kept, and the others "
                "resume from their checkpoints"
            ) from error
        raise


@contextmanager
def explain_errors(configs: Iterable[Config]) -> Iterator[None]:
    """Replace errors of a device, and of the user's own code, by errors that say what to do.

    Args:
        configs: the configurations of the runs that the `with` statement trains.

    Raises:
        ConfigError: a line of the user's own code led to an exception.
        OutOfMemory, DeviceLost: as in `explain_device_errors`.
    """
    targets = dict.fromkeys(target for config in configs for target in list_targets(config))
    with explain_user_failures(list(targets)), explain_device_errors():
        yield


def make_architecture(config: Config, dataset: Dataset) -> Architecture:
    """Make the architecture of a configuration's model on this data."""
    architecture: type[Architecture] = load_object(config.model.architecture)
    with explain_errors([config]):
        return architecture.from_options(dataset.input_shape, len(dataset.classes), flatten(config))


def make_user_loss(config: Config, dataset: Dataset, backend: Backend) -> UserLoss | None:
    """Make and try the loss of a configuration if it is one of the user's own; otherwise return None."""
    if not isinstance(config.loss, CrossEntropyConfig) or config.loss.target is None:
        return None
    with explain_errors([config]):
        loss = UserLoss(config.loss.target, config.loss.options, len(dataset.classes))
        loss.to(backend.dtype)
        return loss


def make_user_metrics(config: Config, dataset: Dataset) -> list[UserMetric]:
    """Make and try the metrics of the user's own of a configuration."""
    with explain_errors([config]):
        return [
            UserMetric(name, metric.target, metric.options, len(dataset.classes))
            for name, metric in config.metrics.items()
        ]


def make_settings(config: Config, dataset: Dataset) -> RunSettings:
    """Make the settings of a run, in which it may differ from the other runs of its cohort."""
    steps_per_epoch = len(batch_sizes(len(dataset.train), config.batch_size))
    early_stopping, labels = config.early_stopping, make_noisy_labels(config, dataset)
    return RunSettings(
        seed=config.seed,
        epochs=config.epochs,
        rates={name: getattr(config.model, name) for name in rate_names(type(config.model))},
        loss=make_loss_settings(config.loss, dataset.train.labels if labels is None else labels, len(dataset.classes)),
        stopping=make_stopping_rule(early_stopping),
        monitor=early_stopping.monitor,
        better=list_monitors(list_metrics(flatten(config)))[early_stopping.monitor].better,
        restore_best=early_stopping.restore_best,
        hyperparameters=make_hyperparameters(config, steps_per_epoch),
        attack=make_attack(config),
        averaging=make_averaging(config),
        measures_robustness=config.evaluation.corruptions and dataset.features is None,
        stream=make_stream(config, dataset),
        stream_key=stream_key(config),
        keeps_logits=config.predictions,
    )
