"""What a task of Ray does: it trains a cohort, and tells the command of it.

The command imports this module too, so torch is imported within the functions that need it.
"""

import os
import shutil
import signal
import socket
import tempfile
import threading
import time
from collections.abc import Sequence
from contextlib import nullcontext, redirect_stderr, redirect_stdout, suppress
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

from regexp.errors import RunError
from regexp.execution.executors import worker
from regexp.execution.executors.ray_tasks import transfer
from regexp.runs.directories import PlannedRun
from regexp.runs.identity import identify
from regexp.utils.messages import speak_python
from regexp.utils.signals import STOP_SIGNALS, StopRequest

# How often events are sent, and how often the files of runs where the machines share no folder, in seconds.
SEND_SECONDS, SNAPSHOT_SECONDS = 0.25, 15.0


@dataclass(frozen=True)
class TaskStart:
    """The start of a task, or the new start of one whose worker has died.

    Attributes:
        unfinished: the numbers of the runs that it trains, of those of its cohort.
    """

    unfinished: Sequence[int]


@dataclass(frozen=True)
class TaskOrder:
    """What a task has to do.

    Attributes:
        number: the number of its cohort in the plan.
        runs: the runs.
        max_runs: the largest number of runs in a cohort; None for as many as fit in memory.
        num_sharing: how many tasks may share the memory of a machine.
        uses_gpu: whether the task has a GPU, or a part of one.
        directory: the current directory of the command.
        environment: environment variables of the command's.
        for_python: whether messages are in Python's terms.
        job: a name of the command's, for files on a machine that shares no folder with it.
        archive: the files of the runs, where the machines share no folder; None where they share one.
    """

    number: int
    runs: Sequence[PlannedRun]
    max_runs: int | None
    num_sharing: int
    uses_gpu: bool
    directory: Path
    environment: dict[str, str]
    for_python: bool
    job: str
    archive: bytes | None


class MailboxChannel:
    """A task's connection to the command. Implements worker.EventChannel; several threads may send.

    Attributes:
        stop_request: the user's request to stop, which the command passes on.
    """

    def __init__(self, mailbox: Any, number: int) -> None:
        """Begin to send events, and to look for requests to stop.

        Args:
            mailbox: the handle of the actor.
            number: the number of the task.
        """
        self.mailbox, self.number, self.stop_request = mailbox, number, StopRequest()
        self._events: list[Any] = []
        self._lock, self._sending, self._ended = threading.Lock(), threading.Lock(), threading.Event()

    def send(self, event: Any) -> None:
        """Send an event, with the next ones."""
        with self._lock:
            self._events.append(event)

    def flush(self) -> None:
        """Send the events that wait, and see whether the user has asked to stop."""
        import ray

        with self._sending:
            with self._lock:
                events, self._events = self._events, []
            number = ray.get(self.mailbox.put.remote(self.number, events))
        if number and not self.stop_request.requested:
            self.stop_request.signal = number

    def keep_sending(self, directories: Sequence[Path]) -> None:
        """Send events until the channel is closed, and now and then the files of directories."""
        last = time.monotonic()
        while not self._ended.wait(SEND_SECONDS):
            self.flush()
            if directories and time.monotonic() - last > SNAPSHOT_SECONDS:
                self.mailbox.put_snapshot.remote(self.number, transfer.pack(directories))
                last = time.monotonic()

    def close(self) -> None:
        """Send the events that still wait, and no more."""
        self._ended.set()
        self.flush()


def train_cohort(order: TaskOrder, mailbox: Any) -> tuple[worker.TrainingResult | worker.Failed, bytes | None]:
    """Train the runs of a task that have not ended, from their checkpoints, and return how that ended.

    Returns:
        The end of the training; and the files of the runs, where the machines share no folder.
    """
    for number in STOP_SIGNALS:
        if number != signal.SIGTERM:  # by which Ray ends its workers; the command passes the others on
            signal.signal(number, signal.SIG_IGN)
    os.environ.update(order.environment)
    if not order.uses_gpu:
        os.environ["CUDA_VISIBLE_DEVICES"] = ""
    with suppress(OSError):  # another machine may lack it
        os.chdir(order.directory)
    channel = MailboxChannel(mailbox, order.number)
    runs, folder = list(order.runs), None
    if order.archive is not None:
        folder = Path(tempfile.gettempdir(), f"regexp-{order.job}-{order.number}")
        runs = _move_to_folder(runs, folder, order.archive, channel)
    directories = [planned.directory for planned in runs] if folder is not None else []
    sender = threading.Thread(target=channel.keep_sending, args=(directories,), daemon=True)
    sender.start()
    result: worker.TrainingResult | worker.Failed
    try:
        lines = worker.LineSender(channel)
        with redirect_stdout(lines), redirect_stderr(lines), speak_python() if order.for_python else nullcontext():
            result = _train(order, runs, channel)
    except Exception as error:
        result = worker.Failed(worker.make_portable(error))
    finally:
        channel.close()
        sender.join()
    archive = None
    if folder is not None:
        archive = transfer.pack(directories)
        shutil.rmtree(folder, ignore_errors=True)
    return result, archive


def _train(order: TaskOrder, runs: Sequence[PlannedRun], channel: MailboxChannel) -> worker.TrainingResult:
    """Train runs in this process; see `train_cohort`.

    Raises:
        RunError: this machine has another version of the code.
    """
    unfinished = [
        i
        for i, planned in enumerate(runs)
        if planned.adds_measures or not (planned.directory / "summary.json").exists()
    ]
    channel.send(TaskStart(unfinished))
    channel.flush()
    if channel.stop_request.requested:
        return worker.TrainingResult([], interrupted=True)
    identity = runs[0].identity
    if identify(runs[0].job.config, identity.data) != identity:
        raise RunError(
            f"the code of regexp on {socket.gethostname()} differs from that of the command; install the same version "
            "on all machines"
        )
    if not unfinished:
        return worker.TrainingResult([], interrupted=False)
    return worker.train(channel, [runs[i] for i in unfinished], order.max_runs, order.num_sharing)


def _move_to_folder(
    runs: Sequence[PlannedRun], folder: Path, archive: bytes, channel: MailboxChannel
) -> list[PlannedRun]:
    """Return runs with directories on this machine, which hold their files.

    Args:
        runs: the runs, with the directories that they have where the command runs.
        folder: the folder for their directories. It is there already if the task was tried on this machine before.
        archive: the files of the runs as they were when the task was submitted.
        channel: the connection to the command, which may have later files.
    """
    import ray

    moved = [replace(planned, directory=folder / str(i), claim=None) for i, planned in enumerate(runs)]
    if not folder.exists():
        snapshot = ray.get(channel.mailbox.read_snapshot.remote(channel.number))
        draft = folder.with_name(f"{folder.name}.draft")
        shutil.rmtree(draft, ignore_errors=True)
        transfer.unpack(archive if snapshot is None else snapshot, [draft / str(i) for i in range(len(runs))])
        draft.rename(folder)
    return moved
