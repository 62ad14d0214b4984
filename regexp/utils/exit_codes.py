"""Exit statuses: a job that fails says why in one message, and the others of a sweep go on."""

import sys
import traceback
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from errno import EDQUOT, EIO, ENOSPC
from signal import SIGINT

from regexp.errors import SUCCESS, ConfigError, RegexpError, RunError, StorageError

_worst = SUCCESS


def set_status(status: int) -> None:
    """Remember a status for the end of the process; the highest wins."""
    global _worst
    _worst = max(_worst, status)


def status() -> int:
    """With which the process ends."""
    return _worst


def print_error(message: str) -> None:
    """Print an error's message."""
    print(f"regexp: {message}", file=sys.stderr)


def objections(error: ConfigError) -> str:
    """A configuration's problems, below each other where there are several."""
    first, *others = str(error).splitlines() or [""]
    return "\n  ".join([f"{len(others) + 1} mistakes", first, *others]) if others else first


def raised_while_training(error: BaseException) -> bool:
    """Whether an error came out of our own task, not out of Hydra before it: then it is a bug."""
    return any(
        frame.f_globals.get("__name__") == "regexp.execution.train"
        for frame, _ in traceback.walk_tb(error.__traceback__)
    )


def raise_all(errors: Sequence[Exception], others: bool) -> None:
    """Raise what ended runs. Where `others` have ended as they should: RunError, and bugs print their tracebacks."""
    if not errors:
        return
    if not others:
        raise errors[0]
    for error in errors:
        if not isinstance(error, RegexpError):
            traceback.print_exception(error)
    messages = dict.fromkeys(str(error) or type(error).__name__ for error in errors)
    raise RunError("\n".join([*messages, "The other runs stand; the same command trains what failed."]))


@contextmanager
def errors_reported() -> Iterator[None]:
    """Turn our own errors into a message and a status; a bug keeps its traceback."""
    try:
        yield
    except RegexpError as error:
        print_error(objections(error) if isinstance(error, ConfigError) else str(error))
        set_status(error.status)
    except OSError as error:
        if error.errno not in (ENOSPC, EDQUOT, EIO):
            raise
        print_error(f"cannot write: {error.strerror}")  # to the terminal, or what stands for it
        set_status(StorageError.status)


@contextmanager
def process_exit() -> Iterator[None]:
    """What a program does, and the end of its process, with the status that this comes to."""
    try:
        with errors_reported():
            yield
    except KeyboardInterrupt as interrupt:
        sys.exit(128 + (getattr(interrupt, "signal", 0) or SIGINT))
    sys.exit(status())
