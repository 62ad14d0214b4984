"""The errors that regexp raises on purpose, and the exit statuses of its commands.

RegexpError
├── ConfigError             2   the configuration: a key, a value or a combination of them
├── RunError                3   a run failed, cannot be read, or cannot be started now
│   ├── WorkerDied          3   the process that trained a run ended before it
│   ├── RunTakenOver        3   another process may train a run by now: this one gave no sign of life
│   └── RunBusy             5   another process trains a run
│       └── RunQueued   5 or 0  a queue has a job for a run; 0 where this very command has put it there
└── SetupError              4   what surrounds a run does not allow it
    ├── DataError           4   a data set is missing, unreadable or too small
    ├── DeviceError         4   a device is missing, or cannot compute in the precision asked for
    │   ├── OutOfMemory     4   a cohort does not fit into the memory of its device
    │   └── DeviceLost      4   a GPU stopped working
    └── StorageError        4   a file cannot be written

KeyboardInterrupt
└── Interrupted       128 + n   signal n asked training to stop

The number is the exit status of a command that the error ends. Where several runs of a sweep fail, the highest status
wins; 5 is the status only where nothing is wrong but that runs are busy. The other statuses are 0 for success, 1 for a
bug (with its traceback), and 3 also for a run that diverged.

UserWarning
└── DoubtfulResult              what a command prints as a warning, for Python's functions where nothing is printed
    └── DivergedRun             runs of a call from Python that diverged

A notebook shows the errors of this file as the line of the user's that led to them, and their message.
"""

import traceback
from collections.abc import Sequence
from pathlib import Path
from types import TracebackType

SUCCESS = 0
DIVERGED = 3


class RegexpError(Exception):
    """The base class of errors that are shown as a message, without a traceback.

    Attributes:
        status: the exit status of a command that the error ends.
    """

    status = 1

    def _render_traceback_(self) -> list[str]:
        """Return what IPython shows in place of a traceback."""
        return [*_list_caller_lines(self.__traceback__), f"{type(self).__name__}: {self}"]


class DoubtfulResult(UserWarning):
    """A reason why a result may be of no use: an option without effect, or images that are nearly black."""


class DivergedRun(DoubtfulResult):
    """Runs that diverged: the loss is not finite. The functions for Python return them, and give this warning."""


class ConfigError(RegexpError):
    """An impossible configuration; the message has a line for each problem."""

    status = 2


class RunError(RegexpError):
    """A run that failed, that cannot be read, or that cannot be started now."""

    status = 3


class RunTakenOver(RunError):
    """A run that other processes may train by now, because this one gave no sign of life."""


class WorkerDied(RunError):
    """A worker process that ended before the runs that it trained, and again when they went on in another."""


class RunBusy(RunError):
    """Runs that other processes train at present.

    Attributes:
        directories: the directories of all runs of the command, in order, where all others have ended.
    """

    status = 5

    def __init__(self, message: str, directories: Sequence[Path] = ()) -> None:
        super().__init__(message)
        self.directories = directories


class RunQueued(RunBusy):
    """Runs for which a queue has jobs, where the command was not to wait for them. It has been told already.

    Attributes:
        status: the exit status.
    """

    def __init__(self, are_new: bool) -> None:
        super().__init__("")
        self.status = SUCCESS if are_new else RunBusy.status


class SetupError(RegexpError):
    """Surroundings that do not allow a run: its data, its device or its disk."""

    status = 4


class DataError(SetupError):
    """A data set that is missing, unreadable, or too small for the configuration."""


class DeviceError(SetupError):
    """A device that is missing, or that cannot compute in the precision asked for."""


class OutOfMemory(DeviceError):
    """A cohort that does not fit into the memory of its device."""


class DeviceLost(DeviceError):
    """A GPU that stopped working: every further operation of this process fails as well."""


class StorageError(SetupError):
    """A file that cannot be written."""


class Interrupted(KeyboardInterrupt):
    """A signal that stopped training at the end of an epoch.

    It is a KeyboardInterrupt, so that a notebook stops as its user expects.

    Attributes:
        signal: the number of the signal.
    """

    def __init__(self, signal: int) -> None:
        super().__init__(f"interrupted by signal {signal}")
        self.signal = signal

    def _render_traceback_(self) -> list[str]:
        """Return what IPython shows in place of a traceback."""
        return [
            *_list_caller_lines(self.__traceback__),
            "Interrupted: run the cell again to go on.",
        ]


def _list_caller_lines(error_traceback: TracebackType | None) -> list[str]:
    """Return the lines of the user's code that led to an error, without those of IPython and of this package."""
    frames = []
    for frame, line in traceback.walk_tb(error_traceback):
        package = frame.f_globals.get("__name__", "").partition(".")[0]
        if package == "regexp":
            break
        if package != "IPython":
            frames.append((frame, line))
    return [text.rstrip("\n") for text in traceback.StackSummary.extract(iter(frames)).format()]
