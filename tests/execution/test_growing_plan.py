"""The plan of a command that grows while its runs train."""

from collections.abc import Callable, Iterator, Sequence
from pathlib import Path
from typing import Any

import pytest

from regexp.config.compose import compose_job
from regexp.config.job import Job
from regexp.errors import ConfigError
from regexp.execution.displays.parallel import ParallelDisplay
from regexp.execution.executors import worker
from regexp.execution.executors.local_workers import LocalWorkers
from regexp.execution.launching.growing_plan import GrowingPlan
from regexp.execution.planning import PlannedCohort
from regexp.execution.terminal import Terminal
from regexp.runs.directories import PlannedRun
from regexp.runs.reserving.claims import Claims
from regexp.runs.sweep_record import SweepRecord

PLANNED = PlannedCohort([])


def make_job(seed: int) -> Job:
    return compose_job([f"seed={seed}"])


@pytest.fixture
def plan() -> Iterator[GrowingPlan]:
    """Return the plan of a sweep of the seeds 0 and 1, which train."""
    with Claims(print) as claims:
        plan = GrowingPlan(Path("outputs"), claims, Terminal(quiet=True), SweepRecord())
        assert read_seeds(plan.add([make_job(0), make_job(1)])) == [0, 1]
        yield plan


def read_seeds(planned_runs: Sequence[PlannedRun]) -> list[int]:
    return [planned.job.config.seed for planned in planned_runs]


def let_follow(plan: GrowingPlan, *batches: Sequence[int]) -> list[int]:
    """Let batches of seeds follow, and return the number of workers of each time that they were asked for."""
    assert plan.sweep is not None
    asked: list[int] = []
    left = [*batches]

    def more_jobs(num_workers: int, print_line: Callable[[str], None]) -> list[Job]:
        assert print_line == plan.terminal.print_line  # another console would write over a progress bar
        asked.append(num_workers)
        return [make_job(seed) for seed in left.pop(0)] if left else []

    plan.sweep.more_jobs = more_jobs
    return asked


def test_jobs_follow_until_there_are_no_more(plan: GrowingPlan) -> None:
    assert plan.add_more(2) == []
    asked = let_follow(plan, [2, 3], [4])
    assert read_seeds(plan.add_more(2)) == [2, 3]
    assert read_seeds(plan.add_more(2)) == [4]
    assert plan.add_more(3) == []
    assert asked == [2, 2, 3]
    assert read_seeds(plan.runs) == [0, 1, 2, 3, 4]
    assert plan.sweep is not None
    assert read_seeds(list(plan.sweep.planned_runs)) == [0, 1, 2, 3, 4]


def test_a_run_that_trains_is_not_planned_again(plan: GrowingPlan) -> None:
    before = [(planned.directory / "run.json").read_bytes() for planned in plan.runs]
    let_follow(plan, [1], [0, 2])
    assert read_seeds(plan.add_more(2)) == [2]
    assert [(planned.directory / "run.json").read_bytes() for planned in plan.runs[:2]] == before


def test_nothing_follows_an_error(plan: GrowingPlan) -> None:
    let_follow(plan, [2])
    plan.errors.append(OSError("the disk is full"))
    assert plan.add_more(2) == []


def test_workers_ask_for_more_until_there_is_none_or_a_run_has_failed(
    plan: GrowingPlan, monkeypatch: pytest.MonkeyPatch
) -> None:
    executor = LocalWorkers(2, is_fixed=True)
    display = ParallelDisplay(plan.terminal.console, num_runs=2, run_epochs=80, num_cohorts=1)
    process: Any = None
    monkeypatch.setattr(executor, "_ask_for_plan", lambda _, runs, forecast_costs: worker.Plan([([0], PLANNED)], None))
    asked = let_follow(plan, [2])
    for failed in (True, False):
        executor.more_runs = plan.add_more
        executor.errors = [OSError("the disk is full")] if failed else []
        executor._queue_more_runs(process, display)
        assert len(asked) == (not failed)
    assert [read_seeds(task.cohort.runs) for task in executor.queue] == [[2]]
    assert display.num_runs == 3
    executor._queue_more_runs(process, display)
    executor._queue_more_runs(process, display)
    assert asked == [2, 2]


def test_runs_that_cannot_be_planned_end_the_batch(plan: GrowingPlan, monkeypatch: pytest.MonkeyPatch) -> None:
    executor = LocalWorkers(2, is_fixed=True)
    executor.more_runs = plan.add_more
    error = ConfigError("does not suit the data")

    def refuse(*_: object, forecast_costs: bool) -> worker.Plan:
        raise error

    monkeypatch.setattr(executor, "_ask_for_plan", refuse)
    let_follow(plan, [2])
    process: Any = None
    executor._queue_more_runs(process, ParallelDisplay(plan.terminal.console, 2, 80, 1))
    assert executor.errors == [error]
    assert not executor.queue
