"""Downloads: torchvision's own, whole or not at all."""

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

from regexp.data.idx import IDX_FILES, IDX_DATASETS, read_idx
from regexp.errors import DataError, StorageError
from regexp.utils.atomic_io import sync_file

# Seconds in which a server must send something. torchvision sets no limit of its own.
TIMEOUT = 30.0
_OF_THE_DISK = (EACCES, EDQUOT, EFBIG, EIO, ENOSPC, EPERM, EROFS)


def download(name: str, root: Path) -> None:
    """Let torchvision download one of its data sets into `root`.

    Its files go into a temporary folder there, and into place when all of them have the right checksums and could be
    decoded: one that is half finished is never taken for data, and two downloads at once do not meet.

    Raises:
        DataError: it could not be had; says what to put where.
        StorageError: the folder cannot be written.
    """
    target = IDX_DATASETS[name].folder(root)
    try:
        root.mkdir(parents=True, exist_ok=True)
        with TemporaryDirectory(prefix=".download-", dir=root) as folder:
            fetched = IDX_DATASETS[name].folder(Path(folder))
            if reasons := _fetch(name, Path(folder)):
                raise DataError(
                    f"data={name}: not in {root}, and it could not be downloaded:\n"
                    + "\n".join(f"  {reason}" for reason in reasons)
                    + f"\nPut {', '.join(IDX_FILES)} into {target},\n"
                    f"or name the folder that holds {IDX_DATASETS[name].loader}/raw with data.root=DIR, "
                    "or use data=digits, which needs no download."
                )
            read_idx(name, fetched)
            target.mkdir(parents=True, exist_ok=True)
            for file in IDX_FILES:
                sync_file(fetched / file)
                os.replace(fetched / file, target / file)
    except OSError as error:
        raise StorageError(
            f"data={name}: not in {root}, and it cannot be downloaded there "
            f"({error.filename or root}: {error.strerror or error});\n"
            "name another folder with data.root=DIR, or use data=digits, which needs no download."
        ) from error
    finally:
        if not target.exists():  # an empty folder would look as if the data were in it
            with contextlib.suppress(OSError):
                root.rmdir()


def _fetch(name: str, folder: Path) -> list[str]:
    """Download into an empty folder; returns why each mirror failed, nothing where one did not.

    torchvision would try the next mirror itself, but not after every kind of failure. Raises OSError of the disk.
    """
    import torchvision

    loader: Any = getattr(torchvision.datasets, IDX_DATASETS[name].loader)
    downloader = loader.__new__(loader)  # its constructor would unpickle what older versions of it have left
    downloader.root = str(folder)
    reasons = []
    for mirror in loader.mirrors:
        downloader.mirrors = [mirror]
        try:
            with _patient_for(TIMEOUT), contextlib.redirect_stdout(io.StringIO()), warnings.catch_warnings():
                warnings.simplefilter("ignore")
                downloader.download()
            return []
        except (OSError, RuntimeError, HTTPException, ValueError) as error:
            if isinstance(error, OSError) and not isinstance(error, URLError) and error.errno in _OF_THE_DISK:
                raise
            # torchvision's own message is a heading, and in its last line the reason
            lines = str(error).strip().splitlines() or [type(error).__name__]
            reasons.append(f"{mirror}: {lines[-1]}")
    return reasons or ["torchvision knows no mirror"]


@contextlib.contextmanager
def _patient_for(seconds: float) -> Iterator[None]:
    """Let no socket opened in here wait longer for the other side."""
    before = socket.getdefaulttimeout()
    socket.setdefaulttimeout(seconds)
    try:
        yield
    finally:
        socket.setdefaulttimeout(before)
