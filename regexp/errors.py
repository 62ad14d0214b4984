"""Everything that can go wrong without being a bug, and the exit status it ends with.

RegexpError
├── ConfigError         2   the configuration: a key, a value, a combination
├── RunError            3   a run failed
└── SetupError          4   what surrounds the run
    ├── DataError           a data set that is missing, unreadable or too small
    ├── DeviceError         a device that is not there
    │   └── MemoryShortage  a device on which a cohort finds no room
    └── StorageError        a folder or disk that cannot be written

0 is success, 1 a bug (with its traceback), 3 also a run that diverged, 128 + n the signal n.
"""

SUCCESS = 0
DIVERGED = 3


class Interrupted(KeyboardInterrupt):
    """A signal asked for an end, and training stopped after its epoch."""

    def __init__(self, signal: int) -> None:
        super().__init__(f"interrupted by signal {signal}")
        self.signal = signal


class RegexpError(Exception):
    """An error whose message is all that the user needs: no traceback is shown."""

    status = 1


class ConfigError(RegexpError):
    """The configuration asks for something impossible. One problem a line."""

    status = 2


class RunError(RegexpError):
    """A run failed, or cannot be started now."""

    status = 3


class SetupError(RegexpError):
    """The surroundings do not allow the run."""

    status = 4


class DataError(SetupError):
    """A data set is missing, unreadable or too small for what is asked of it."""


class DeviceError(SetupError):
    """The device asked for is not there, or cannot compute in the precision asked for."""


class OutOfMemory(DeviceError):
    """A cohort finds no room on its device."""


class StorageError(SetupError):
    """A file cannot be written."""
