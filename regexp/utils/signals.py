"""Handling of signals that ask to stop: the first one stops training after the current epoch, a second one at once.

SIGINT    Ctrl-C
SIGTERM   what ends processes: kill, timeout, a scheduler, a machine that shuts down
SIGHUP    the terminal was closed, or the connection to it was lost
SIGUSR1   a scheduler that is about to take the machine away (SLURM's --signal=USR1@60, Grid Engine's -notify)
SIGUSR2   the same, from Grid Engine
"""

import os
import signal
import stat
import sys
import threading
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager, suppress
from types import FrameType

# Windows lacks some of them.
STOP_SIGNALS = [
    getattr(signal, name) for name in ("SIGINT", "SIGTERM", "SIGHUP", "SIGUSR1", "SIGUSR2") if hasattr(signal, name)
]
# The signals that stop at once when they are repeated. A terminal that is closed sends SIGHUP more than once.
_STOP_AT_ONCE = (signal.SIGINT, signal.SIGTERM)
# Signals within this time are one request, in seconds: schedulers send one to all processes of a job, and programs that
# started this one (uv, srun, a shell) pass theirs on.
_SAME_REQUEST_SECONDS = 0.3


class StopRequest:
    """A request to stop that a signal may have made.

    Attributes:
        signal: the number of the signal; 0 until one arrives.
    """

    def __init__(self) -> None:
        self.signal = 0

    @property
    def requested(self) -> bool:
        """Whether a signal has asked to stop after the current epoch."""
        return self.signal != 0


@contextmanager
def catch_stop_signals(announce: Callable[[], None]) -> Iterator[StopRequest]:
    """Record the first signal of `STOP_SIGNALS` within the block instead of stopping; a second one acts as usual.

    A signal that is ignored stays ignored, such as SIGHUP in a command that nohup started. In any thread but the main
    one Python allows no signal handlers, so nothing is recorded there.

    Args:
        announce: called when the first signal arrives.
    """
    stop_request = StopRequest()
    if threading.current_thread() is not threading.main_thread():
        yield stop_request
        return
    previous_handlers = {
        number: handler for number in STOP_SIGNALS if (handler := signal.getsignal(number)) != signal.SIG_IGN
    }
    first_time = 0.0

    def record_signal(number: int, frame: FrameType | None) -> None:
        nonlocal first_time
        if number == getattr(signal, "SIGHUP", None):
            leave_closed_terminals()
        if not stop_request.requested:
            stop_request.signal, first_time = number, time.monotonic()
            with suppress(OSError):  # what was to be told may go to a terminal that was closed
                announce()
        elif number in _STOP_AT_ONCE and time.monotonic() - first_time > _SAME_REQUEST_SECONDS:
            restore_handlers()
            signal.raise_signal(number)

    def restore_handlers() -> None:
        for number, handler in previous_handlers.items():
            signal.signal(number, handler)

    for number in previous_handlers:
        signal.signal(number, record_signal)
    try:
        yield stop_request
    finally:
        restore_handlers()


@contextmanager
def hold_back_stop_signals() -> Iterator[None]:
    """Let signals that ask to stop wait until the block ends. A process started in it inherits that they wait."""
    if not hasattr(signal, "pthread_sigmask"):
        yield
        return
    previous_mask = signal.pthread_sigmask(signal.SIG_BLOCK, STOP_SIGNALS)
    try:
        yield
    finally:
        signal.pthread_sigmask(signal.SIG_SETMASK, previous_mask)


def ignore_stop_signals() -> None:
    """Ignore signals that ask to stop, in a process whose parent passes them on, also those that waited."""
    for number in STOP_SIGNALS:
        signal.signal(number, signal.SIG_IGN)
    if hasattr(signal, "pthread_sigmask"):
        signal.pthread_sigmask(signal.SIG_UNBLOCK, STOP_SIGNALS)


def leave_closed_terminals() -> bool:
    """Discard what is still printed to a terminal that no longer exists, and return whether there is such a one."""
    is_closed = False
    for stream in (sys.stdout, sys.stderr):
        with suppress(OSError, ValueError, AttributeError):  # streams of notebooks and tests have no number
            number = stream.fileno()
            if stat.S_ISCHR(os.fstat(number).st_mode) and not os.isatty(number) and not _is_null(number):
                is_closed = True
                os.dup2(os.open(os.devnull, os.O_WRONLY), number)
    return is_closed


def _is_null(number: int) -> bool:
    """Return whether a file is /dev/null, which is a device without being a terminal."""
    return os.fstat(number).st_rdev == os.stat(os.devnull).st_rdev
