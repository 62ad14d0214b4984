"""Ctrl-C and the system's request to end: the first is a wish, kept after the epoch; the second is an order."""

import signal
import threading
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from types import FrameType


class StopRequest:
    """Whether a signal has come.

    Attributes:
        signal: its number; 0 while there was none.
    """

    def __init__(self) -> None:
        self.signal = 0

    @property
    def requested(self) -> bool:
        """Whether to stop after the current epoch."""
        return self.signal != 0


@contextmanager
def interruptible(announce: Callable[[], None]) -> Iterator[StopRequest]:
    """Within it, the first SIGINT or SIGTERM is noted and announced, and a second does what it would without us.

    In a thread that is not the main one, where Python allows no handlers, nothing is noted.
    """
    interruption = StopRequest()
    if threading.current_thread() is not threading.main_thread():
        yield interruption
        return
    before = {number: signal.getsignal(number) for number in (signal.SIGINT, signal.SIGTERM)}

    def note(number: int, frame: FrameType | None) -> None:
        interruption.signal = number
        restore()
        announce()

    def restore() -> None:
        for number, handler in before.items():
            signal.signal(number, handler)

    for number in before:
        signal.signal(number, note)
    try:
        yield interruption
    finally:
        restore()
