"""Handling of Ctrl-C and SIGTERM: the first signal stops training after the current epoch, the second one at once."""

import signal
import threading
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from types import FrameType


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
    """Record the first SIGINT or SIGTERM within the block instead of stopping; a second one acts as usual.

    In any thread but the main one Python allows no signal handlers, so nothing is recorded there.

    Args:
        announce: called when the first signal arrives.
    """
    stop_request = StopRequest()
    if threading.current_thread() is not threading.main_thread():
        yield stop_request
        return
    previous_handlers = {number: signal.getsignal(number) for number in (signal.SIGINT, signal.SIGTERM)}

    def record_signal(number: int, frame: FrameType | None) -> None:
        stop_request.signal = number
        restore_handlers()
        announce()

    def restore_handlers() -> None:
        for number, handler in previous_handlers.items():
            signal.signal(number, handler)

    for number in previous_handlers:
        signal.signal(number, record_signal)
    try:
        yield stop_request
    finally:
        restore_handlers()
