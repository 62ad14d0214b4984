"""Data sets in MNIST's file format (IDX), which torchvision downloads: where they may be, and how they are read."""

import contextlib
import gzip
import math
import os
import struct
import zlib
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING

from regexp.errors import DataError
from regexp.utils.messages import show_bytes

if TYPE_CHECKING:
    import numpy as np
    from numpy.typing import NDArray

    from regexp.data.sources import Source
    from regexp.data.splits import Split, Splits

IDX_FILES = (
    "train-images-idx3-ubyte",
    "train-labels-idx1-ubyte",
    "t10k-images-idx3-ubyte",
    "t10k-labels-idx1-ubyte",
)


@dataclass(frozen=True)
class IdxDataset:
    """A data set in MNIST's file format.

    Attributes:
        loader: name of its class in torchvision.datasets, which is also the name of its directory.
        classes: the name of each class, in the order of the labels.
    """

    loader: str
    classes: tuple[str, ...]

    def directory(self, root: Path) -> Path:
        """Return the directory below `root` that holds the files, where torchvision puts them too."""
        return root / self.loader / "raw"


IDX_DATASETS = {
    # LeCun, Cortes and Burges 1998
    "mnist": IdxDataset("MNIST", tuple("0123456789")),
    # Xiao, Rasul and Vollgraf 2017
    "fashion_mnist": IdxDataset(
        "FashionMNIST",
        ("T-shirt/top", "Trouser", "Pullover", "Dress", "Coat", "Sandal", "Shirt", "Sneaker", "Bag", "Ankle boot"),
    ),
    # Clanuwat et al. 2018
    "kmnist": IdxDataset("KMNIST", ("o", "ki", "su", "tsu", "na", "ha", "ma", "ya", "re", "wo")),
}
# What paths of these data sets contain, in lower case; the first that fits decides.
_MARKS = {"fashion": "fashion_mnist", "kmnist": "kmnist", "kuzushiji": "kmnist", "mnist": "mnist"}


def find_idx_files(name: str, root: Path) -> list[Path] | None:
    """Find the files of a data set, compressed or not, in a root or where they are one level off.

    Args:
        name: a key of `IDX_DATASETS`.
        root: the directory that holds LOADER/raw, or the one that the user has taken for it.

    Returns:
        A path for each of `IDX_FILES`; None if the files are not there.

    Raises:
        DataError: the root holds another data set of this family, whose files have the same names.
    """
    other_name = None
    for directory in _list_places(name, root):
        files = [_find_file(directory, file) for file in IDX_FILES]
        complete_files = [file for file in files if file is not None]
        if len(complete_files) < len(IDX_FILES):
            continue
        if _dataset_of_path(directory) in (None, name):
            return complete_files
        other_name = _dataset_of_path(directory)
    if other_name is not None:
        raise DataError(
            f"data={name}: {show_bytes(str(root))} holds {other_name}, by its name; type data={other_name}, or name "
            f"the directory that contains {IDX_DATASETS[name].loader}/raw with data.root=DIR"
        )
    return None


def _list_places(name: str, root: Path) -> Iterator[Path]:
    """Yield the directories that may hold the files of a data set, the usual one first."""
    dataset = IDX_DATASETS[name]
    yield dataset.directory(root)
    yield from (root / "raw", root, root / dataset.loader)
    # The user has named the directory of another data set of this family, or the one above all.
    path, loaders = root.absolute(), {dataset.loader for dataset in IDX_DATASETS.values()}
    if path.name in loaders:
        yield dataset.directory(path.parent)
    if path.name == "raw" and path.parent.name in loaders:
        yield dataset.directory(path.parent.parent)
    with contextlib.suppress(OSError):
        for folder in sorted(entry.name for entry in os.scandir(root) if entry.is_dir()):
            yield dataset.directory(root / folder)


def _find_file(directory: Path, name: str) -> Path | None:
    """Return the path of one of `IDX_FILES` under one of the names that it has in the wild; None if it is not there."""
    spellings = (name, name.replace("-idx", ".idx"))
    candidates = [directory / spelling for spelling in spellings]
    candidates += [directory / folder / spelling for folder in spellings for spelling in spellings]
    candidates += [directory / f"{spelling}.gz" for spelling in spellings]
    for file in candidates:
        if file.is_file() and (file.suffix != ".gz" or _is_whole(file)):
            return file
    return None


def _is_whole(file: Path) -> bool:
    """Return whether a compressed file is as long as its header says: a download that broke off leaves a part."""
    try:
        with gzip.open(file) as content:
            header = content.read(16)
        with file.open("rb") as content:
            content.seek(-4, os.SEEK_END)
            [length] = struct.unpack("<I", content.read())  # gzip's last four bytes
    except (OSError, EOFError, zlib.error, struct.error):
        return False
    dimensions = header[3]
    sizes = struct.unpack_from(f">{dimensions}I", header, 4) if len(header) >= 4 + 4 * dimensions else (0,)
    return bool(length == 4 + 4 * dimensions + math.prod(sizes))


def _dataset_of_path(directory: Path) -> str | None:
    """Return the data set that the last two names of a path speak of; None if they speak of none."""
    for part in directory.absolute().parts[:-3:-1]:
        word = "".join(filter(str.isalpha, part.lower()))
        for mark, name in _MARKS.items():
            if mark in word:
                return name
    return None


def read_idx(source: "Source") -> "Splits":
    """Read one of the data sets in MNIST's file format, as `read_idx_files` does."""
    return read_idx_files(source.name, source.root)


def read_idx_files(name: str, root: Path) -> "Splits":
    """Read a data set in MNIST's file format: 60,000 training and 10,000 test images of 28x28 pixels.

    Args:
        name: a key of `IDX_DATASETS`.
        root: the directory in which `find_idx_files` finds its files.

    Raises:
        DataError: a file is missing or broken, or images and labels do not fit each other.
    """
    from regexp.data.splits import Splits

    files = find_idx_files(name, root)
    if files is None:
        raise DataError(f"data={name}: not in {show_bytes(str(root))}")
    train, test = _read_split(name, *files[:2]), _read_split(name, *files[2:])
    return Splits(train, None, test, IDX_DATASETS[name].classes)


def _read_split(name: str, image_file: Path, label_file: Path) -> "Split":
    """Read the images and labels in two files."""
    from regexp.data.splits import Split

    directory = show_bytes(str(image_file.parent))
    images, labels = _read_array(image_file, 3), _read_array(label_file, 1)
    if images is None or labels is None:
        raise DataError(f"data={name}: {directory} holds broken files; remove them to download them again")
    max_label = len(IDX_DATASETS[name].classes) - 1
    if len(images) != len(labels) or len(labels) == 0 or int(labels.max()) > max_label:
        highest = f" up to {int(labels.max())}" if len(labels) else ""
        raise DataError(
            f"data={name}: {len(images):,} images and {len(labels):,} labels{highest} in {directory}; "
            "remove the files to download them again"
        )
    return Split(images[:, None], labels.astype("int64"))


def _read_array(file: Path, dimensions: int) -> "NDArray[np.uint8] | None":
    """Read an array of bytes: two zeros, the type (8), the number of dimensions, big-endian sizes, and the bytes.

    Args:
        file: the file, compressed or not.
        dimensions: how many the array must have.

    Returns:
        The array; None if the file is broken or holds another one.
    """
    import numpy as np

    try:
        content = gzip.decompress(file.read_bytes()) if file.suffix == ".gz" else file.read_bytes()
    except (OSError, EOFError, zlib.error):
        return None
    start = 4 + 4 * dimensions
    if content[:4] != bytes((0, 0, 8, dimensions)) or len(content) < start:
        return None
    sizes = struct.unpack_from(f">{dimensions}I", content, 4)
    if len(content) - start != math.prod(sizes):
        return None
    return np.frombuffer(content, np.uint8, offset=start).reshape(sizes).copy()  # writable, as torch wants it
