"""Errors of the file system, told with what to do about them."""

import errno
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

from regexp.errors import StorageError
from regexp.utils.messages import say

# What to do about an error, by its number. The rest of the sentence names another way.
_FIRST_STEPS = {
    errno.ENOSPC: "Free some space",
    errno.EDQUOT: "Free some of your quota",
    errno.EFBIG: "Raise the limit on the size of files (ulimit -f)",
    errno.EACCES: "Change its permissions",
    errno.EPERM: "Change its permissions",
    errno.EROFS: "Make the file system writable",
    errno.ENOENT: "Put back what was deleted or renamed",
    errno.ESTALE: "Put back what was deleted or renamed",
    errno.ENOTDIR: "Move that file away",
    errno.EEXIST: "Move that file away",
    errno.EISDIR: "Move that directory away",
    errno.EIO: "Check the disk, which failed to read or write",
    errno.EMFILE: "Raise the limit on open files (ulimit -n)",
    errno.ENFILE: "Close other programs, which have too many files open",
    errno.ENAMETOOLONG: "Choose a shorter name",
}


def describe_storage_error(error: OSError, path: Path, other_way: str | None = None) -> str:
    """Return a message that says which file cannot be written, why, and what to do.

    Args:
        error: the error of the file system.
        path: the file or directory to name if the error names none.
        other_way: what else to do, in the imperative; None: choose another directory for the runs.
    """
    file, reason = Path(error.filename or path), error.strerror or str(error)
    if error.errno in (errno.ENOTDIR, errno.EEXIST):
        obstacle = next((part for part in [*reversed(file.parents), file] if part.exists() and not part.is_dir()), None)
        if obstacle is not None:
            reason = f"{obstacle} is a file, not a directory"
    other_way = _choose_other_directory() if other_way is None else other_way
    first_step = _FIRST_STEPS.get(error.errno or 0)
    remedy = f"{first_step}, or {other_way}." if first_step else f"{other_way[0].upper()}{other_way[1:]}."
    return f"{file} cannot be written: {reason}\n{remedy}"


@contextmanager
def explain_storage_errors(directory: Path, other_way: str | None = None) -> Iterator[None]:
    """Turn an OSError into a StorageError that says which file cannot be written, why, and what to do.

    Args:
        directory: the directory to name if the error names no file.
        other_way: what to do other than mending the file system, in the imperative; None: choose another directory.

    Raises:
        StorageError: if the block raises OSError.
    """
    try:
        yield
    except OSError as error:
        raise StorageError(describe_storage_error(error, directory, other_way)) from error


def _choose_other_directory() -> str:
    """Return how to choose another directory for the runs."""
    return say(
        "choose another directory with hydra.run.dir=DIR (for a sweep hydra.sweep.dir=DIR).\n"
        "The same command then goes on from what is stored there",
        "choose another directory with outputs=DIR.\nThe same call then goes on from what is stored there",
    )
