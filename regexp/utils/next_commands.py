"""Commands to type next, as they are typed from here. Imports no torch."""

import os
import shlex
from collections.abc import Sequence
from pathlib import Path


def tensorboard(folder: Path) -> str:
    """TensorBoard on a folder."""
    return f"{prefix()}tensorboard --logdir {shlex.quote(nearby(folder))}"


def compare(runs: Sequence[Path]) -> str:
    """The comparison of a sweep that has just ended, given its runs' folders."""
    parents = list(dict.fromkeys(run.parent for run in runs))
    found = all(parent.parent.resolve() == Path("outputs").resolve() for parent in parents)
    return f"{prefix()}{shlex.join(['regexp-compare', *([] if found else map(nearby, parents))])}"


def prefix() -> str:
    """What stands before a command where we were started: uv sets UV for what it runs."""
    return "uv run " if "UV" in os.environ else ""


def nearby(path: Path) -> str:
    """A path as one would type it from here."""
    path = path.resolve()
    return str(path.relative_to(Path.cwd()) if path.is_relative_to(Path.cwd()) else path)
