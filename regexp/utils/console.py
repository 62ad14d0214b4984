"""The console that messages and tables are printed on: a terminal, a file or a pipe."""

import os
import sys
from errno import EIO
from typing import Any

import rich.console

from regexp.utils.signals import leave_closed_terminals


class Console(rich.console.Console):
    """A console that survives a closed pipe (`regexp | head`) or terminal, and prints ? for what it cannot encode."""

    def __init__(self, **options: Any) -> None:
        super().__init__(**options)
        if hasattr(sys.stdout, "reconfigure"):
            sys.stdout.reconfigure(errors="replace")

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
