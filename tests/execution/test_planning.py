"""The plan of a sweep: what cohorts cost, and how they are split over workers."""

from collections.abc import Sequence
from dataclasses import replace
from pathlib import Path

import pytest

from regexp.config.compose import compose_jobs
from regexp.config.schema import stream_key
from regexp.execution.forecasting import workload
from regexp.execution.forecasting.workload import choose_num_workers, estimate_seconds, may_use_gpu
from regexp.execution.planning import (
    MIN_RUNS,
    CohortCosts,
    PlannedCohort,
    forecast_seconds,
    split_cohort,
    split_for_workers,
)
from regexp.runs.reserving.plan import plan_runs
from regexp.runs.trials import PrunableTrial

FREE = CohortCosts(
    data_bytes=1000,
    run_bytes=10,
    stream_bytes=100,
    epoch_seconds=0.0,
    run_seconds=1.0,
    stream_seconds=0.0,
    recording_seconds=0.0,
)
TO_THE_END = ["early_stopping=none"]


def make_cohort(
    seeds: int, rates: int, epochs: int = 10, costs: CohortCosts | None = FREE, words: Sequence[str] = TO_THE_END
) -> PlannedCohort:
    """Return a cohort of `seeds` image streams, each with `rates` runs."""
    overrides = [
        [*words, f"epochs={epochs}", f"seed={seed}", f"optimizer.lr={0.001 * rate}"]
        for rate in range(1, rates + 1)
        for seed in range(seeds)
    ]
    return PlannedCohort(plan_runs(compose_jobs(overrides), Path("outputs")), costs=costs)


def streams_of(cohorts: Sequence[PlannedCohort]) -> list[set[str]]:
    """Return the image streams of each cohort."""
    return [{stream_key(planned.job.config) for planned in cohort.runs} for cohort in cohorts]


def test_what_a_cohort_needs_is_the_sum_of_its_parts() -> None:
    costs = CohortCosts(1000, 10, 100, epoch_seconds=2.0, run_seconds=0.5, stream_seconds=3.0, recording_seconds=0.25)
    cohort = make_cohort(seeds=2, rates=3, epochs=10, costs=costs)
    assert cohort.memory_bytes == 1000 + 6 * 10 + 2 * 100
    assert cohort.seconds == 6 * 10 * 0.5 + 10 * (2 * 3.0 + 2.0) + 6 * 0.25
    resumed = PlannedCohort(cohort.runs, epochs_done=9, costs=costs)
    assert resumed.seconds == 6 * 0.5 + 2 * 3.0 + 2.0 + 6 * 0.25
    assert make_cohort(1, 1, costs=None).seconds is None


@pytest.mark.parametrize(("seeds", "rates", "count"), [(8, 3, 2), (8, 3, 4), (3, 8, 3), (4, 5, 2), (16, 1, 5)])
def test_a_cohort_is_split_between_image_streams(seeds: int, rates: int, count: int) -> None:
    cohort = make_cohort(seeds, rates)
    parts = split_cohort(cohort, count)
    assert len(parts) == count
    assert {planned for part in parts for planned in part.runs} == set(cohort.runs)
    assert sum(len(part.runs) for part in parts) == len(cohort.runs)
    streams = streams_of(parts)
    assert sum(len(names) for names in streams) == len(set().union(*streams)) == seeds
    assert max(len(part.runs) for part in parts) <= 1.35 * len(cohort.runs) / count


def test_an_image_stream_is_split_where_parts_would_differ_much() -> None:
    assert [len(part.runs) for part in split_cohort(make_cohort(seeds=1, rates=12), 4)] == [3, 3, 3, 3]
    assert [len(part.runs) for part in split_cohort(make_cohort(seeds=3, rates=4), 2)] == [6, 6]
    assert [len(part.runs) for part in split_cohort(make_cohort(seeds=1, rates=2), 5)] == [1, 1]


@pytest.mark.parametrize("num_workers", [2, 3, 6, 64])
@pytest.mark.parametrize("costs", [FREE, None])
def test_workers_end_at_about_the_same_time(num_workers: int, costs: CohortCosts | None) -> None:
    cohorts = [make_cohort(8, 3, 10, costs), make_cohort(8, 3, 20, costs), make_cohort(2, 2, 30, costs)]
    parts = split_for_workers(cohorts, num_workers)
    assert {id(run) for part in parts for run in part.runs} == {id(run) for cohort in cohorts for run in cohort.runs}
    for part in parts:
        assert len({planned.job.config.epochs for planned in part.runs}) == 1  # of one cohort only
    timed = [PlannedCohort(part.runs, costs=FREE) for part in parts]
    total, longest_run = 24 * 10 + 24 * 20 + 4 * 30, 30
    seconds = forecast_seconds(timed, num_workers)
    assert seconds is not None
    assert seconds <= max(1.25 * total / num_workers, 1.5 * longest_run)


def test_one_worker_gets_the_cohorts_as_they_are() -> None:
    cohorts = [make_cohort(8, 3, 10), make_cohort(2, 2, 30)]
    assert split_for_workers(cohorts, 1) == cohorts
    assert forecast_seconds(cohorts, 1) == 24 * 10 + 4 * 30


def test_runs_that_may_leave_early_are_split_finer() -> None:
    early = make_cohort(1, 6 * MIN_RUNS, words=["early_stopping=default"])
    late = make_cohort(1, 6 * MIN_RUNS)
    assert [len(part.runs) for part in split_for_workers([early], 2)] == [MIN_RUNS * 6 // 4] * 4
    assert [len(part.runs) for part in split_for_workers([late], 2)] == [MIN_RUNS * 3] * 2
    small = make_cohort(1, MIN_RUNS, words=["early_stopping=default"])
    assert [len(part.runs) for part in split_for_workers([small], 2)] == [MIN_RUNS // 2] * 2


@pytest.mark.parametrize(("seeds", "trials", "sizes"), [(1, 6 * MIN_RUNS, [3 * MIN_RUNS] * 2), (3, 11, [18, 15])])
def test_runs_that_may_be_pruned_are_not_split_finer(seeds: int, trials: int, sizes: list[int]) -> None:
    cohort = make_cohort(seeds, trials, words=["early_stopping=default"])
    runs = [
        replace(planned, trial=PrunableTrial(Path("study.log"), number // seeds, "val_loss", {}, 10))
        for number, planned in enumerate(cohort.runs)
    ]
    assert [len(part.runs) for part in split_for_workers([replace(cohort, runs=runs)], 2)] == sizes


def test_what_a_cohort_costs_beside_its_runs_keeps_it_whole() -> None:
    costs = CohortCosts(0, 0, 0, epoch_seconds=100.0, run_seconds=0.01, stream_seconds=0.0, recording_seconds=0.0)
    whole, other = make_cohort(4, 4, costs=costs), make_cohort(4, 4, costs=costs)
    assert len(split_for_workers([whole, other], 2)) == 2


def test_runs_that_resume_come_first_and_then_what_takes_longest() -> None:
    resumed = PlannedCohort(make_cohort(1, 2, 10).runs, epochs_done=9, costs=FREE)
    short, long = make_cohort(1, 2, 5), make_cohort(1, 2, 100)
    parts = split_for_workers([short, long, resumed], 2)
    assert parts[0].epochs_done == 9
    seconds = [part.seconds or 0.0 for part in parts[1:]]
    assert seconds == sorted(seconds, reverse=True)


def test_a_sweep_that_is_too_short_trains_in_this_process(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(workload, "count_cores", lambda: 8)
    monkeypatch.setattr(workload, "read_available_bytes", lambda: 2**40)

    def workers(*words: str, runs: int = 24, asked: int | None = None) -> int:
        configs = [job.config for job in compose_jobs([[*words, f"seed={seed}"] for seed in range(runs)])]
        return choose_num_workers(configs, asked)

    mnist = ("data=mnist", "epochs=10")
    assert workers("epochs=2") == 1
    assert workers(*mnist) == 8
    assert workers(*mnist, "data.train_size=100") == 1
    assert workers(*mnist, runs=3) <= 3
    assert workers(*mnist, runs=1) == 1
    assert workers("epochs=2", asked=2) == 2
    assert workers("epochs=2", runs=3, asked=100) == 3
    # Only the files tell how much there is to do.
    assert workers("data=image_folder", "data.root=somewhere") == 8
    monkeypatch.setattr(workload, "read_available_bytes", lambda: 2 * workload.WORKER_BYTES)
    assert workers(*mnist) == 2
    monkeypatch.setattr(workload, "read_available_bytes", lambda: 0)
    assert workers(*mnist) == 1


def test_the_estimate_grows_with_the_work() -> None:
    def seconds(*words: str) -> float:
        estimate = estimate_seconds([job.config for job in compose_jobs([list(words)])])
        assert estimate is not None
        return estimate

    assert seconds("epochs=20") > 1.9 * seconds("epochs=10") - 0.1
    assert seconds("data=mnist") > 20 * seconds("data=digits")
    assert seconds("data=mnist", "model.hidden_sizes=[1024,1024]") > 5 * seconds("data=mnist")
    assert seconds("data=mnist", "data.train_size=0.1") < 0.2 * seconds("data=mnist")
    assert estimate_seconds([]) == 0


def test_a_gpu_is_looked_for_only_where_runs_may_use_it(monkeypatch: pytest.MonkeyPatch) -> None:
    def configs(*words: str) -> list[object]:
        return [job.config for job in compose_jobs([list(words)])]

    for has_gpu in (False, True):
        monkeypatch.setattr(workload, "_machine_may_have_gpu", lambda has_gpu=has_gpu: has_gpu)
        assert may_use_gpu(configs("device=auto")) is has_gpu  # type: ignore[arg-type]
        assert may_use_gpu(configs("device=cpu")) is False  # type: ignore[arg-type]
        assert may_use_gpu(configs("device=cuda")) is True  # type: ignore[arg-type]
