"""The grouping of runs into cohorts, which checks each run against its device and its data."""

import math
from collections.abc import Sequence
from itertools import groupby
from typing import Any

import torch

from regexp.config.schema import Config, cohort_key
from regexp.config.schemas.data import DATA_SOURCES
from regexp.errors import ConfigError
from regexp.execution import builders
from regexp.execution.building.stream_builders import make_pipeline
from regexp.execution.checkpoint_file import load_checkpoint
from regexp.execution.forecasting import memory
from regexp.execution.forecasting.run_memory import estimate_bytes_per_run
from regexp.execution.planning import PlannedCohort, split_cohort
from regexp.runs.directories import PlannedRun, record_failure_of
from regexp.utils.counts import batch_sizes
from regexp.utils.device import Backend, choose_backend


def group_into_cohorts(
    planned_runs: Sequence[PlannedRun], max_runs: int | None = None, num_workers: int = 1
) -> list[PlannedCohort]:
    """Group runs into as few cohorts as their `shared` fields and the memory allow.

    Runs that resume are grouped with others of the same epoch and come first. More runs in a cohort are never slower;
    this was measured up to 256 runs.

    Args:
        planned_runs: the runs to train.
        max_runs: the largest number of runs in a cohort; None for as many as fit in half of the device's free memory.
        num_workers: how many cohorts will train at the same time, and on a CPU share that memory.

    Raises:
        ConfigError: a configuration does not suit its data.
        DataError: a data set is missing or unreadable.
        DeviceError: a device is missing, or lacks the precision.
    """
    epochs = {planned: _count_epochs_done(planned) for planned in planned_runs}

    def key(planned: PlannedRun) -> tuple[Any, ...]:
        return (-epochs[planned], cohort_key(planned.job.config))  # runs that resume come first

    cohorts = []
    for _, group in groupby(sorted(planned_runs, key=key), key=key):
        compatible_runs = list(group)
        config = compatible_runs[0].job.config
        with record_failure_of(compatible_runs):
            backend, image_shape = _check_device_and_data(config)
        for planned in compatible_runs:
            with record_failure_of([planned]):
                make_pipeline(planned.job.config, image_shape)
        configs = [planned.job.config for planned in compatible_runs]
        limit = max_runs or _max_runs_in_memory(configs, backend, num_workers)
        count = 1 if limit is None else math.ceil(len(compatible_runs) / limit)
        cohorts += split_cohort(PlannedCohort(compatible_runs, epochs[compatible_runs[0]]), count)
    return cohorts


def _count_epochs_done(planned: PlannedRun) -> int:
    """Return the epoch after which a run goes on; 0 for a run that starts."""
    if planned.shorter_run is not None and planned.continues and not planned.directory.exists():  # in a dry run
        return planned.shorter_run.epoch
    checkpoint = load_checkpoint(planned.directory)
    return 0 if checkpoint is None else int(checkpoint.metadata["epoch"])


def _max_runs_in_memory(configs: Sequence[Config], backend: Backend, num_workers: int) -> int | None:
    """Return how many of these runs fit in a worker's part of a device's usable memory; None where that is unknown."""
    free_bytes = memory.read_free_bytes(backend.device)
    if free_bytes is None:
        return None
    dataset = builders.load_dataset(configs[0])
    architecture = builders.make_architecture(configs[0], dataset)
    run_bytes = estimate_bytes_per_run(configs, architecture, dataset, backend)
    # Each run may have its own stream.
    stream_bytes = memory.estimate_stream_bytes(dataset.shape, len(dataset.train), backend.dtype)
    num_sharing = num_workers if backend.device.type == "cpu" else 1  # each worker has a GPU of its own
    usable_bytes = int(memory.USABLE_FRACTION * free_bytes / num_sharing)
    return max(1, (usable_bytes - memory.estimate_evaluation_bytes(backend.device)) // (run_bytes + stream_bytes))


def count_gpus(config: Config) -> int | None:
    """Return how many GPUs runs of this configuration may use; None if they train on a CPU."""
    device = choose_backend(config.device.kind, config.device.index, config.device.precision, config.device.threads)
    if device.device.type == "cpu":
        return None
    return torch.cuda.device_count() if device.device.type == "cuda" and config.device.index is None else 1


def _check_device_and_data(config: Config) -> tuple[Backend, tuple[int, ...]]:
    """Check a configuration against its data and device, and return the backend and the shape of the images."""
    device = config.device
    backend = choose_backend(device.kind, device.index, device.precision, device.threads, device.graphs)
    dataset = builders.load_uncropped_dataset(config)
    if config.normalization.name == "batch" and min(batch_sizes(len(dataset.train), config.batch_size)) == 1:
        unit = DATA_SOURCES[config.data.name].unit
        raise ConfigError(f"normalization=batch: a single training {unit} has no variance; use more training {unit}s")
    builders.make_user_loss(config, dataset, backend)
    builders.make_user_metrics(config, dataset)
    return backend, dataset.shape
