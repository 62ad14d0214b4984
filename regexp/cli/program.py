"""The frame of every command: its standard streams, its errors and its exit status."""

import sys
from collections.abc import Iterator
from contextlib import contextmanager
from signal import SIGINT

from regexp.cli.standard_streams import find_output_error, protect_standard_streams
from regexp.errors import StorageError
from regexp.utils import exit_codes


@contextmanager
def program(interrupted: str = "interrupted") -> Iterator[list[str]]:
    """Run the body of a program, report its errors, and end the process with one of the statuses in regexp.errors.

    The `with` statement is given the words after the program's name.

    Args:
        interrupted: what to print where Ctrl-C ends the program at once.
    """
    protect_standard_streams()
    status: int | str | None
    try:
        with exit_codes.report_errors():
            yield sys.argv[1:]
        status = exit_codes.exit_status()
    except SystemExit as program_exit:
        status = program_exit.code
    except KeyboardInterrupt as interrupt:
        signal = getattr(interrupt, "signal", 0)
        if not signal:  # a second Ctrl-C, or one before training
            exit_codes.print_error(interrupted)
        status = 128 + (signal or SIGINT)
    if (error := find_output_error()) is not None:
        exit_codes.print_error(f"cannot write the output: {error.strerror}")
        status = status or StorageError.status
    sys.exit(status)
