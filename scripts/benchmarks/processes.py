"""Sweeps that train in worker processes, one epoch at each call, and a process that keeps a core busy."""

import os
import signal
import subprocess
import sys
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from multiprocessing.connection import Connection
from pathlib import Path
from typing import Any

from loky.backend import get_context

from benchmarks.cohorts import EpochwiseCohort
from regexp.config.compose import compose_jobs
from regexp.execution.planning import PlannedCohort, split_cohort
from regexp.runs.reserving.plan import plan_runs
from regexp.utils.system_limits import count_cores


class EpochwiseWorkers:
    """The runs of a sweep, split over one worker process for each core; `train` trains one epoch in all of them.

    Attributes:
        size: the number of runs.
        setup_seconds: the longest time from the overrides to a cohort.
        recording_seconds: for each epoch, the longest time spent in recorders.
    """

    def __init__(self, runs: Sequence[Sequence[str]], root: Path, epochs: int, outputs: Path) -> None:
        """Start the workers, and wait until all cohorts are built.

        Args:
            runs: the overrides of each run.
            root: the directory that holds MNIST/raw.
            epochs: the number of epochs that the runs train.
            outputs: the directory in which the runs write their files.
        """
        planned_runs = plan_runs(compose_jobs([[*run, f"data.root={root}"] for run in runs]), outputs)  # claims none
        overrides = dict(zip(planned_runs, runs, strict=True))
        context = get_context("loky")
        self.size, self.recording_seconds = len(runs), list[float]()
        self.workers: list[tuple[Any, Connection]] = []
        for number, part in enumerate(split_cohort(PlannedCohort(planned_runs), count_cores())):
            connection, worker_connection = context.Pipe()
            part_runs = [overrides[planned] for planned in part.runs]
            process = context.Process(
                target=serve,
                args=(worker_connection, part_runs, root, epochs, outputs / str(number)),
                env={"OMP_NUM_THREADS": "1"},
            )
            process.start()
            worker_connection.close()
            self.workers.append((process, connection))
        self.setup_seconds = max(connection.recv() for _, connection in self.workers)

    def train(self) -> None:
        """Train one epoch in all workers."""
        self.recording_seconds.append(max(self._call("train")))

    def train_floor(self) -> None:
        """Do the least work of an epoch in all workers."""
        self._call("floor")

    def _call(self, name: str) -> list[float]:
        for _, connection in self.workers:
            connection.send(name)
        return [connection.recv() for _, connection in self.workers]

    def close(self) -> None:
        """End the workers."""
        for process, connection in self.workers:
            connection.close()
            process.join()


def serve(connection: Connection, runs: Sequence[Sequence[str]], root: Path, epochs: int, outputs: Path) -> None:
    """Train an epoch, or do its least work, each time that the parent asks for it."""
    from benchmarks.floor import make_floor_epoch

    cohort = EpochwiseCohort(runs, root, epochs, outputs)
    train_floor = make_floor_epoch(cohort.cohort)
    connection.send(cohort.setup_seconds)
    while True:
        try:
            name = connection.recv()
        except EOFError:
            return
        if name == "train":
            cohort()
            connection.send(cohort.recording_seconds[-1])
        else:
            train_floor()
            connection.send(0.0)


class BusyCore:
    """A process that keeps one core busy while a function runs that `beside` has wrapped."""

    def __init__(self) -> None:
        self.process = subprocess.Popen([sys.executable, "-c", "while True: pass"])
        os.kill(self.process.pid, signal.SIGSTOP)

    def beside(self, function: Callable[[], None]) -> Callable[[], None]:
        """Return a function that does the same beside the busy process."""

        def function_beside() -> None:
            os.kill(self.process.pid, signal.SIGCONT)
            try:
                function()
            finally:
                os.kill(self.process.pid, signal.SIGSTOP)

        return function_beside


@contextmanager
def busy_core() -> Iterator[BusyCore]:
    """Return a busy core, and end its process at the end of the block."""
    core = BusyCore()
    try:
        yield core
    finally:
        core.process.kill()
        core.process.wait()
