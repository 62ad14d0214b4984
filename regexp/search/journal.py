"""The file of a study: a journal with a line for each change, which several processes append to."""

import itertools
import json
import os
import shutil
import time
from collections.abc import Iterable
from contextlib import suppress
from pathlib import Path
from typing import Any, final

from optuna.storages import JournalStorage
from optuna.storages.journal import BaseJournalBackend, JournalFileBackend, JournalFileOpenLock

from regexp.errors import RunError

_LOCK_SUFFIX = ".lock"
# No process that is alive keeps the lock for as long, in seconds.
_LOCK_SECONDS = 2.0


@final
class UnsyncedJournal(BaseJournalBackend):
    """A journal as Optuna's own in the same format, which does not wait for the disk after every line.

    Waiting takes 3 ms a line, and a pruner has a line written for each trial and epoch. A power cut may lose the last
    lines. Nothing is lost with them: the runs of these trials are recorded on their own, and the search finds them.

    Attributes:
        file: the file.
    """

    def __init__(self, file: Path) -> None:
        """Open a journal, which is created if it does not exist."""
        self.file = file.absolute()
        self._lock = JournalFileOpenLock(str(self.file))
        self._backend = JournalFileBackend(str(self.file), self._lock)

    def read_logs(self, log_number_from: int) -> Iterable[dict[str, Any]]:
        """Return the lines from this number on."""
        return self._backend.read_logs(log_number_from)

    def append_logs(self, logs: list[dict[str, Any]]) -> None:
        """Append lines."""
        content = "".join(json.dumps(log, separators=(",", ":")) + "\n" for log in logs)
        self._lock.acquire()
        try:
            with open(self.file, "ab") as stream:
                stream.write(content.encode())
        finally:
            self._lock.release()


def open_storage(file: Path) -> JournalStorage:
    """Return the storage of studies in a file, which is created if it does not exist.

    Raises:
        RunError: the file is broken.
    """
    try:
        return JournalStorage(UnsyncedJournal(file))
    except (ArithmeticError, AssertionError, AttributeError, LookupError, TypeError, ValueError) as error:
        # Optuna replays all lines, and expects that each makes sense after those before it.
        raise RunError(
            f"{file} is broken ({type(error).__name__}: {str(error)[:100]}). Rename or delete it, and type the command "
            "of the search again: it begins anew, and runs that have finished are not trained again."
        ) from error


def repair_journal(file: Path) -> Path | None:
    """Remove from a journal what cannot be read: the half line and the lock of a killed process, or broken lines.

    Only the process that holds the claim on the search may do this, and only before it writes. Jobs of a cluster that
    an earlier command has begun may still write, each line in far less than the time after which a lock counts as left.

    Returns:
        A copy of the journal as it was, where more than the half line of a killed process is removed; otherwise None.
    """
    lock = Path(f"{file}{_LOCK_SUFFIX}")
    with suppress(FileNotFoundError):
        while time.time() - lock.stat().st_mtime < _LOCK_SECONDS:
            time.sleep(0.01)
        lock.unlink()
    try:
        content = file.read_bytes()
    except FileNotFoundError:
        return None
    size = 0
    for line in content.splitlines(keepends=True):
        if not line.endswith(b"\n") or not _is_entry(line):
            break
        size += len(line)
    if size == len(content):
        return None
    is_half_a_line = size > 0 and b"\n" not in content[size:]
    copy = None if is_half_a_line else _copy_broken(file)
    os.truncate(file, size)
    return copy


def _copy_broken(file: Path) -> Path:
    """Copy a broken journal, and return the copy. No earlier copy is lost."""
    names = (file.with_name(f"{file.name}.broken-{number}") for number in itertools.count(1))
    copy = next(name for name in names if not name.exists())
    shutil.copyfile(file, copy)
    return copy


def _is_entry(line: bytes) -> bool:
    """Return whether a line of a journal is whole: an operation of Optuna's, and the process that wrote it."""
    try:
        entry = json.loads(line)
    except ValueError:
        return False
    return isinstance(entry, dict) and isinstance(entry.get("op_code"), int) and "worker_id" in entry
