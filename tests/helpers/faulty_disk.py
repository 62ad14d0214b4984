"""A disk that fails at a chosen operation."""

import errno
import io
import os
import threading
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any

import pytest


class Killed(BaseException):
    """The end of a process by SIGKILL: nothing that it does after it reaches the disk."""


# What a disk does from some operation on.
FAULTS = {
    "killed": None,
    "disk full": errno.ENOSPC,
    "read-only": errno.EROFS,
    "I/O error": errno.EIO,
    "no permission": errno.EACCES,
}
# The operations for which a full disk still has room.
_NEED_NO_ROOM = ("replace", "rename", "unlink", "truncate", "fsync")


class FaultyDisk:
    """A disk below a directory that fails at one operation, and at all later ones if it does not recover.

    An operation that writes content fails with half of the content written.

    Attributes:
        operations: the operations so far, such as "write metrics.csv".
        failed: whether an operation has failed.
    """

    def __init__(
        self,
        patch: pytest.MonkeyPatch,
        root: Path,
        fault: str = "killed",
        first: int | None = None,
        recovers: bool = False,
    ) -> None:
        """Watch all operations that change something below a directory.

        Args:
            patch: replaces the functions of the operating system.
            root: the directory.
            fault: one of FAULTS.
            first: the number of the first operation that fails, counted from 0; None: none fails.
            recovers: whether later operations succeed.
        """
        self.root, self.fault, self.first, self.recovers = root.resolve(), fault, first, recovers
        self.operations: list[str] = []
        self.failed = False
        open_file = io.open

        def faulty_open(file: Any, mode: str = "r", *arguments: Any, **options: Any) -> Any:
            if not set(mode) & set("wax+") or not self.covers(file):
                return open_file(file, mode, *arguments, **options)
            self.enter("open", Path(file))
            return FaultyFile(open_file(file, mode, *arguments, **options), self, Path(file))

        patch.setattr(io, "open", faulty_open)
        for name in ("replace", "rename", "unlink", "truncate", "mkdir"):
            patch.setattr(os, name, self._wrap(name, getattr(os, name)))
        sync = os.fsync

        def faulty_sync(descriptor: int) -> None:
            path = Path(f"/proc/self/fd/{descriptor}")
            if self.covers(path):
                self.enter("fsync", path.resolve())
            sync(descriptor)

        patch.setattr(os, "fsync", faulty_sync)

    def covers(self, path: Any) -> bool:
        """Return whether a path is below the disk's directory."""
        return isinstance(path, str | os.PathLike) and Path(path).resolve().is_relative_to(self.root)

    def _wrap(self, name: str, function: Callable[..., Any]) -> Callable[..., Any]:
        def operation(path: Any, *arguments: Any, **options: Any) -> Any:
            if self.covers(path):
                self.enter(name, Path(path))
            return function(path, *arguments, **options)

        return operation

    def enter(self, operation: str, path: Path, write_half: Callable[[], None] | None = None) -> None:
        """Count an operation, and raise an error if it is one that fails."""
        number = len(self.operations)
        self.operations.append(f"{operation} {path.name}")
        if self.first is None or number < self.first or (self.failed and self.recovers):
            return
        if self.fault == "disk full" and operation in _NEED_NO_ROOM:
            return
        if write_half is not None and not self.failed:
            write_half()
        self.failed = True
        code = FAULTS[self.fault]
        if code is None:
            if threading.current_thread().name == "heartbeat":  # it lives on, and tries again
                raise OSError(errno.EIO, "the process was killed", str(path))
            raise Killed
        if operation in ("write", "fsync"):  # as the system does, without the name of the file
            raise OSError(code, os.strerror(code))
        raise OSError(code, os.strerror(code), str(path))


class FaultyFile:
    """A file that is open for writing on a faulty disk."""

    def __init__(self, file: Any, disk: FaultyDisk, path: Path) -> None:
        self.file, self.disk, self.path = file, disk, path

    def write(self, content: Any) -> int:
        def write_half() -> None:
            self.file.write(content[: len(content) // 2])
            self.file.flush()

        self.disk.enter("write", self.path, write_half)
        return int(self.file.write(content))

    def truncate(self, size: int) -> None:
        self.disk.enter("truncate", self.path)
        self.file.truncate(size)

    def __getattr__(self, name: str) -> Any:
        return getattr(self.file, name)

    def __enter__(self) -> "FaultyFile":
        return self

    def __exit__(self, *error: object) -> None:
        self.file.close()


def list_leftovers(directory: Path) -> Sequence[str]:
    """Return the names of files that a run should not leave behind.

    The last file that it writes is run.json: what is left of a failure there is left for good.
    """
    patterns = ("*.part", "checkpoint.previous*", "failure.json")
    names = sorted(path.name for pattern in patterns for path in directory.glob(pattern))
    return [name for name in names if not name.startswith("run.json.")]
