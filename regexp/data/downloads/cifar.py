"""CIFAR-10 and CIFAR-100 (Krizhevsky 2009), read from the binary version: the pickled one could run code."""

import contextlib
import hashlib
import os
import shutil
import tarfile
from collections.abc import Iterator
from dataclasses import dataclass
from functools import partial
from pathlib import Path, PurePosixPath
from typing import TYPE_CHECKING

from regexp.data.downloads.transfer import Download, fetch_file, transfer
from regexp.data.sources import SourceFiles, data_directory
from regexp.errors import DataError
from regexp.utils.messages import quote_word, show_bytes

if TYPE_CHECKING:
    from regexp.data.sources import Source
    from regexp.data.splits import Split, Splits

_ADDRESS = "https://www.cs.toronto.edu/~kriz/"
_IMAGE_SHAPE = (3, 32, 32)
_PIXELS = 3 * 32 * 32


@dataclass(frozen=True)
class CifarDataset:
    """One of the two data sets.

    Attributes:
        folder: the directory of the files in the archive, and below the root.
        archive: the name of the archive.
        md5: the hash of the archive, from the data set's page.
        train_files: the files of the training images, in order.
        test_file: the file of the test images.
        class_file: the file with the name of a class on each line.
        label_bytes: the number of labels before the pixels of an image; the last of them is used.
        num_classes: the number of classes.
        address: the address of the directory that holds the archive.
    """

    folder: str
    archive: str
    md5: str
    train_files: tuple[str, ...]
    test_file: str
    class_file: str
    label_bytes: int
    num_classes: int
    address: str = _ADDRESS

    @property
    def files(self) -> tuple[str, ...]:
        """The names of all files that are needed."""
        return (*self.train_files, self.test_file, self.class_file)


CIFAR_DATASETS = {
    "cifar10": CifarDataset(
        folder="cifar-10-batches-bin",
        archive="cifar-10-binary.tar.gz",
        md5="c32a1d4ab5d03f1284b67883e8d87530",
        train_files=tuple(f"data_batch_{i}.bin" for i in range(1, 6)),
        test_file="test_batch.bin",
        class_file="batches.meta.txt",
        label_bytes=1,
        num_classes=10,
    ),
    "cifar100": CifarDataset(
        folder="cifar-100-binary",
        archive="cifar-100-binary.tar.gz",
        md5="03b5dce01913d631647c71ecec9e9cb8",
        train_files=("train.bin",),
        test_file="test.bin",
        class_file="fine_label_names.txt",
        label_bytes=2,  # the coarse label, one of 20, comes first
        num_classes=100,
    ),
}


def find_cifar(name: str, root: str | None, path: str | None) -> SourceFiles:
    """Find the files of a data set; unpack its archive if only that is there, and download it otherwise.

    Raises:
        DataError: the archive is broken, or the download failed; the message says which files to put where.
        StorageError: the directory cannot be written to.
    """
    dataset, directory = CIFAR_DATASETS[name], data_directory(root)
    if directory.name == dataset.archive and directory.is_file():
        directory = directory.parent
    folder = _find_folder(dataset, directory)
    if folder is None:
        archive = directory / dataset.archive
        fetch = partial(_unpack, dataset, archive) if archive.is_file() else partial(_download, dataset)
        if archive.is_file():
            _check_archive(name, archive, dataset.md5)
        transfer(Download(name, dataset.folder, dataset.files, fetch, partial(read_cifar_files, name)), directory)
        folder = directory / dataset.folder
    return SourceFiles(folder, [folder / file for file in dataset.files])


def _find_folder(dataset: CifarDataset, root: Path) -> Path | None:
    """Return the directory of the files: in a root, or where they are one level off; None if they are not there."""
    for folder in _list_places(dataset, root):
        if all((folder / file).is_file() for file in dataset.files):
            return folder
    return None


def _list_places(dataset: CifarDataset, root: Path) -> Iterator[Path]:
    """Yield the directories that may hold the files, the usual one first."""
    yield root / dataset.folder
    yield root
    yield root.parent / dataset.folder  # the user has named the other data set, or the pickled version
    with contextlib.suppress(OSError):
        for name in sorted(entry.name for entry in os.scandir(root) if entry.is_dir()):
            yield root / name / dataset.folder


def _check_archive(name: str, archive: Path, md5: str) -> None:
    """Raise DataError if an archive is not the one that its data set's page offers."""
    with archive.open("rb") as content:
        archive_md5 = hashlib.file_digest(content, partial(hashlib.md5, usedforsecurity=False)).hexdigest()
    if archive_md5 != md5:
        raise DataError(
            f"data={name}: {show_bytes(str(archive))} is broken or another file (its MD5 is {archive_md5}, not {md5}); "
            "remove it to download it again"
        )


def _download(dataset: CifarDataset, root: Path) -> list[str]:
    """Download the archive, unpack its files into their folder below `root`, and return why that failed."""
    reasons = fetch_file(dataset.address + dataset.archive, root, dataset.md5)
    return reasons or _unpack(dataset, root / dataset.archive, root)


def _unpack(dataset: CifarDataset, archive: Path, root: Path) -> list[str]:
    """Unpack the files of an archive into their folder below `root`, and return why that failed.

    Only regular files of the expected names are unpacked, so that an archive cannot write anywhere else.
    """
    missing_files = set(dataset.files)
    (root / dataset.folder).mkdir()
    try:
        with tarfile.open(archive) as members:
            for member in members:
                path = PurePosixPath(member.name)
                content = members.extractfile(member) if member.isfile() else None
                if content is not None and path.name in missing_files and path.parent.name == dataset.folder:
                    with content, (root / dataset.folder / path.name).open("wb") as file:
                        shutil.copyfileobj(content, file)
                    missing_files.remove(path.name)
    except (tarfile.TarError, EOFError) as error:
        return [f"{show_bytes(str(archive))}: {error}"]
    return [f"{show_bytes(str(archive))}: holds no {file}" for file in sorted(missing_files)]


def read_cifar(source: "Source") -> "Splits":
    """Read one of the data sets, as `read_cifar_files` does."""
    return _read_folder(source.name, source.root)


def read_cifar_files(name: str, root: Path) -> "Splits":
    """Read a data set from its usual folder: 50,000 training and 10,000 test images of 32x32 pixels in color.

    Args:
        name: a key of `CIFAR_DATASETS`.
        root: the directory that holds the folder.

    Raises:
        DataError: a file is missing or broken.
    """
    return _read_folder(name, root / CIFAR_DATASETS[name].folder)


def _read_folder(name: str, folder: Path) -> "Splits":
    from regexp.data.splits import Splits

    dataset = CIFAR_DATASETS[name]
    train, test = _read_split(name, folder, dataset.train_files), _read_split(name, folder, (dataset.test_file,))
    text = (folder / dataset.class_file).read_text(encoding="utf-8", errors="backslashreplace")
    classes = tuple(line.strip() for line in text.splitlines() if line.strip())
    if len(set(classes)) != dataset.num_classes:
        raise _broken_file_error(
            name, folder / dataset.class_file, f"names {len(classes)} classes, not {dataset.num_classes}"
        )
    return Splits(train, None, test, classes)


def _read_split(name: str, folder: Path, files: tuple[str, ...]) -> "Split":
    """Read the images of some files: labels of one byte each, then the red, the green and the blue pixels."""
    import numpy as np

    from regexp.data.splits import Split

    dataset = CIFAR_DATASETS[name]
    record_bytes = dataset.label_bytes + _PIXELS
    records = []
    for file in files:
        content = np.fromfile(folder / file, np.uint8)
        if len(content) == 0 or len(content) % record_bytes:
            raise _broken_file_error(name, folder / file, f"{len(content):,} bytes are not images of {record_bytes:,}")
        records.append(content.reshape(-1, record_bytes))
    table = np.concatenate(records)
    labels = table[:, dataset.label_bytes - 1].astype(np.int64)
    if labels.max() >= dataset.num_classes:
        raise _broken_file_error(name, folder / files[0], f"labels go up to {labels.max()}")
    return Split(table[:, dataset.label_bytes :].reshape(-1, *_IMAGE_SHAPE).copy(), labels)


def _broken_file_error(name: str, file: Path, problem: str) -> DataError:
    remedy = f"remove the folder to download it again: rm -r {quote_word(str(file.parent))}"
    return DataError(f"data={name}: {show_bytes(str(file))} is broken ({problem}); {remedy}")
