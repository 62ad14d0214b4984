"""Forecasts of the memory and time that each cohort of a sweep will need, made before any cohort is trained."""

import math
import tempfile
import time
from collections.abc import Callable, Sequence
from dataclasses import replace
from pathlib import Path

import torch

from regexp.errors import RegexpError
from regexp.execution import builders
from regexp.execution.forecasting import memory
from regexp.execution.forecasting.run_memory import estimate_bytes_per_run
from regexp.execution.planning import CohortCosts, PlannedCohort
from regexp.runs.directories import PlannedRun
from regexp.training.batches import IMAGES_AT_ONCE, Batch
from regexp.training.cohort import Cohort
from regexp.training.evaluation import evaluate
from regexp.training.loop import evaluate_epoch, take_step, test_and_drop_finished_runs

# At most this many runs, steps and images of a cohort are tried, and so many of the runs recorded. What the runs learn
# is thrown away.
TRIED_RUNS, TRIED_STEPS, TRIED_IMAGES, RECORDED_RUNS = 8, 8, 1000, 2
# The seconds after which no further cohort is tried.
MAX_SECONDS = 10.0
# The least share of the measured time in which the processor has to work for this process, so that times are not rough.
MIN_BUSY_SHARE = 0.85


def forecast_cohorts(cohorts: Sequence[PlannedCohort]) -> list[PlannedCohort]:
    """Return the cohorts with their costs, after trying a few steps of each on the device."""
    began = time.perf_counter()
    forecasts = []
    for cohort in cohorts:
        forecast = cohort
        if time.perf_counter() - began < MAX_SECONDS:
            try:
                costs = measure_costs(cohort.runs)
                notes = builders.load_dataset(cohort.runs[0].job.config).notes  # read already
                forecast = replace(cohort, costs=costs, data_notes=notes)
            except RegexpError as error:  # ends this cohort, and no other, once it is its turn to train
                forecast = replace(cohort, problem=str(error).splitlines()[0])
        forecasts.append(forecast)
    return forecasts


def measure_costs(planned_runs: Sequence[PlannedRun]) -> CohortCosts:
    """Return what a cohort of these runs costs, by trying some of them.

    Raises:
        RegexpError: the cohort cannot be built, or does not fit in memory.
    """
    sample = planned_runs[:: math.ceil(len(planned_runs) / TRIED_RUNS)]
    configs = [planned.job.config for planned in planned_runs]
    with builders.explain_errors(configs), tempfile.TemporaryDirectory() as directory:
        # Recorded elsewhere, and from their beginning, so that nothing changes in the runs' own directories.
        trial = [replace(planned, directory=Path(directory, str(i))) for i, planned in enumerate(sample)]
        for planned in trial:
            planned.directory.mkdir()
        cohort = builders.build_cohort(trial)
        began, busy = time.perf_counter(), time.process_time()
        stream_seconds, step_seconds = _measure_steps(cohort)
        evaluation_seconds = _measure_evaluation(cohort)
        epoch_seconds = 0.0
        if len(planned_runs) > len(sample) > 1:
            # A larger cohort costs less a run: what a step costs beside its runs shows in a cohort of one.
            alone = builders.build_cohort(trial[:1])
            seconds_alone = _measure_steps(alone)[1]
            epoch_seconds = max(0.0, (len(sample) * seconds_alone - step_seconds) / (len(sample) - 1))
        seconds, busy_seconds = time.perf_counter() - began, time.process_time() - busy
        recording_seconds, recording_seconds_per_epoch = _measure_recording(cohort)
    # All of this is computation: on a CPU the process waits for nothing, unless other programs have its cores.
    are_rough = cohort.backend.device.type == "cpu" and busy_seconds < MIN_BUSY_SHARE * seconds
    run_seconds = max(step_seconds - epoch_seconds + evaluation_seconds, 0.0) / len(sample)
    dataset = cohort.dataset
    splits = [dataset.train, dataset.measured, dataset.validation, dataset.test]
    return CohortCosts(
        data_bytes=sum(split.images.nbytes for split in splits if split is not None)
        + memory.estimate_evaluation_bytes(cohort.backend.device),
        run_bytes=estimate_bytes_per_run(configs, cohort.model.architecture, dataset, cohort.backend),
        stream_bytes=memory.estimate_stream_bytes(dataset.shape, len(dataset.train), cohort.backend.dtype),
        epoch_seconds=epoch_seconds,
        run_seconds=run_seconds + recording_seconds_per_epoch,
        stream_seconds=stream_seconds,
        recording_seconds=recording_seconds,
        are_rough=are_rough,
    )


def _measure_steps(cohort: Cohort) -> tuple[float, float]:
    """Return the seconds of an epoch that an image stream takes, and those that the steps of the cohort take."""
    draw_seconds = _time_calls(cohort.begin_epoch, 1, cohort)
    batches = cohort.batches()
    batches_at_once = max(1, IMAGES_AT_ONCE // cohort.batch_size)
    tried_batches: list[Batch] = []
    seconds_of_batches = []
    for _ in range(min(2 * batches_at_once, cohort.steps_per_epoch)):
        seconds_of_batches.append(_time_calls(lambda: tried_batches.append(next(batches)), 1, cohort))
    # The images come in blocks.
    first_block, block = sum(seconds_of_batches[:batches_at_once]), sum(seconds_of_batches[batches_at_once:])
    tried_blocks = len(seconds_of_batches) / batches_at_once - 1
    if tried_blocks > 0:
        block /= tried_blocks
        first_block += block * (cohort.steps_per_epoch / batches_at_once - 1)
    batch = tried_batches[0]
    take_step(cohort, batch)  # not measured: the first step takes longer
    step_seconds = min(_time_calls(lambda: take_step(cohort, batch), TRIED_STEPS, cohort) for _ in range(2))
    return (draw_seconds + first_block) / len(cohort.streams), step_seconds * cohort.steps_per_epoch


def _measure_evaluation(cohort: Cohort) -> float:
    """Return the seconds of an epoch that evaluation takes, extrapolated from some of the images."""
    dataset, num_runs = cohort.dataset, len(cohort.members)
    sample_size = min(TRIED_IMAGES, len(dataset.validation))
    sample = dataset.validation.select(torch.arange(sample_size, device=cohort.backend.device))
    seconds = min(
        _time_calls(lambda: evaluate(cohort.model, num_runs, sample, cohort.backend), 1, cohort) for _ in range(2)
    )
    return seconds * (len(dataset.validation) + len(dataset.measured)) / sample_size


def _measure_recording(cohort: Cohort) -> tuple[float, float]:
    """Return the seconds that a run takes at its beginning and its end, and those that recording an epoch takes."""
    began = time.perf_counter()
    members = cohort.members[:RECORDED_RUNS]
    for member in members:
        member.call_recorder(member.recorder.record_start)
    start_seconds = (time.perf_counter() - began) / len(members)
    metrics = evaluate_epoch(cohort)
    began = time.perf_counter()
    for member, run_metrics in zip(members, metrics, strict=False):
        member.update(run_metrics)
        member.call_recorder(member.recorder.record_epoch, run_metrics)
        member.status = "completed"
    epoch_seconds = (time.perf_counter() - began) / len(members)
    began = time.perf_counter()
    test_and_drop_finished_runs(cohort)
    end_seconds = (time.perf_counter() - began) / len(members)
    return start_seconds + end_seconds, epoch_seconds


def _time_calls(function: Callable[[], object], calls: int, cohort: Cohort) -> float:
    """Return the mean seconds of several calls in a row, the work of the cohort's device included."""
    began = time.perf_counter()
    for _ in range(calls):
        function()
    cohort.backend.synchronize()
    return (time.perf_counter() - began) / calls
