"""What is printed on: a terminal, a file, or a pipe whose reader may go away."""

import os
import sys

from rich.console import Console


class Paper(Console):
    """A console whose reader may go away (`regexp | head`): work goes on without it."""

    def on_broken_pipe(self) -> None:
        """Write to nowhere from now on."""
        self.quiet = True
        os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())
