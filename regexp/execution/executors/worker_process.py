"""A worker process, as its parent sees it. Imports no torch."""

import os
import signal
from collections.abc import Callable, Iterator, Mapping
from multiprocessing.connection import Connection
from typing import Any

from loky.backend import get_context

from regexp.errors import OutOfMemory, WorkerDied
from regexp.execution.executors import worker
from regexp.utils.messages import say, speaks_python
from regexp.utils.signals import hold_back_stop_signals
from regexp.utils.system_limits import count_cores

# How long a worker has to notice that its parent has closed the connection, in seconds.
EXIT_SECONDS = 5.0


class WorkerProcess:
    """A worker process: what it is asked for, and what it answers.

    loky starts it, without the user's main module: a script or notebook that calls regexp needs no guard against being
    imported again. The connection is the only thing that the processes share; a worker ends when its parent does.

    Attributes:
        environment: the environment variables that it was started with, beside those of its parent.
        process: the process.
        connection: the parent's end of the connection.
    """

    def __init__(self, environment: Mapping[str, str]) -> None:
        """Start the process. It imports torch while this process goes on.

        Args:
            environment: environment variables of the process, beside those of this one.
        """
        self.environment = dict(environment)
        context = get_context("loky")
        self.connection: Connection
        self.connection, worker_connection = context.Pipe()
        self.process = context.Process(
            target=worker.serve, args=(worker_connection, speaks_python()), env=dict(environment)
        )
        with hold_back_stop_signals():  # until it ignores them, they would end it
            self.process.start()
        worker_connection.close()  # so that reading from a worker that has died ends

    def request(self, function: Callable[..., Any], *arguments: Any) -> None:
        """Ask for a call of a function of `worker`, whose answer will be an event."""
        self._send((function, arguments))

    def request_stop(self, number: int) -> None:
        """Pass on a signal that asks to stop after the current epoch."""
        self._send(number)

    def _send(self, request: Any) -> None:
        try:
            self.connection.send(request)
        except OSError:
            return  # the worker has died, which its parent sees elsewhere

    def receive(self) -> Iterator[Any]:
        """Yield the events that the worker has sent so far."""
        try:
            while self.connection.poll():
                yield self.connection.recv()
        except (EOFError, OSError):
            return  # the worker has died, which its parent sees elsewhere

    def ends(self) -> list[Any]:
        """Return what multiprocessing.connection.wait waits for: an event, or the end of the process."""
        return [self.connection, self.process.sentinel]

    @property
    def is_alive(self) -> bool:
        """Whether the process is running."""
        return bool(self.process.is_alive())

    def describe_end(self) -> str:
        """Return how a process that has ended did so: "was killed by SIGKILL", "ended with status 1"."""
        self.process.join()
        status = int(self.process.exitcode)
        if status >= 0:
            return f"ended with status {status}"
        try:
            return f"was killed by {signal.Signals(-status).name}"
        except ValueError:
            return f"was killed by signal {-status}"

    def close(self) -> None:
        """End the process at once, whatever it is doing."""
        self.connection.close()
        self.process.join(timeout=EXIT_SECONDS)
        if self.is_alive:
            # loky's processes have no kill().
            os.kill(int(self.process.pid), getattr(signal, "SIGKILL", signal.SIGTERM))
            self.process.join()


def make_environment(num_workers: int) -> dict[str, str]:
    """Return the environment variables of one of so many workers: each has its share of the cores."""
    threads = max(1, count_cores() // num_workers)
    if (typed_threads := os.environ.get("OMP_NUM_THREADS", "")).isdigit():
        threads = min(threads, int(typed_threads))
    return {"OMP_NUM_THREADS": str(threads)}


def explain_death(death: str, memory_was_short: bool) -> WorkerDied | OutOfMemory:
    """Return the error of a worker that has died for good, with the remedy on a line of its own."""
    workers = say("hydra.launcher.workers=1", "workers=1")
    if memory_was_short:
        fewer_runs = say("hydra.launcher.max_runs=N, and ", "")
        return OutOfMemory(f"{death}\nEnd other programs, or train fewer runs at once: {fewer_runs}{workers}.")
    again = say("Run the same command again", "Make the same call again")
    return WorkerDied(
        f"{death}\n{again}: it goes on from the checkpoints. If it happens again, add {workers}, so that this process "
        "trains and shows the reason."
    )
