"""Records of processes, to tell whether such a process is still running."""

import os
import socket
import sys
from functools import cache
from pathlib import Path
from typing import Any

from regexp.utils.messages import join_words

_ZOMBIE = "Z"


def typed_command() -> str:
    """Return the command line of this process as the user typed it, so that it can be typed again.

    It is empty where there is none: in notebooks, at Python's prompt, and for code in `python -c`.
    """
    program, *arguments = sys.argv or [""]
    if program in ("", "-", "-c") or "ipykernel" in sys.modules:
        return ""
    specification = getattr(sys.modules.get("__main__"), "__spec__", None)
    if specification is not None and program.endswith(".py"):  # python -m MODULE
        words = ["python", "-m", specification.name.removesuffix(".__main__"), *arguments]
    elif program.endswith(".py"):
        words = ["python", program, *arguments]
    else:
        words = [Path(program).name, *arguments]
    return join_words(words)


def describe_this_process() -> dict[str, Any]:
    """Return the host, number and start time of this process, and what tells its machine and container from others."""
    state = _read_state(os.getpid())
    return {
        "host": socket.gethostname(),
        "pid": os.getpid(),
        "started": None if state is None else state[1],
        "boot": _boot_id(),
        "pid_namespace": _pid_namespace(),
    }


def is_running(process: dict[str, Any]) -> bool | None:
    """Return whether a process is still running; None where that cannot be told from here.

    It can be told of processes of this machine and container only, and not where /proc hides other users' processes.

    Args:
        process: the record that `describe_this_process` made of it.
    """
    pid = process.get("pid")
    if not isinstance(pid, int) or pid <= 0 or _place(process) != _place(describe_this_process()):
        return None
    try:
        os.kill(pid, 0)
    except PermissionError:
        pass
    except (OSError, OverflowError):
        return False
    if process.get("started") is None:
        return True
    state = _read_state(pid)
    return None if state is None else state == (state[0], process["started"]) and state[0] != _ZOMBIE


def _place(process: dict[str, Any]) -> tuple[Any, ...]:
    """Return what is equal for all processes that have one numbering.

    Containers have the kernel of their machine, and perhaps its name, but a numbering of their own. Without Linux, the
    name of the machine has to do.
    """
    if process.get("boot") is None:
        return (process.get("host"),)
    return process["boot"], process.get("pid_namespace")


@cache
def _boot_id() -> str | None:
    """Return what Linux drew at random when this machine was started."""
    try:
        return Path("/proc/sys/kernel/random/boot_id").read_text(encoding="utf-8").strip()
    except (OSError, UnicodeDecodeError):
        return None


def _pid_namespace() -> int | None:
    """Return the number of the namespace that numbers this process (Linux only)."""
    try:
        return os.stat("/proc/self/ns/pid").st_ino
    except OSError:
        return None


def _read_state(pid: int) -> tuple[str, str] | None:
    """Return the state of a process, and when it started, in clock ticks since boot; None where /proc does not tell.

    The time tells a process from a later one with the same number. A process that has ended stays in the state "Z" (a
    zombie) until its parent has collected its exit status.
    """
    try:
        # The fields after the program's name, which may itself hold spaces and brackets; see man proc_pid_stat.
        state, *fields = (
            Path(f"/proc/{pid}/stat").read_text(encoding="utf-8", errors="replace").rpartition(")")[2].split()
        )
    except OSError:
        return None
    return state, fields[18]
