"""Exit statuses: a job that fails says why in one message, and the others of a sweep go on."""

import sys
from collections.abc import Iterator
from contextlib import contextmanager

from regexp.errors import SUCCESS, RegexpError

_worst = SUCCESS


def leave(status: int) -> None:
    """Remember a status for the end of the process; the highest wins."""
    global _worst
    _worst = max(_worst, status)


def status() -> int:
    """With which the process ends."""
    return _worst


def complain(message: str) -> None:
    """Print an error's message."""
    print(f"regexp: {message}", file=sys.stderr)


@contextmanager
def reported() -> Iterator[None]:
    """Turn our own errors into a message and a status; a bug keeps its traceback."""
    try:
        yield
    except RegexpError as error:
        complain(str(error))
        leave(error.status)
