"""Downloads of data sets. A download is either complete or leaves no files."""

import contextlib
import io
import os
import socket
import warnings
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass
from errno import EACCES, EDQUOT, EFBIG, EIO, ENOSPC, EPERM, EROFS
from http.client import HTTPException
from pathlib import Path
from tempfile import TemporaryDirectory
from urllib.error import URLError

from regexp.errors import DataError, StorageError
from regexp.utils.atomic_io import sync_file
from regexp.utils.messages import show_bytes

# Seconds within which a server must send something. torchvision sets no limit.
TIMEOUT = 30.0
_DISK_ERRORS = (EACCES, EDQUOT, EFBIG, EIO, ENOSPC, EPERM, EROFS)


@dataclass(frozen=True)
class Download:
    """A data set that can be downloaded.

    Attributes:
        name: the name by which the configuration chooses the data set.
        folder: the directory of its files below the root, such as "MNIST/raw".
        files: the names of its files.
        fetch: a function that downloads the files into `folder` below the root that it is given, which is empty, and
            returns why that failed, a reason for each address; nothing after a success.
        check: a function that decodes the files in `folder` below the root that it is given; raises DataError.
    """

    name: str
    folder: str
    files: Sequence[str]
    fetch: Callable[[Path], Sequence[str]]
    check: Callable[[Path], object]


def transfer(download: Download, root: Path) -> None:
    """Download a data set into `root`.

    The files are downloaded into a temporary directory in `root` and moved to their final directory only when all of
    them are there and can be decoded. So an incomplete download is never mistaken for data, and two downloads at the
    same time do not disturb each other.

    Raises:
        DataError: the download failed; the message says which files to put where.
        StorageError: `root` cannot be written to.
    """
    name, target = download.name, root / download.folder
    try:
        root.mkdir(parents=True, exist_ok=True)
        with TemporaryDirectory(prefix=".download-", dir=root) as temporary_root:
            if reasons := download.fetch(Path(temporary_root)):
                raise DataError(
                    f"data={name}: not in {show_bytes(str(root))}, and the download failed:\n"
                    + "\n".join(f"  {reason}" for reason in reasons)
                    + f"\nPut {', '.join(download.files)} into {show_bytes(str(target))},\n"
                    f"or name the directory that contains {download.folder} with data.root=DIR, "
                    "or use data=digits, which needs no download."
                )
            download.check(Path(temporary_root))
            target.mkdir(parents=True, exist_ok=True)
            for file in download.files:
                sync_file(Path(temporary_root) / download.folder / file)
                os.replace(Path(temporary_root) / download.folder / file, target / file)
    except OSError as error:
        raise StorageError(
            f"data={name}: not in {show_bytes(str(root))}, and it cannot be downloaded there "
            f"({show_bytes(str(error.filename or root))}: {error.strerror or error});\n"
            "name another directory with data.root=DIR, or use data=digits, which needs no download."
        ) from error
    finally:
        if not target.exists():  # an empty directory would look as if it held the data
            with contextlib.suppress(OSError):
                root.rmdir()


def attempt(fetch: Callable[[], object]) -> str | None:
    """Let torchvision download something, and return why that failed; None after a success.

    Args:
        fetch: calls a function of torchvision.

    Raises:
        OSError: the disk is full or cannot be written to.
    """
    try:
        with _socket_timeout(TIMEOUT), contextlib.redirect_stdout(io.StringIO()), warnings.catch_warnings():
            warnings.simplefilter("ignore")
            fetch()
    except (OSError, RuntimeError, HTTPException, ValueError) as error:
        if isinstance(error, OSError) and not isinstance(error, URLError) and error.errno in _DISK_ERRORS:
            raise
        # torchvision's message starts with a heading; its last line is the reason.
        lines = str(error).strip().splitlines() or [type(error).__name__]
        return lines[-1]
    return None


def fetch_file(address: str, directory: Path, md5: str) -> list[str]:
    """Download one file into a directory under the last part of its address, and check it.

    Args:
        address: where the file is.
        directory: the directory to put it in; made if it is not there.
        md5: the hash of the file.

    Returns:
        Why that failed, in one entry; nothing after a success.

    Raises:
        OSError: the disk is full or cannot be written to.
    """
    from torchvision.datasets.utils import download_url

    reason = attempt(lambda: download_url(address, str(directory), md5=md5))
    return [] if reason is None else [f"{address}: {reason}"]


@contextlib.contextmanager
def _socket_timeout(seconds: float) -> Iterator[None]:
    """Limit how long sockets that are opened within the block wait for the other side."""
    previous_timeout = socket.getdefaulttimeout()
    socket.setdefaulttimeout(seconds)
    try:
        yield
    finally:
        socket.setdefaulttimeout(previous_timeout)
