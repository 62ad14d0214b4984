"""Writing files so that nothing is lost: whole or not at all."""

import os
import time
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

from regexp.errors import StorageError


def write_atomically(path: Path, content: bytes) -> None:
    """Replace a file's content; whoever reads it, and whenever the power fails, sees the old or the new."""
    part = path.with_name(f"{path.name}.{os.getpid()}.part")
    try:
        with part.open("wb") as file:
            file.write(content)
            file.flush()
            os.fsync(file.fileno())
        os.replace(part, path)
    except OSError:
        part.unlink(missing_ok=True)
        raise


def sync(path: Path) -> None:
    """Wait until a file is on the disk."""
    with path.open("rb") as file:
        os.fsync(file.fileno())


def log(directory: Path, message: str) -> None:
    """Append a line to a run's run.log."""
    with (directory / "run.log").open("a") as file:
        file.write(f"{time.strftime('%Y-%m-%d %H:%M:%S')}  {message}\n")


_ELSEWHERE = (
    "Make room, or choose another folder: hydra.run.dir=DIR (hydra.sweep.dir of a sweep, outputs in Python).\n"
    "The same command goes on."
)


@contextmanager
def storage_errors(directory: Path, remedy: str = _ELSEWHERE) -> Iterator[None]:
    """Say of a failed write where it was, why, and what to do. Raises StorageError."""
    try:
        yield
    except OSError as error:
        raise StorageError(
            f"{error.filename or directory} cannot be written: {error.strerror or error}\n{remedy}"
        ) from error
