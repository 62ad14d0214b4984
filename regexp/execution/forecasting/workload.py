"""A rough estimate of the work in a sweep, before anything is measured, and the number of workers that it is worth.

This module imports no torch: the estimate decides whether this process will need it.
"""

import math
import shutil
import sys
from collections.abc import Sequence
from itertools import chain, pairwise
from pathlib import Path

from regexp.config.schema import Config, cohort_key
from regexp.config.schemas.data import DATA_SOURCES
from regexp.config.schemas.model import MLPConfig
from regexp.utils.counts import resolve_count
from regexp.utils.system_limits import count_cores, read_available_bytes

# The work of a second worker has to pay for another import of torch, which takes 2 to 4 seconds.
SECONDS_PER_WORKER = 3.0
# The memory of a worker in bytes, without images and runs: torch, its libraries and a data set.
WORKER_BYTES = 800 * 2**20
# What one core does, to within a factor of three: products and sums a second in matrix products, and the seconds that
# a cohort takes for each step beside them, a run for each image and for each epoch that it records, and once.
FLOP_PER_SECOND = 6e10
SECONDS_PER_STEP, SECONDS_PER_IMAGE, SECONDS_PER_EPOCH, SECONDS_PER_RUN = 2e-4, 5e-7, 5e-4, 0.02


def choose_num_workers(configs: Sequence[Config], workers: int | None) -> int:
    """Return the number of workers for the runs of a sweep; 1 stands for this process.

    Args:
        configs: the configuration of each run that has not ended.
        workers: the number that the user asks for; None for as many as the cores, the memory and the work allow.
    """
    if workers is not None:
        return min(workers, len(configs))
    limits = [count_cores(), len(configs)]
    if (available_bytes := read_available_bytes()) is not None:
        limits.append(available_bytes // WORKER_BYTES)
    if (seconds := estimate_seconds(configs)) is not None:
        limits.append(int(seconds / SECONDS_PER_WORKER))
    return max(1, min(limits))


def estimate_seconds(configs: Sequence[Config]) -> float | None:
    """Return how long runs train on one core, to within a factor of three or so; None where only the data tells."""
    seconds = 0.0
    steps_of_cohorts: dict[object, int] = {}
    for config in configs:
        source = DATA_SOURCES[config.data.name]
        sizes = config.model.hidden_sizes if isinstance(config.model, MLPConfig) else None
        if source.training_images is None or source.num_inputs is None or sizes is None:
            return None
        images = source.training_images
        if config.data.train_size is not None:
            images = min(images, resolve_count(config.data.train_size, images))
        layer_sizes = [source.num_inputs, *sizes, 10]
        flop = 6 * sum(a * b for a, b in pairwise(layer_sizes))
        epoch_seconds = images * (flop / FLOP_PER_SECOND + SECONDS_PER_IMAGE) + SECONDS_PER_EPOCH
        seconds += config.epochs * epoch_seconds + SECONDS_PER_RUN
        key, steps = cohort_key(config), config.epochs * math.ceil(images / config.batch_size)
        steps_of_cohorts[key] = max(steps_of_cohorts.get(key, 0), steps)
    return seconds + SECONDS_PER_STEP * sum(steps_of_cohorts.values())


def may_use_gpu(configs: Sequence[Config]) -> bool:
    """Return whether runs may train on a GPU, as far as that can be told without torch."""
    kinds = {config.device.kind for config in configs}
    return bool(kinds & {"cuda", "mps"}) or ("auto" in kinds and _machine_may_have_gpu())


def _machine_may_have_gpu() -> bool:
    if sys.platform == "darwin":
        return True
    device_files = chain(Path("/dev").glob("nvidia[0-9]*"), Path("/dev").glob("kfd"))
    return any(device_files) or shutil.which("nvidia-smi") is not None
