"""One worker for each GPU: which GPU each worker sees. The workers are stand-ins that answer at once."""

from collections.abc import Callable, Iterator, Mapping
from multiprocessing import Pipe
from pathlib import Path
from typing import Any

import pytest

from regexp.config.compose import compose_jobs
from regexp.execution.executors import kept_workers, local_workers, worker
from regexp.execution.executors.local_workers import LocalWorkers
from regexp.execution.planning import PlannedCohort
from regexp.execution.terminal import Terminal
from regexp.runs.reserving.plan import plan_runs
from regexp.utils.signals import StopRequest

RUNS = 6


class StandIn:
    """A worker that plans one cohort of all runs on so many GPUs, and that has trained as soon as it is asked.

    Attributes:
        environments: the environment of each worker that was started, in order.
        num_gpus: the number of GPUs that the workers find.
    """

    environments: list[Mapping[str, str]] = []  # noqa: RUF012
    num_gpus: int | None = None
    is_alive = True

    def __init__(self, environment: Mapping[str, str]) -> None:
        self.environments.append(environment)
        self.events: list[Any] = []
        self.reader, writer = Pipe(duplex=False)
        writer.send("always ready")

    def request(self, function: Callable[..., Any], *arguments: Any) -> None:
        planned = function is worker.plan_cohorts
        everything = worker.Plan([(range(RUNS), PlannedCohort([]))], self.num_gpus)
        self.events.append(everything if planned else worker.TrainingResult([], interrupted=False))

    def receive(self) -> Iterator[Any]:
        while self.events:
            yield self.events.pop(0)

    def ends(self) -> list[Any]:
        return [self.reader]

    def close(self) -> None:
        self.reader.close()


@pytest.mark.parametrize(
    ("num_gpus", "visible", "asked", "seen"),
    [
        (4, None, None, [None, "1", "2", "3"]),
        (2, "5,7", None, [None, "7"]),
        (1, None, None, [None]),
        (1, None, 2, [None, None]),
        (2, None, 3, [None, "1", "0"]),
        (None, None, None, [None, None, None]),
    ],
)
def test_there_is_one_worker_for_each_gpu(
    monkeypatch: pytest.MonkeyPatch,
    num_gpus: int | None,
    visible: str | None,
    asked: int | None,
    seen: list[str | None],
) -> None:
    monkeypatch.setattr(StandIn, "environments", [])
    monkeypatch.setattr(StandIn, "num_gpus", num_gpus)
    monkeypatch.setattr(kept_workers, "WorkerProcess", StandIn)
    monkeypatch.setattr(local_workers, "may_use_gpu", lambda configs: num_gpus is not None)
    if visible is None:
        monkeypatch.delenv("CUDA_VISIBLE_DEVICES", raising=False)
    else:
        monkeypatch.setenv("CUDA_VISIBLE_DEVICES", visible)
    runs = plan_runs(compose_jobs([[f"seed={seed}"] for seed in range(RUNS)]), Path("outputs"))
    with LocalWorkers(asked or 3, is_fixed=asked is not None) as executor:
        cohorts = executor.plan_cohorts(runs, None, forecast_costs=True)
        assert sum(len(cohort.runs) for cohort in cohorts) == RUNS
        assert executor.train(cohorts, Terminal(quiet=True), StopRequest()) == []
    assert [environment.get("CUDA_VISIBLE_DEVICES") for environment in StandIn.environments] == seen
    assert all(int(environment["OMP_NUM_THREADS"]) >= 1 for environment in StandIn.environments)
