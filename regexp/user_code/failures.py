"""Failures of the user's own code, told with the line of theirs that failed."""

import traceback
from collections.abc import Sequence
from pathlib import Path

from regexp.utils.messages import first_line


def describe_failure(error: BaseException, paths: Sequence[str]) -> str:
    """Return an error in one line, with the last line of the user's code that led to it, if there is one.

    Args:
        error: the error.
        paths: the files and directories that hold the user's code.

    Returns:
        Such as "RuntimeError: shapes cannot be multiplied (net.py, line 17, in forward: return self.linear(x))".
    """
    message = first_line(error)
    text = message if message == type(error).__name__ else f"{type(error).__name__}: {message}"
    if isinstance(error, SyntaxError) and error.filename is not None:
        return f"SyntaxError: {error.msg} ({Path(error.filename).name}, line {error.lineno})"
    frame = find_user_frame(error, paths)
    if frame is None:
        return text
    code = f": {frame.line}" if frame.line else ""
    return f"{text} ({Path(frame.filename).name}, line {frame.lineno}, in {frame.name}{code})"


def find_user_frame(error: BaseException, paths: Sequence[str]) -> traceback.FrameSummary | None:
    """Return the innermost frame in the user's code that an error was raised in or below; None if there is none.

    Args:
        error: the error.
        paths: the files and directories that hold the user's code.
    """
    prefixes = [Path(path) for path in paths]
    frames = traceback.extract_tb(error.__traceback__)
    for frame in reversed(frames):
        file = Path(frame.filename)
        if any(file == prefix or prefix in file.parents for prefix in prefixes):
            return frame
    return None


def is_backward_failure(error: BaseException) -> bool:
    """Return whether an error was raised in a backward pass, where no line of the user's code is left."""
    return any(frame.name == "_engine_run_backward" for frame in traceback.extract_tb(error.__traceback__))
