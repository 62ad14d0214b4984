"""Workers that are kept between the batches of a search."""

from collections.abc import Iterator, Mapping
from typing import Any

import pytest

from regexp.execution.executors import kept_workers
from regexp.execution.executors.kept_workers import keep_workers, leave_worker, take_worker
from regexp.execution.executors.worker_process import make_environment


class IdleProcess:
    """What is asked of a worker process here."""

    def __init__(self, environment: Mapping[str, str]) -> None:
        self.environment, self.is_alive = dict(environment), True

    def close(self) -> None:
        self.is_alive = False


@pytest.fixture(autouse=True)
def _no_processes(monkeypatch: pytest.MonkeyPatch) -> Iterator[None]:
    monkeypatch.setattr(kept_workers, "WorkerProcess", IdleProcess)
    yield
    assert kept_workers._idle is None


def test_a_worker_that_is_idle_is_used_again_and_ends_with_the_search() -> None:
    with keep_workers():
        first = take_worker({"THREADS": "1"})
        assert take_worker({"THREADS": "1"}) is not first
        leave_worker(first, is_idle=True)
        assert take_worker({"THREADS": "2"}) is not first
        assert take_worker({"THREADS": "1"}) is first
        leave_worker(first, is_idle=True)
        assert first.is_alive
    assert not first.is_alive


def test_workers_that_were_started_before_they_were_needed_are_used() -> None:
    with keep_workers(2):
        assert kept_workers._idle is not None
        started = list(kept_workers._idle)
        assert [take_worker(make_environment(2)) for _ in range(2)] == started
        assert take_worker(make_environment(2)) not in started


@pytest.mark.parametrize("is_idle", [True, False])
def test_a_worker_ends_with_its_executor_outside_of_a_search_and_where_it_is_busy(is_idle: bool) -> None:
    process: Any = take_worker({})
    leave_worker(process, is_idle)
    assert not process.is_alive
    with keep_workers():
        process = take_worker({})
        leave_worker(process, is_idle)
        assert process.is_alive == is_idle


def test_a_worker_that_has_died_is_not_used_again() -> None:
    with keep_workers():
        process: Any = take_worker({})
        leave_worker(process, is_idle=True)
        process.is_alive = False
        assert take_worker({}) is not process
