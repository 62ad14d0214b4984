"""What the cohorts of a sweep will take, told before any is trained."""

import time
from collections.abc import Callable, Sequence
from dataclasses import dataclass

import torch

from regexp.config.schema import Config, cohort_key, stream_key
from regexp.errors import RegexpError
from regexp.execution import builders, memory
from regexp.execution.recorder import load_checkpoint
from regexp.runs.directories import PlannedRun
from regexp.training.batches import Batch
from regexp.training.cohort import Cohort
from regexp.training.evaluation import cross_entropy, evaluate

# Runs, steps and images that are tried. What is learned in them is thrown away.
SAMPLE, STEPS, IMAGES = 8, 8, 1000
# Seconds after which no further cohort is tried.
PATIENCE = 10.0


@dataclass(frozen=True)
class Forecast:
    """Of one cohort.

    Attributes:
        memory: in bytes; None where the cohort was not tried, or could not be.
        seconds: if no run ends before its last epoch; None likewise.
        separating: what sets it apart: values by key.
        problem: why it could not be tried; empty where it could.
    """

    runs: int
    streams: int
    memory: int | None
    seconds: float | None
    separating: dict[str, str]
    problem: str = ""


def forecast_cohorts(groups: Sequence[Sequence[PlannedRun]]) -> list[Forecast]:
    """One for each group, after trying a few steps of it on the device."""
    keys = [dict(cohort_key(group[0].job.config)) for group in groups]
    every = dict.fromkeys(key for own in keys for key in own)
    differing = [key for key in every if len({own.get(key) for own in keys}) > 1]
    # Of a group's option and its keys, the option says enough.
    told = [key for key in differing if key.endswith(".name") or f"{key.rpartition('.')[0]}.name" not in differing]
    began, found = time.perf_counter(), []
    for group, own in zip(groups, keys, strict=True):
        streams = len({stream_key(claim.job.config) for claim in group})
        separating = {key.removesuffix(".name"): own.get(key, "").strip("'") for key in told}
        size, seconds, problem = None, None, ""
        if time.perf_counter() - began < PATIENCE:
            try:
                size, seconds = _try(group, streams)
            except RegexpError as error:  # which ends this cohort when its turn comes, and no other
                problem = str(error).splitlines()[0]
        found.append(Forecast(len(group), streams, size, seconds, separating, problem))
    return found


def _try(group: Sequence[PlannedRun], streams: int) -> tuple[int, float]:
    """Memory and seconds. Raises as building does, and MemoryShortage."""
    some = group[:: -(-len(group) // SAMPLE)]
    with builders.shortages_explained():
        cohort = builders.build_cohort(some)
        seconds = _seconds_of_an_epoch(cohort) / len(some)
    states = [load_checkpoint(claim.directory) for claim in group]
    done = sum(state.facts["epoch"] for state in states if state is not None)
    epochs = sum(claim.job.config.epochs for claim in group) - done
    return _bytes(cohort, group[0].job.config, len(group), streams), seconds * epochs


def _bytes(cohort: Cohort, config: Config, runs: int, streams: int) -> int:
    data, dtype = cohort.dataset, cohort.compute.dtype
    parts = [part for part in (data.train, data.measured, data.validation, data.test) if part is not None]
    images = sum(part.images.nbytes for part in parts)
    run = builders.bytes_per_run(config, cohort.model.architecture, dtype)
    return images + runs * run + streams * memory.bytes_per_stream(data.shape, dtype)


def _seconds_of_an_epoch(cohort: Cohort) -> float:
    """Of all its runs, measured on a few steps and images."""
    cohort.begin_epoch()
    began = time.perf_counter()
    batches = cohort.batches()
    first = next(batches)
    drawing = time.perf_counter() - began
    _step(cohort, first)  # the first takes longer
    steps = min(STEPS, (cohort.steps_per_epoch - 1) // 2)
    stepping = min(_seconds(lambda: _step(cohort, next(batches)), steps) for _ in range(2)) if steps else 0.0
    data, runs = cohort.dataset, len(cohort.members)
    some = data.validation.at(torch.arange(min(IMAGES, len(data.validation)), device=cohort.compute.device))
    measuring = min(_seconds(lambda: evaluate(cohort.model, runs, some, cohort.compute), 1) for _ in range(2))
    images = len(data.validation) + len(data.measured)
    return drawing + stepping * cohort.steps_per_epoch + measuring * images / len(some)


def _step(cohort: Cohort, batch: Batch) -> None:
    losses = cross_entropy(cohort.forward(batch.images), batch.labels, cohort.smoothing)
    losses.sum().backward()
    cohort.step(losses, batch.labels.shape[1])


def _seconds(act: Callable[[], object], times: int) -> float:
    """Each of so many times in a row takes; a GPU's work included."""
    began = time.perf_counter()
    for _ in range(times):
        act()
    if torch.cuda.is_initialized():
        torch.cuda.synchronize()
    return (time.perf_counter() - began) / times
