"""Commands that messages suggest as the next ones to type, with paths relative to the current directory.

This module imports no torch.
"""

import os
from collections.abc import Sequence
from pathlib import Path

from regexp.utils.messages import join_words, quote_word, speaks_python


def tensorboard_command(directory: Path) -> str:
    """Return the command that shows a directory in TensorBoard."""
    return f"{command_prefix()}tensorboard --logdir {quote_word(relative_path(directory))}"


def compare_command(run_directories: Sequence[Path]) -> str:
    """Return the command, or for Python the call, that compares the runs of a sweep, given their directories."""
    experiments = list(dict.fromkeys(directory.parent for directory in run_directories))
    # regexp-compare finds experiments below outputs/ without arguments.
    in_outputs = all(experiment.parent.resolve() == Path("outputs").resolve() for experiment in experiments)
    arguments = [] if in_outputs else [relative_path(experiment) for experiment in experiments]
    if speaks_python():
        return f"compare({arguments or ''})"
    return f"{command_prefix()}{join_words(['regexp-compare', *arguments])}"


def load_call(run_directory: Path) -> str:
    """Return the call that reads a run back in Python."""
    return f'load_run("{relative_path(run_directory)}")'


def command_prefix() -> str:
    """Return "uv run " if uv started this process, else "" (uv sets UV for the programs that it runs)."""
    return "uv run " if "UV" in os.environ else ""


def relative_path(path: Path) -> str:
    """Return a path relative to the current directory if it lies below it, else the absolute path."""
    path = path.resolve()
    return str(path.relative_to(Path.cwd()) if path.is_relative_to(Path.cwd()) else path)
