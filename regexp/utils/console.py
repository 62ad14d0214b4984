"""What is printed on: a terminal, a file, or a pipe whose reader may go away."""

import os
import sys
from typing import Any

import rich.console


class Console(rich.console.Console):
    """A console whose reader may go away (`regexp | head`), or know no more than ASCII: work goes on."""

    def __init__(self, **given: Any) -> None:
        super().__init__(**given)
        if hasattr(sys.stdout, "reconfigure"):
            sys.stdout.reconfigure(errors="replace")

    def on_broken_pipe(self) -> None:
        """Write to nowhere from now on."""
        self.quiet = True
        os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())
