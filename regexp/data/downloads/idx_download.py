"""Downloads of the data sets in MNIST's file format, by torchvision."""

from functools import partial
from pathlib import Path
from typing import Any

from regexp.data.downloads.idx import IDX_DATASETS, IDX_FILES, find_idx_files, read_idx_files
from regexp.data.downloads.transfer import Download, attempt, transfer
from regexp.data.sources import SourceFiles, data_directory


def find_or_download(name: str, root: str | None, path: str | None) -> SourceFiles:
    """Find the files of one of the data sets in MNIST's format, and download them if they are not there.

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
    """Let torchvision download a data set into `root`; `name` is a key of `IDX_DATASETS`. Raises as `transfer`."""
    folder = f"{IDX_DATASETS[name].loader}/raw"
    transfer(Download(name, folder, IDX_FILES, partial(_try_mirrors, name), partial(read_idx_files, name)), root)


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
        reason = attempt(downloader.download)
        if reason is None:
            return []
        reasons.append(f"{mirror}: {reason}")
    return reasons or ["torchvision knows no mirror"]
