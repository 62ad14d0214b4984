"""Files that are written whole or not at all, and errors that say why a file could not be written."""

import os
import time
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

from regexp.errors import StorageError


def write_atomically(path: Path, content: bytes, sync: bool = True) -> None:
    """Replace the content of a file, so that readers see either the old or the new content, even after a power cut.

    Args:
        path: the file.
        content: its new content.
        sync: whether to wait until the content is on the disk, which takes milliseconds. Without that, a power cut in
            the next seconds may leave an empty file.
    """
    temporary = path.with_name(f"{path.name}.{os.getpid()}.part")
    try:
        with temporary.open("wb") as file:
            file.write(content)
            if sync:
                file.flush()
                os.fsync(file.fileno())
        os.replace(temporary, path)
    except OSError:
        temporary.unlink(missing_ok=True)
        raise


def sync_file(path: Path) -> None:
    """Wait until the content of a file is on the disk."""
    with path.open("rb") as file:
        os.fsync(file.fileno())


def append_to_log(directory: Path, message: str) -> None:
    """Append a line with the current time to the run.log of a run's directory."""
    with (directory / "run.log").open("a") as file:
        file.write(f"{time.strftime('%Y-%m-%d %H:%M:%S')}  {message}\n")


_DEFAULT_REMEDY = (
    "Free some space, or choose another directory with hydra.run.dir=DIR (for a sweep hydra.sweep.dir=DIR, in Python "
    "outputs=DIR).\nThen run the same command again to go on."
)


@contextmanager
def explain_storage_errors(directory: Path, remedy: str = _DEFAULT_REMEDY) -> Iterator[None]:
    """Turn an OSError into a StorageError that says which file cannot be written, why, and what to do.

    Args:
        directory: the directory to name if the error names no file.
        remedy: the lines that say what to do.

    Raises:
        StorageError: if the block raises OSError.
    """
    try:
        yield
    except OSError as error:
        raise StorageError(
            f"{error.filename or directory} cannot be written: {error.strerror or error}\n{remedy}"
        ) from error
