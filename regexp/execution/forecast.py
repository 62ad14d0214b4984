"""Forecasts of the memory and time that each cohort of a sweep will need, made before any cohort is trained."""

import math
import time
from collections.abc import Callable, Sequence
from dataclasses import dataclass

import torch

from regexp.config.schema import Config, cohort_key, stream_key
from regexp.errors import RegexpError
from regexp.execution import builders, memory
from regexp.execution.run_recorder import load_checkpoint
from regexp.runs.directories import PlannedRun
from regexp.training.batches import Batch
from regexp.training.cohort import Cohort
from regexp.training.evaluation import evaluate
from regexp.training.loss import training_loss

# At most this many runs, steps and images of a cohort are tried. What the runs learn is thrown away.
TRIED_RUNS, TRIED_STEPS, TRIED_IMAGES = 8, 8, 1000
# The seconds after which no further cohort is tried.
MAX_SECONDS = 10.0


@dataclass(frozen=True)
class Forecast:
    """The memory and time that one cohort is expected to need.

    Attributes:
        runs: the number of runs.
        streams: the number of image streams.
        memory_bytes: the memory in bytes; None where the cohort was not tried or could not be tried.
        seconds: the time if no run ends before its last epoch; None in the same cases.
        distinguishing_values: by key, the values that distinguish this cohort from the others of the sweep.
        problem: why the cohort could not be tried; empty where it could.
    """

    runs: int
    streams: int
    memory_bytes: int | None
    seconds: float | None
    distinguishing_values: dict[str, str]
    problem: str = ""


def forecast_cohorts(planned_cohorts: Sequence[Sequence[PlannedRun]]) -> list[Forecast]:
    """Return a forecast for each cohort, after trying a few steps of it on the device.

    Args:
        planned_cohorts: for each cohort, the runs that it will train.
    """
    cohort_values = [dict(cohort_key(planned_runs[0].job.config)) for planned_runs in planned_cohorts]
    distinguishing_keys = _distinguishing_keys(cohort_values)
    forecasts = []
    began = time.perf_counter()
    for planned_runs, values in zip(planned_cohorts, cohort_values, strict=True):
        streams = len({stream_key(planned.job.config) for planned in planned_runs})
        distinguishing_values = {
            key.removesuffix(".name"): values.get(key, "").strip("'") for key in distinguishing_keys
        }
        memory_bytes, seconds, problem = None, None, ""
        if time.perf_counter() - began < MAX_SECONDS:
            try:
                memory_bytes, seconds = _try_cohort(planned_runs, streams)
            except RegexpError as error:  # ends this cohort, and no other, once it is its turn to train
                problem = str(error).splitlines()[0]
        forecasts.append(Forecast(len(planned_runs), streams, memory_bytes, seconds, distinguishing_values, problem))
    return forecasts


def _distinguishing_keys(cohort_values: Sequence[dict[str, str]]) -> list[str]:
    """Return the keys that differ between cohorts; where the option of a group differs, its other keys are left out."""
    all_keys = dict.fromkeys(key for values in cohort_values for key in values)
    differing_keys = [key for key in all_keys if len({values.get(key) for values in cohort_values}) > 1]
    return [
        key for key in differing_keys if key.endswith(".name") or f"{key.rpartition('.')[0]}.name" not in differing_keys
    ]


def _try_cohort(planned_runs: Sequence[PlannedRun], streams: int) -> tuple[int, float]:
    """Return the memory in bytes and the seconds that a cohort needs, by trying some of its runs.

    Raises:
        RegexpError: the cohort cannot be built, or does not fit in memory.
    """
    sample = planned_runs[:: math.ceil(len(planned_runs) / TRIED_RUNS)]
    with builders.explain_out_of_memory():
        cohort = builders.build_cohort(sample)
        seconds_per_epoch = _measure_epoch(cohort) / len(sample)
    checkpoints = [load_checkpoint(planned.directory) for planned in planned_runs]
    epochs_done = sum(checkpoint.metadata["epoch"] for checkpoint in checkpoints if checkpoint is not None)
    epochs = sum(planned.job.config.epochs for planned in planned_runs) - epochs_done
    return _estimate_bytes(cohort, planned_runs[0].job.config, len(planned_runs), streams), seconds_per_epoch * epochs


def _estimate_bytes(cohort: Cohort, config: Config, runs: int, streams: int) -> int:
    """Return the memory in bytes that a cohort of so many runs and image streams needs."""
    dataset, dtype = cohort.dataset, cohort.backend.dtype
    all_splits = (dataset.train, dataset.measured, dataset.validation, dataset.test)
    splits = [split for split in all_splits if split is not None]
    image_bytes = sum(split.images.nbytes for split in splits)
    optimizer_values = builders.count_optimizer_values(config)
    run_bytes = memory.estimate_run_bytes(cohort.model.architecture, config.batch_size, optimizer_values, dtype)
    return image_bytes + runs * run_bytes + streams * memory.estimate_stream_bytes(dataset.shape, dtype)


def _measure_epoch(cohort: Cohort) -> float:
    """Return the seconds that an epoch of the whole cohort takes, extrapolated from a few steps and images."""
    cohort.begin_epoch()
    began = time.perf_counter()
    batches = cohort.batches()
    first_batch = next(batches)
    drawing_seconds = time.perf_counter() - began
    _train_step(cohort, first_batch)  # not measured: the first step takes longer
    steps = min(TRIED_STEPS, (cohort.steps_per_epoch - 1) // 2)
    step_seconds = 0.0
    if steps:
        step_seconds = min(_time_calls(lambda: _train_step(cohort, next(batches)), steps) for _ in range(2))
    dataset, num_runs = cohort.dataset, len(cohort.members)
    sample_size = min(TRIED_IMAGES, len(dataset.validation))
    sample = dataset.validation.select(torch.arange(sample_size, device=cohort.backend.device))
    sample_seconds = min(
        _time_calls(lambda: evaluate(cohort.model, num_runs, sample, cohort.backend), 1) for _ in range(2)
    )
    evaluated_images = len(dataset.validation) + len(dataset.measured)
    evaluation_seconds = sample_seconds * evaluated_images / len(sample)
    return drawing_seconds + step_seconds * cohort.steps_per_epoch + evaluation_seconds


def _train_step(cohort: Cohort, batch: Batch) -> None:
    losses = training_loss(cohort.forward(batch.images), batch, cohort.loss_terms)
    losses.sum().backward()
    cohort.step(losses, len(batch))


def _time_calls(function: Callable[[], object], calls: int) -> float:
    """Return the mean seconds of several calls in a row, the work of a GPU included."""
    began = time.perf_counter()
    for _ in range(calls):
        function()
    if torch.cuda.is_initialized():
        torch.cuda.synchronize()
    return (time.perf_counter() - began) / calls
