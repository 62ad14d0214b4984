"""Building blocks of messages: values as a user would type them, suggestions, and the first line of an error."""

from collections.abc import Sequence
from typing import Any


def format_value(value: Any) -> str:
    """Return a value as a user would type it in an override."""
    if isinstance(value, list | tuple):
        return f"[{','.join(format_value(entry) for entry in value)}]"
    if isinstance(value, dict):
        entries = [f"{name}:{format_value(entry)}" for name, entry in value.items()]
        return "{" + ",".join(entries) + "}"
    if value is None:
        return "null"
    if isinstance(value, bool):
        return "true" if value else "false"
    return f"{value:.10g}" if isinstance(value, float) else str(value)


def did_you_mean(candidates: Sequence[str], suffix: str = "") -> str:
    """Return the end of a message that suggests what the user may have meant, or "" without candidates.

    Args:
        candidates: the words that the user may have meant.
        suffix: text after each candidate, such as "=0.1".
    """
    return f"; did you mean {' or '.join(candidate + suffix for candidate in candidates)}?" if candidates else ""


def first_line(error: BaseException) -> str:
    """Return the first line of an error's message that is not blank, or the error's class name if there is none."""
    return next((line.strip() for line in str(error).splitlines() if line.strip()), type(error).__name__)
