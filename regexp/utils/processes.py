"""Which process trains a run, and whether it still does."""

import os
import shlex
import socket
import sys
from pathlib import Path
from typing import Any


def command() -> str:
    """What was typed."""
    program, *arguments = sys.argv
    return shlex.join([Path(program).name, *arguments])


def this_process() -> dict[str, Any]:
    """What run.json says of the process that trains it."""
    return {"host": socket.gethostname(), "pid": os.getpid(), "started": _started(os.getpid())}


def is_alive(process: dict[str, Any]) -> bool:
    """Whether another process of this machine, as `this_process` describes it, still runs."""
    pid = process.get("pid")
    if pid is None or process.get("host") != socket.gethostname() or pid == os.getpid():
        return False
    try:
        os.kill(pid, 0)
    except PermissionError:
        pass
    except (OSError, OverflowError, TypeError):
        return False
    return bool(_started(pid) == process.get("started"))


def _started(pid: int) -> str | None:
    """When a process started, in clock ticks since boot: tells it from a later one of the same number (Linux).

    None of one that has ended, and of which only its parent has yet to take note.
    """
    try:
        state, *facts = Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()
    except OSError:
        return None
    return None if state == "Z" else facts[18]
