"""Data sets in MNIST's file format (IDX), which torchvision downloads and decodes."""

from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING

from regexp.errors import DataError

if TYPE_CHECKING:
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


def read_idx(source: "Source") -> "Splits":
    """Read one of the data sets in MNIST's file format, as `read_idx_files` does."""
    return read_idx_files(source.name, IDX_DATASETS[source.name].directory(source.root))


def read_idx_files(name: str, directory: Path) -> "Splits":
    """Read a data set in MNIST's file format: 60,000 training and 10,000 test images of 28x28 pixels.

    torchvision's functions decode file by file. Its MNIST class is not used: it would unpickle files that older
    versions of it have left in the directory.

    Args:
        name: a key of `IDX_DATASETS`.
        directory: the directory that holds `IDX_FILES`.

    Raises:
        DataError: a file is missing or broken, or images and labels do not fit each other.
    """
    from regexp.data.splits import Splits

    train, test = (_read_split(name, directory, prefix) for prefix in ("train", "t10k"))
    return Splits(train, None, test, IDX_DATASETS[name].classes)


def _read_split(name: str, directory: Path, prefix: str) -> "Split":
    """Read the images and labels in the two files whose names begin with `prefix`."""
    from torchvision.datasets.mnist import read_image_file, read_label_file

    from regexp.data.splits import Split

    try:
        images = read_image_file(str(directory / f"{prefix}-images-idx3-ubyte"))
        labels = read_label_file(str(directory / f"{prefix}-labels-idx1-ubyte"))
    except (OSError, RuntimeError, AssertionError, ValueError, TypeError, KeyError, IndexError) as error:
        raise DataError(f"data={name}: {directory} holds broken files; remove them to download them again") from error
    max_label = len(IDX_DATASETS[name].classes) - 1
    if len(images) != len(labels) or len(labels) == 0 or int(labels.max()) > max_label:
        highest = f" up to {int(labels.max())}" if len(labels) else ""
        raise DataError(
            f"data={name}: {len(images):,} images and {len(labels):,} labels{highest} in {directory}; "
            "remove the files to download them again"
        )
    return Split(images.unsqueeze(1).numpy(), labels.long().numpy())
