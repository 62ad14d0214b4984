"""The plan of a command that grows while its runs train."""

from collections.abc import Callable, Iterator, Sequence
from pathlib import Path

import pytest

from regexp.config.compose import compose_job
from regexp.config.job import Job
from regexp.execution.launching.growing_plan import GrowingPlan
from regexp.execution.terminal import Terminal
from regexp.runs.directories import PlannedRun
from regexp.runs.reserving.claims import Claims
from regexp.runs.sweep_record import SweepRecord


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
