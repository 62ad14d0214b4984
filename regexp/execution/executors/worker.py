"""The work of a worker process: it plans cohorts and trains them, as its parent asks.

The parent imports this module as well, to name the functions that a worker shall call. It must not import torch, so all
that needs torch is imported within the functions.
"""

import io
import os
import queue
import sys
import threading
import traceback
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager, nullcontext
from dataclasses import dataclass, replace
from multiprocessing.connection import Connection
from typing import Any, Protocol

from regexp.errors import Interrupted, RegexpError
from regexp.execution.events import CohortDescription, CohortEnd, EpochSummary
from regexp.execution.planning import PlannedCohort
from regexp.runs.directories import PlannedRun
from regexp.utils.messages import speak_python
from regexp.utils.signals import StopRequest, ignore_stop_signals


@dataclass(frozen=True)
class Plan:
    """The cohorts that a worker has planned, for its parent.

    Attributes:
        cohorts: the numbers of the runs of each cohort, and the cohort without them.
        num_gpus: the number of GPUs that the runs may use; None if they train on a CPU.
    """

    cohorts: Sequence[tuple[Sequence[int], PlannedCohort]]
    num_gpus: int | None

    def fill(self, planned_runs: Sequence[PlannedRun]) -> list[PlannedCohort]:
        """Return the cohorts with their runs, given all runs that were planned."""
        return [replace(cohort, runs=[planned_runs[number] for number in numbers]) for numbers, cohort in self.cohorts]


@dataclass(frozen=True)
class Failed:
    """The error that ended a request.

    Attributes:
        error: the error.
    """

    error: Exception


@dataclass(frozen=True)
class TrainingResult:
    """The end of a cohort in a worker.

    Attributes:
        errors: the errors of the runs that failed.
        interrupted: whether a request to stop came before all runs had ended.
    """

    errors: Sequence[Exception]
    interrupted: bool


class EventChannel(Protocol):
    """A connection to whom a worker tells of its training.

    Attributes:
        stop_request: the user's request to stop, which is passed on.
    """

    stop_request: StopRequest

    def send(self, event: Any) -> None:
        """Send an event."""
        ...


class Channel:
    """The worker's end of the connection to its parent. Several threads may send.

    Attributes:
        requests: what the parent asks for: a function of this module and its arguments.
        stop_request: the user's request to stop, which the parent passes on.
    """

    def __init__(self, connection: Connection) -> None:
        self.connection, self.lock = connection, threading.Lock()
        self.requests = queue.SimpleQueue[tuple[Callable[..., Any], Sequence[Any]]]()
        self.stop_request = StopRequest()

    def send(self, event: Any) -> None:
        """Send an event to the parent."""
        with self.lock:
            self.connection.send(event)

    def listen(self) -> None:
        """Receive requests, and end this process at once when the parent has ended or closes the connection."""
        try:
            while True:
                request = self.connection.recv()
                if isinstance(request, int):
                    self.stop_request.signal = request
                else:
                    self.requests.put(request)
        except (EOFError, OSError):
            os._exit(1)  # what was recorded until the last checkpoint is on the disk


class LineSender(io.TextIOBase):
    """A text stream that sends every line to the parent, which prints it whole."""

    def __init__(self, channel: EventChannel) -> None:
        self.channel, self.rest = channel, ""

    def writable(self) -> bool:
        """Return True, as text streams that can be written do."""
        return True

    def write(self, text: str) -> int:
        """Send all lines that are complete now, and keep the rest."""
        *lines, self.rest = (self.rest + text).split("\n")
        for line in lines:
            self.channel.send(line)
        return len(text)


class SendingDisplay:
    """A display that sends all that it should show to the parent. Implements events.CohortDisplay."""

    def __init__(self, channel: EventChannel) -> None:
        self.channel = channel

    def print_line(self, message: str) -> None:
        """Have the parent print a message."""
        self.channel.send(message)

    @contextmanager
    def watch(self, cohort: CohortDescription) -> Iterator[None]:
        """Have the parent show a cohort."""
        self.channel.send(cohort)
        yield
        self.channel.send(CohortEnd())  # not where the cohort fails: its runs may go on in halves

    def show_summary(self, summary: EpochSummary) -> None:
        """Have the parent show the progress after an epoch."""
        self.channel.send(summary)

    def print_interruption(self, epoch: int) -> None:
        """Send nothing: the parent says once that all workers were interrupted."""


def serve(connection: Connection, for_python: bool) -> None:
    """Do what the parent asks for until it ends.

    Args:
        connection: the worker's end of the connection to its parent.
        for_python: whether the parent was called from Python, so that messages are in Python's terms.
    """
    # Ctrl-C reaches all processes of a terminal, and schedulers send their signals to all. The parent passes them on.
    ignore_stop_signals()
    channel = Channel(connection)
    threading.Thread(target=channel.listen, daemon=True).start()
    sys.stdout = sys.stderr = LineSender(channel)
    from regexp.execution import execute  # noqa: F401  (imports torch while the parent still plans)
    from regexp.utils.device import cpu_settings_of_training

    with speak_python() if for_python else nullcontext(), cpu_settings_of_training():
        while True:
            function, arguments = channel.requests.get()
            try:
                channel.send(function(channel, *arguments))
            except Exception as error:
                channel.send(Failed(make_portable(error)))


def plan_cohorts(
    channel: Channel,
    planned_runs: Sequence[PlannedRun],
    max_runs: int | None,
    num_workers: int,
    forecast_costs: bool,
) -> Plan:
    """Group runs into cohorts.

    Args:
        channel: the connection to the parent.
        planned_runs: the runs to train.
        max_runs: the largest number of runs in a cohort; None for as many as fit in memory.
        num_workers: how many cohorts will share the memory of the machine.
        forecast_costs: whether to find out what each cohort costs.

    Raises:
        RegexpError: a configuration does not suit its data or its device.
    """
    from regexp.execution import grouping
    from regexp.execution.forecasting import forecast

    cohorts: Sequence[PlannedCohort] = grouping.group_into_cohorts(planned_runs, max_runs, num_workers)
    num_gpus = grouping.count_gpus(planned_runs[0].job.config)
    if forecast_costs:
        cohorts = forecast.forecast_cohorts(cohorts)
    numbers = {planned: number for number, planned in enumerate(planned_runs)}
    return Plan(
        [
            ([numbers[planned] for planned in cohort.runs], replace(cohort, runs=()))  # the parent has the runs
            for cohort in cohorts
        ],
        num_gpus,
    )


def train_planned(channel: EventChannel, planned_runs: Sequence[PlannedRun]) -> TrainingResult:
    """Train a cohort that was planned to fit in memory, from its checkpoints if it has some."""
    return train(channel, planned_runs, len(planned_runs), num_workers=1)


def train(
    channel: EventChannel, planned_runs: Sequence[PlannedRun], max_runs: int | None, num_workers: int
) -> TrainingResult:
    """Train runs that share a shape together, from their checkpoints if they have some.

    Args:
        channel: the connection to the parent.
        planned_runs: the runs.
        max_runs: the largest number of runs in a cohort; None for as many as fit in memory.
        num_workers: how many cohorts share the memory of the machine.
    """
    from regexp.execution import execute, grouping

    # Runs of a worker that died may have their last checkpoints at different epochs.
    cohorts = grouping.group_into_cohorts(planned_runs, max_runs, num_workers)
    try:
        errors = execute.train_cohorts(
            [cohort.runs for cohort in cohorts], SendingDisplay(channel), channel.stop_request
        )
    except Interrupted:
        return TrainingResult([], interrupted=True)
    return TrainingResult([make_portable(error) for error in errors], interrupted=False)


def make_portable(error: Exception) -> Exception:
    """Return an error that the parent can receive without importing torch, with its traceback as a note."""
    if not type(error).__module__.startswith(("builtins", "regexp.")):
        message = f"{type(error).__name__}: {error}"
        portable_error: Exception = RuntimeError(message).with_traceback(error.__traceback__)
    else:
        portable_error = error
    if not isinstance(error, RegexpError):
        portable_error.add_note("".join(["in a worker process:\n", *traceback.format_exception(error)]).rstrip())
    return portable_error
