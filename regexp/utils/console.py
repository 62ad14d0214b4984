"""The console that messages and tables are printed on: a terminal, a file or a pipe."""

import os
import sys
from typing import Any

import rich.console


class Console(rich.console.Console):
    """A console that survives a closed pipe (`regexp | head`) and prints `?` for characters it cannot encode."""

    def __init__(self, **options: Any) -> None:
        super().__init__(**options)
        if hasattr(sys.stdout, "reconfigure"):
            sys.stdout.reconfigure(errors="replace")

    def on_broken_pipe(self) -> None:
        """Discard all further output, so that training goes on."""
        self.quiet = True
        os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())
