"""The console that messages and tables are printed on: a terminal, a file or a pipe."""

import os
import sys
import warnings
from errno import EIO
from types import FrameType
from typing import Any

import rich.console
from rich.markup import escape

from regexp.errors import DoubtfulResult
from regexp.utils.signals import leave_closed_terminals


class Console(rich.console.Console):
    """A console that survives a closed pipe (`regexp | head`) or terminal, and prints ? for what it cannot encode.

    Attributes:
        is_silent: whether nothing is to be printed at all. Warnings then go to Python's `warnings`: a result may be of
            no use.
        hides_headers: whether the headers of cohorts are left out, because an earlier batch has shown them.
        hides_progress: whether progress is left out where the output cannot be redrawn.
    """

    def __init__(self, **options: Any) -> None:
        super().__init__(**options)
        self.is_silent = self.quiet
        self.hides_headers = self.hides_progress = False
        if hasattr(sys.stdout, "reconfigure"):
            sys.stdout.reconfigure(errors="replace")

    def print_warning(self, message: str) -> None:
        """Print a warning on a line of its own, or give it to Python's `warnings`."""
        self.print(escape(f"warning: {message}"))
        self.warn_if_silent(message)

    def warn_if_silent(self, message: str) -> None:
        """Give a warning that is printed in another way to Python's `warnings`, if nothing is printed."""
        if self.is_silent:
            warn_caller(message)

    def _check_buffer(self) -> None:
        """Write what was printed; discard it and all that follows if it goes to a terminal that was closed.

        The signal that tells of the closed terminal may come later, or never.
        """
        try:
            super()._check_buffer()
        except OSError as error:
            if error.errno != EIO or not leave_closed_terminals():
                raise
            self.quiet = True

    def on_broken_pipe(self) -> None:
        """Discard all further output, so that training goes on."""
        self.quiet = True
        os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())


def warn_caller(message: str, category: type[DoubtfulResult] = DoubtfulResult) -> None:
    """Give a warning to Python's `warnings`, as one about the line that called the package."""
    level = caller_level = 1
    frame: FrameType | None = sys._getframe()
    while frame is not None:
        if frame.f_globals.get("__name__", "").startswith("regexp."):
            caller_level = level  # of the outermost function of the package: libraries may lie between
        frame, level = frame.f_back, level + 1
    warnings.warn(message, category, stacklevel=caller_level + 1)
