"""Heartbeats: files that a process touches every few seconds, so that others see that it is alive. Imports no torch.

Of a process of this machine the kernel tells at once whether it runs. Of one on another machine, or in another
container, its heartbeat is all that can be seen. The clocks of machines may differ, so no time of another machine is
trusted alone: a heartbeat that looks old is watched, and only one that does not change meanwhile is dead.
"""

import json
import os
import threading
import time
from contextlib import suppress
from pathlib import Path
from typing import Any

from regexp.utils.processes import describe_this_process, is_running

# How often a process touches its heartbeat, and after how long without a change it counts as dead, in seconds. Six
# beats may fail before that: a server of files that is slow for some seconds ends no training.
INTERVAL_SECONDS = 5.0
STALE_SECONDS = 30.0
# How often a heartbeat that is watched is looked at, in seconds.
_LOOK_SECONDS = 0.5
# The names of the heartbeats of this process.
_beating: set[str] = set()


class Heartbeats:
    """The heartbeats of this process, which one thread touches until they are stopped."""

    def __init__(self) -> None:
        self._paths: list[Path] = []
        self._stopped = threading.Event()

    def start(self, path: Path) -> None:
        """Write a record of this process to a file, and touch it from now on.

        Raises:
            OSError: the file cannot be written.
        """
        path.write_text(json.dumps(describe_this_process()), encoding="utf-8")
        self._paths.append(path)
        _beating.add(path.name)
        if len(self._paths) == 1:
            threading.Thread(target=self._beat, name="heartbeat", daemon=True).start()

    def stop(self) -> None:
        """Remove the files, and touch them no more. A file that cannot be removed now is removed when it can."""
        self._stopped.set()
        _beating.difference_update(path.name for path in self._paths)
        self._remove()

    def _beat(self) -> None:
        while not self._stopped.wait(INTERVAL_SECONDS):
            for path in list(self._paths):
                touch(path)
        while self._paths:
            time.sleep(INTERVAL_SECONDS)
            self._remove()

    def _remove(self) -> None:
        for path in list(self._paths):
            with suppress(OSError):
                path.unlink(missing_ok=True)
                self._paths.remove(path)


def touch(path: Path) -> None:
    """Set the time of a heartbeat to now, by the clock of the file system where it has one.

    It takes no space, so it also works on a full disk. It does not make a file that was removed anew: the process was
    declared dead. If it fails for another reason, the next beat may succeed.
    """
    with suppress(OSError):
        os.utime(path)


def read_process(path: Path) -> dict[str, Any]:
    """Return the record of the process in a heartbeat; an empty one where it cannot be read."""
    try:
        process = json.loads(path.read_text(encoding="utf-8"))
    except (OSError, ValueError):
        return {}
    return process if isinstance(process, dict) else {}


def read_beat(path: Path) -> int | None:
    """Return the time of the last beat, in nanoseconds by the clock of the file system; None if there is no such file.

    The file is opened, because a network file system answers from its memory otherwise.
    """
    try:
        with path.open("rb") as file:
            return os.fstat(file.fileno()).st_mtime_ns
    except OSError:
        return None


def seems_alive(path: Path, now: float | None = None) -> bool | None:
    """Return whether the process of a heartbeat is alive; None where it looks dead, but may be alive by another clock.

    Args:
        path: the heartbeat.
        now: the time by the clock of the file system, in seconds; None: that of this machine.
    """
    beat = read_beat(path)
    if beat is None:
        return False
    process = read_process(path)
    running = is_running(process)
    if running is not None:
        # This process may live on after the end of a training whose files it could not remove.
        return running and (process["pid"] != os.getpid() or path.name in _beating)
    age = (time.time() if now is None else now) - beat / 1e9
    return True if abs(age) < STALE_SECONDS else None


def watch(path: Path) -> bool:
    """Watch a heartbeat until it changes, and return True; return False if it does not for `STALE_SECONDS`."""
    first_beat, deadline = read_beat(path), time.monotonic() + STALE_SECONDS
    while first_beat is not None and time.monotonic() < deadline:
        time.sleep(min(_LOOK_SECONDS, STALE_SECONDS / 10))
        beat = read_beat(path)
        if beat != first_beat:
            return beat is not None
    return False
