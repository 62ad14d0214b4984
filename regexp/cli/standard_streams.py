"""Standard output and standard error that never end a command: they may be closed, broken or on a full disk.

A command's output may go to a pipe whose reader has left (`regexp | head`), to a disk that is full, or nowhere at all
(`>&-`). What cannot be written is discarded, so that training goes on and the exit status means what it always does.
"""

import codecs
import io
import os
import sys
from contextlib import suppress
from typing import Any

_ESCAPED_BYTES = range(0xDC80, 0xDD00)  # the characters that stand for bytes of a path that are not UTF-8


class SurvivingFile(io.FileIO):
    """A file descriptor that discards everything from the first write that fails.

    Attributes:
        error: the error of that write; None as long as all could be written.
        is_terminal: whether this was a terminal at first.
    """

    def __init__(self, descriptor: int, name: str) -> None:
        super().__init__(descriptor, "w", closefd=False)
        self.name = name
        self.error: OSError | None = None
        self.is_terminal = self.isatty()

    def write(self, data: Any) -> int:
        """Write all bytes, or discard them, and return their number."""
        remaining = memoryview(data).cast("B")
        size = remaining.nbytes
        while remaining.nbytes and self.error is None:
            try:
                written = super().write(remaining)
            except OSError as error:
                self.error = error
            else:
                remaining = remaining[written or 0 :]
        return size


def protect_standard_streams() -> None:
    """Replace sys.stdout and sys.stderr by streams that survive a failing write, and fill closed descriptors.

    A descriptor that is closed is opened to nowhere. Otherwise the next file that the program opens would get its
    number, and what is printed to it would be written into that file. Streams that something else has replaced, such as
    a test or a notebook, stay as they are.
    """
    codecs.register_error("show", _show_unencodable)
    for descriptor in (0, 1, 2):
        try:
            os.fstat(descriptor)
        except OSError:
            # The system gives the lowest free number, and worker processes inherit it.
            os.set_inheritable(os.open(os.devnull, os.O_RDWR), True)
    for name, descriptor in (("stdout", 1), ("stderr", 2)):
        stream = getattr(sys, name)
        if stream is None or _writes_to(stream, descriptor):
            setattr(sys, name, _make_stream(stream, name, descriptor))


def _writes_to(stream: Any, descriptor: int) -> bool:
    """Return whether a stream is Python's own for a descriptor."""
    binary = getattr(stream, "buffer", None)
    raw = getattr(binary, "raw", binary)  # without a buffer in unbuffered mode
    return type(raw) is io.FileIO and raw.fileno() == descriptor


def _make_stream(stream: Any, name: str, descriptor: int) -> io.TextIOWrapper:
    """Return a stream for a descriptor that buffers and encodes as the present one does."""
    raw = SurvivingFile(descriptor, f"<{name}>")
    is_unbuffered = stream is not None and stream.write_through
    return io.TextIOWrapper(
        raw if is_unbuffered else io.BufferedWriter(raw),
        encoding="utf-8" if stream is None else stream.encoding,
        errors="show",
        line_buffering=stream is not None and stream.line_buffering,
        write_through=is_unbuffered,
    )


def _show_unencodable(error: UnicodeError) -> tuple[str | bytes, int]:
    """Return the bytes of a path that is not UTF-8 as they are, and "?" for a character that cannot be encoded."""
    assert isinstance(error, UnicodeEncodeError)
    codes = [ord(character) for character in error.object[error.start : error.end]]
    if all(code in _ESCAPED_BYTES for code in codes):
        return bytes(code - 0xDC00 for code in codes), error.end
    return "?" * len(codes), error.end


def find_output_error() -> OSError | None:
    """Write what is still buffered, and return the error with which standard output failed, or None.

    That a pipe's reader has left, or that a terminal was closed, is no error.
    """
    for stream in (sys.stdout, sys.stderr):
        with suppress(OSError, ValueError):
            stream.flush()
    binary = getattr(sys.stdout, "buffer", None)
    raw = getattr(binary, "raw", binary)
    if not isinstance(raw, SurvivingFile) or raw.is_terminal or isinstance(raw.error, BrokenPipeError):
        return None
    return raw.error
