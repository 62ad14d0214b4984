"""Estimates of the memory that runs of given configurations add to a cohort."""

from collections.abc import Sequence

from regexp.config.schema import Config
from regexp.data.dataset import Dataset
from regexp.execution.building.optimizer_builders import count_optimizer_values
from regexp.execution.forecasting.memory import estimate_kept_logit_bytes, estimate_logit_bytes, estimate_run_bytes
from regexp.models.protocol import Architecture
from regexp.utils.device import Backend


def estimate_bytes_per_run(
    configs: Sequence[Config], architecture: Architecture, dataset: Dataset, backend: Backend
) -> int:
    """Return the bytes that each run adds to a cohort, without its images.

    Where runs differ in what they need, it is what the most demanding of them need: their tensors are stacked.

    Args:
        configs: the configurations of the runs, which may train together.
        architecture: the architecture of their model.
        dataset: their data.
        backend: the device and precision.
    """
    # Jobs of a sweep share the objects of the sections that they have in common.
    distinct_configs = {(id(config.optimizer), id(config.averaging), config.epochs): config for config in configs}
    optimizer_values = max(map(count_optimizer_values, distinct_configs.values()))
    run_bytes = estimate_run_bytes(architecture, configs[0].batch_size, optimizer_values, backend.dtype)
    if configs[0].metrics:
        run_bytes += estimate_logit_bytes(dataset, backend.dtype)
    if backend.device.type == "cpu" and any(config.predictions for config in configs):
        run_bytes += estimate_kept_logit_bytes(dataset)
    return run_bytes
