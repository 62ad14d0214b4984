"""Files that are written whole or not at all, also through a power cut; and text that is read as UTF-8."""

import errno
import os
import time
from contextlib import suppress
from pathlib import Path

from regexp.utils.messages import show_bytes

# What some network and user-space file systems answer when a directory is to be synced.
_CANNOT_SYNC = (errno.EINVAL, errno.ENOTSUP, errno.EACCES, errno.EISDIR)


def write_atomically(path: Path, content: bytes, sync: bool = True) -> None:
    """Replace the content of a file, so that readers see either the old or the new content, even after a power cut.

    Args:
        path: the file.
        content: its new content.
        sync: whether to wait until content and name are on the disk, which takes milliseconds. Without that, a power
            cut in the next seconds may leave an empty file.
    """
    temporary = write_beside(path, content, sync)
    try:
        os.replace(temporary, path)
    except OSError:
        with suppress(OSError):
            temporary.unlink()
        raise
    if sync:
        sync_directory(path.parent)


def write_beside(path: Path, content: bytes, sync: bool = True) -> Path:
    """Write the content that a file will have to a temporary file beside it, and return that file's path.

    Args:
        path: the file that the temporary one will replace.
        content: the content.
        sync: whether to wait until the content is on the disk.
    """
    temporary = path.with_name(f"{path.name}.{os.getpid()}.part")
    try:
        with temporary.open("wb") as file:
            file.write(content)
            if sync:
                file.flush()
                os.fsync(file.fileno())
    except OSError as error:
        with suppress(OSError):
            temporary.unlink()
        error.filename = str(path)  # write() names none
        raise
    return temporary


def sync_file(path: Path) -> None:
    """Wait until the content of a file is on the disk."""
    with path.open("rb") as file:
        os.fsync(file.fileno())


def sync_directory(path: Path) -> None:
    """Wait until the names of a directory's files are on the disk, where its file system can do that."""
    try:
        descriptor = os.open(path, os.O_RDONLY)
    except PermissionError:  # it may be written to but not listed
        return
    try:
        os.fsync(descriptor)
    except OSError as error:
        if error.errno not in _CANNOT_SYNC:
            raise
    finally:
        os.close(descriptor)


def append_to_log(directory: Path, message: str) -> None:
    """Append a line with the current time to the run.log of a run's directory."""
    with (directory / "run.log").open("a", encoding="utf-8") as file:
        file.write(f"{time.strftime('%Y-%m-%d %H:%M:%S')}  {show_bytes(message)}\n")


def read_text(path: Path) -> str:
    """Return the text of a file as UTF-8, whatever the locale; a byte-order mark, as Windows writes it, is left out.

    Raises:
        UnicodeError: the file is not UTF-8; the message names the file and the line.
    """
    content = path.read_bytes()
    try:
        return content.decode("utf-8-sig").replace("\r\n", "\n")
    except UnicodeDecodeError as error:
        line = content.count(b"\n", 0, error.start) + 1
        raise UnicodeError(
            f"{path}, line {line}: is not UTF-8 (byte 0x{content[error.start]:02x}); save it as UTF-8"
        ) from error
