"""Downloads of torchvision's data sets. A download is either complete or leaves no files."""

import contextlib
import io
import os
import socket
import warnings
from collections.abc import Iterator
from errno import EACCES, EDQUOT, EFBIG, EIO, ENOSPC, EPERM, EROFS
from http.client import HTTPException
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import Any
from urllib.error import URLError

from regexp.data.idx import IDX_DATASETS, IDX_FILES, find_idx_files, read_idx_files
from regexp.data.sources import SourceFiles, data_directory
from regexp.errors import DataError, StorageError
from regexp.utils.atomic_io import sync_file
from regexp.utils.messages import show_bytes

# Seconds within which a server must send something. torchvision sets no limit.
TIMEOUT = 30.0
_DISK_ERRORS = (EACCES, EDQUOT, EFBIG, EIO, ENOSPC, EPERM, EROFS)


def find_or_download(name: str, root: str | None, path: str | None) -> SourceFiles:
    """Find the files of one of torchvision's data sets, and download them if they are not there.

    Raises:
        DataError: the download failed; the message says which files to put where.
        StorageError: the directory cannot be written to.
    """
    directory = data_directory(root)
    files = find_idx_files(name, directory)
    if files is None:
        download(name, directory)
        files = [IDX_DATASETS[name].directory(directory) / file for file in IDX_FILES]
    return SourceFiles(directory, files, unpack=True)


def download(name: str, root: Path) -> None:
    """Let torchvision download one of its data sets into `root`.

    The files are downloaded into a temporary directory in `root` and moved to their final directory only when all of
    them have the right checksums and can be decoded. So an incomplete download is never mistaken for data, and two
    downloads at the same time do not disturb each other.

    Args:
        name: a key of `IDX_DATASETS`.
        root: the directory to download into.

    Raises:
        DataError: the download failed; the message says which files to put where.
        StorageError: `root` cannot be written to.
    """
    target = IDX_DATASETS[name].directory(root)
    try:
        root.mkdir(parents=True, exist_ok=True)
        with TemporaryDirectory(prefix=".download-", dir=root) as temporary_root:
            downloaded = IDX_DATASETS[name].directory(Path(temporary_root))
            if reasons := _try_mirrors(name, Path(temporary_root)):
                raise DataError(
                    f"data={name}: not in {show_bytes(str(root))}, and the download failed:\n"
                    + "\n".join(f"  {reason}" for reason in reasons)
                    + f"\nPut {', '.join(IDX_FILES)} into {show_bytes(str(target))},\n"
                    f"or name the directory that contains {IDX_DATASETS[name].loader}/raw with data.root=DIR, "
                    "or use data=digits, which needs no download."
                )
            read_idx_files(name, Path(temporary_root))
            target.mkdir(parents=True, exist_ok=True)
            for file in IDX_FILES:
                sync_file(downloaded / file)
                os.replace(downloaded / file, target / file)
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


def _try_mirrors(name: str, directory: Path) -> list[str]:
    """Download a data set into an empty directory from the first mirror that works.

    torchvision tries the next mirror by itself, but not after every kind of failure.

    Args:
        name: a key of `IDX_DATASETS`.
        directory: an empty directory.

    Returns:
        The reason why each mirror failed; empty after a success.

    Raises:
        OSError: the disk is full or cannot be written to.
    """
    import torchvision

    loader: Any = getattr(torchvision.datasets, IDX_DATASETS[name].loader)
    downloader = loader.__new__(loader)  # its constructor would unpickle files that older versions of it have left
    downloader.root = str(directory)
    reasons = []
    for mirror in loader.mirrors:
        downloader.mirrors = [mirror]
        try:
            with _socket_timeout(TIMEOUT), contextlib.redirect_stdout(io.StringIO()), warnings.catch_warnings():
                warnings.simplefilter("ignore")
                downloader.download()
            return []
        except (OSError, RuntimeError, HTTPException, ValueError) as error:
            if isinstance(error, OSError) and not isinstance(error, URLError) and error.errno in _DISK_ERRORS:
                raise
            # torchvision's message starts with a heading; its last line is the reason.
            lines = str(error).strip().splitlines() or [type(error).__name__]
            reasons.append(f"{mirror}: {lines[-1]}")
    return reasons or ["torchvision knows no mirror"]


@contextlib.contextmanager
def _socket_timeout(seconds: float) -> Iterator[None]:
    """Limit how long sockets that are opened within the block wait for the other side."""
    previous_timeout = socket.getdefaulttimeout()
    socket.setdefaulttimeout(seconds)
    try:
        yield
    finally:
        socket.setdefaulttimeout(previous_timeout)
