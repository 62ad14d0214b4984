"""Building blocks of messages: values as a user would type them, suggestions, and the first line of an error."""

import os
import re
import shlex
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from contextvars import ContextVar
from typing import Any

# Characters that a message must not hold as they are: line ends, and bytes of a path that are not UTF-8.
_UNPRINTABLE = re.compile(r"[\x00-\x1f\x7f-\x9f\u2028\u2029\udc80-\udcff]")

# A word of a command as quote_word writes it: $'...', or text in parts that shlex reads.
_WORD = re.compile(r"""\$'((?:\\.|[^'\\])*)'(?!\S)|(?:'[^']*'|"(?:\\.|[^"\\])*"|\\.|[^\s'"\\])+""", re.DOTALL)
_ESCAPE = re.compile(rb"\\([0-7]{3}|.)", re.DOTALL)

_speaks_python: ContextVar[bool] = ContextVar("speaks_python", default=False)


@contextmanager
def speak_python() -> Iterator[None]:
    """Word the messages of the block for who calls Python's functions, rather than for who types commands."""
    token = _speaks_python.set(True)
    try:
        yield
    finally:
        _speaks_python.reset(token)


def speaks_python() -> bool:
    """Return whether messages are for who calls Python's functions."""
    return _speaks_python.get()


def say(command: str, python: str) -> str:
    """Return a message, or a part of one, as whoever reads it needs it.

    Args:
        command: the words for who typed a command.
        python: the words for who called one of Python's functions.
    """
    return python if _speaks_python.get() else command


def say_where_keys_are() -> str:
    """Return the end of a message on a key that is like no other."""
    return "; " + say("regexp --help lists all keys", "the command regexp --help lists all keys")


def show_option(option: str, value: str) -> str:
    """Return an option of a command with its value, as in "--by seed", or that argument in Python, "by='seed'"."""
    return say(f"{option} {value}", f"{option.lstrip('-')}={value!r}")


def format_value(value: Any, mark_fractions: bool = False) -> str:
    """Return a value as a user would type it in an override.

    Args:
        value: the value.
        mark_fractions: whether the float 1.0 is written "1.0", for keys of which 1 is a count and 1.0 a fraction: all.
    """
    if isinstance(value, list | tuple):
        return f"[{','.join(format_value(entry, mark_fractions) for entry in value)}]"
    if isinstance(value, dict):
        entries = [f"{name}:{format_value(entry, mark_fractions)}" for name, entry in value.items()]
        return "{" + ",".join(entries) + "}"
    if value is None:
        return "null"
    if isinstance(value, bool):
        return "true" if value else "false"
    if mark_fractions and isinstance(value, float) and value == 1:
        return "1.0"
    return f"{value:.10g}" if isinstance(value, float) else str(value)


def did_you_mean(candidates: Sequence[str], suffix: str = "") -> str:
    """Return the end of a message that suggests what the user may have meant, or "" without candidates.

    Args:
        candidates: the words that the user may have meant; each is quoted as a shell wants it.
        suffix: text after each candidate, such as "=0.1".
    """
    words = " or ".join(quote_word(candidate + suffix) for candidate in candidates)
    return f"; did you mean {words}?" if candidates else ""


def first_line(error: BaseException) -> str:
    """Return the first line of an error's message that is not blank, or the error's class name if there is none."""
    return next((line.strip() for line in str(error).splitlines() if line.strip()), type(error).__name__)


def quote_word(word: str) -> str:
    r"""Return a word of a command in the quotes that it needs in a shell, so that the command works as pasted.

    A line end, or a byte of a path that is not UTF-8, is written in octal digits: $'caf\351', in bash, zsh and ksh.
    """
    if _UNPRINTABLE.search(word) is None:
        return shlex.quote(word)
    escaped_word = word.replace("\\", "\\\\").replace("'", "\\'")
    return f"$'{_UNPRINTABLE.sub(_write_octal, escaped_word)}'"


def join_words(words: Sequence[str]) -> str:
    """Return the words of a command as one line that works as pasted."""
    return " ".join(map(quote_word, words))


def split_command(command: str) -> list[str]:
    """Return the words of a command that `join_words` made, as a shell reads them."""
    return [
        shlex.split(word[0])[0] if word[1] is None else os.fsdecode(_ESCAPE.sub(_read_escape, os.fsencode(word[1])))
        for word in _WORD.finditer(command)
    ]


def show_bytes(text: str) -> str:
    r"""Return a text in which each byte of a path that is not UTF-8 is written as \xe9, for files that others read."""
    return text.encode(errors="surrogateescape").decode(errors="backslashreplace")


def format_bytes(size: float) -> str:
    """Return a size in bytes as megabytes or gigabytes: "47 MB", "1.2 GB"."""
    return f"{size / 1e9:.1f} GB" if size >= 1e9 else f"{max(1, round(size / 1e6))} MB"


def format_age(seconds: float) -> str:
    """Return an age in whole days, hours, minutes or seconds: "2 hours"."""
    for unit, length in (("day", 86400), ("hour", 3600), ("minute", 60)):
        if seconds >= length:
            count = int(seconds // length)
            return f"{count} {unit}{'s' if count > 1 else ''}"
    return f"{max(1, int(seconds))} second{'s' if seconds >= 2 else ''}"


def list_first(lines: Sequence[str], count: int = 10) -> str:
    """Return the first lines of a list, indented, and how many more there are."""
    listed = "".join(f"\n  {line}" for line in lines[:count])
    return listed + (f"\n  and {len(lines) - count:,} more" if len(lines) > count else "")


def _write_octal(match: re.Match[str]) -> str:
    return "".join(f"\\{byte:03o}" for byte in os.fsencode(match[0]))


def _read_escape(match: re.Match[bytes]) -> bytes:
    return bytes([int(match[1], 8)]) if match[1].isdigit() else match[1]
