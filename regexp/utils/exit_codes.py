"""Exit statuses: how errors become one message and one status, while the other runs of a sweep go on."""

import sys
import traceback
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from errno import EDQUOT, EIO, ENOSPC

from regexp.errors import SUCCESS, ConfigError, RegexpError, RunBusy, RunError, RunQueued, StorageError
from regexp.utils.messages import say, show_bytes

# The number of runs that failed whose errors are all shown.
_MAX_MESSAGES = 10

_highest_status = SUCCESS


def record_status(status: int) -> None:
    """Record a status for the end of the process; the highest one wins, but that of busy runs over success alone."""
    global _highest_status
    _highest_status = max(_highest_status, status, key=lambda value: (value != SUCCESS, value != RunBusy.status, value))


def exit_status() -> int:
    """Return the status with which the process should end."""
    return _highest_status


def print_error(message: str) -> None:
    """Print a message to standard error, with the program's name in front."""
    print(f"regexp: {show_bytes(message)}", file=sys.stderr)


def format_problems(error: ConfigError) -> str:
    """Return the problems of a configuration as one message; if there are several, with their number and indented."""
    problems = str(error).splitlines() or [""]
    if len(problems) == 1:
        return problems[0]
    return "\n  ".join([f"{len(problems)} mistakes", *problems])


def is_raised_by_training(error: BaseException) -> bool:
    """Return whether an error was raised within regexp's own task rather than by Hydra before it."""
    return any(
        frame.f_globals.get("__name__") == "regexp.execution.launching.task"
        for frame, _ in traceback.walk_tb(error.__traceback__)
    )


def raise_failures(errors: Sequence[Exception], others_finished: bool) -> None:
    """Raise the errors that ended runs, if there are any.

    Args:
        errors: one error for each run or cohort that failed, and perhaps one for all that are busy at the end.
        others_finished: whether other runs have finished. If so, all messages are raised in one RunError, and bugs
            print their tracebacks.

    Raises:
        Exception: the first error, if no other run has finished, or it says that runs are busy.
        RunError: the messages of all errors, if other runs have finished.
    """
    errors = [error for error in errors if not isinstance(error, RunQueued)] or errors
    if not errors:
        return
    if not others_finished or isinstance(errors[0], RunBusy):
        raise errors[0]
    print_tracebacks(errors)
    messages = list(dict.fromkeys(str(error) or type(error).__name__ for error in errors))
    reasons = [message.partition("\n")[0] for message in messages[:_MAX_MESSAGES]]
    if len(messages) > _MAX_MESSAGES:
        reasons.append(f"and {len(messages) - _MAX_MESSAGES} more")
    remedies = dict.fromkeys(line for message in messages[:_MAX_MESSAGES] for line in message.splitlines()[1:])
    again = say(
        "run the same command again to train those that failed", "make the same call again to train those that failed"
    )
    hint = f"The other runs have finished; {again}."
    raise RunError("\n".join([*reasons, *remedies, hint]))


def print_tracebacks(errors: Sequence[BaseException]) -> None:
    """Print the tracebacks of the errors that are bugs."""
    for error in errors:
        if not isinstance(error, RegexpError):
            traceback.print_exception(error)


@contextmanager
def report_errors() -> Iterator[None]:
    """Print regexp's own errors as messages and record their statuses; a bug keeps its traceback."""
    try:
        yield
    except RegexpError as error:
        print_error(format_problems(error) if isinstance(error, ConfigError) else str(error))
        record_status(error.status)
    except OSError as error:
        if error.errno not in (ENOSPC, EDQUOT, EIO):
            raise
        print_error(f"cannot write {error.filename or 'a file'}: {error.strerror}")
        record_status(StorageError.status)
