"""Records of the processes that train runs, to tell whether such a process is still alive."""

import os
import shlex
import socket
import sys
from pathlib import Path
from typing import Any


def typed_command() -> str:
    """Return the command line of this process as the user typed it."""
    program, *arguments = sys.argv
    return shlex.join([Path(program).name, *arguments])


def describe_this_process() -> dict[str, Any]:
    """Return the host, number and start time of this process, as run.json records them."""
    return {"host": socket.gethostname(), "pid": os.getpid(), "started": _start_time(os.getpid())}


def is_alive(process: dict[str, Any]) -> bool:
    """Return whether a process on this machine, other than this one, is still running.

    Args:
        process: the record that `describe_this_process` made of it.
    """
    pid = process.get("pid")
    if pid is None or process.get("host") != socket.gethostname() or pid == os.getpid():
        return False
    try:
        os.kill(pid, 0)
    except PermissionError:
        pass
    except (OSError, OverflowError, TypeError):
        return False
    return bool(_start_time(pid) == process.get("started"))


def _start_time(pid: int) -> str | None:
    """Return when a process started, in clock ticks since boot (Linux only).

    The time tells a process from a later one with the same number. It is None for a process that has ended, even
    where its parent has not collected its exit status yet (a zombie).
    """
    try:
        # The fields after the program's name, which may itself hold spaces and brackets; see man proc_pid_stat.
        state, *fields = Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()
    except OSError:
        return None
    return None if state == "Z" else fields[18]
