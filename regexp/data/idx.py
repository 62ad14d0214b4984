"""The data sets in MNIST's file format, which torchvision downloads and decodes."""

from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING

from regexp.errors import DataError

if TYPE_CHECKING:
    from regexp.data.splits import Split, Splits

IDX_FILES = (
    "train-images-idx3-ubyte",
    "train-labels-idx1-ubyte",
    "t10k-images-idx3-ubyte",
    "t10k-labels-idx1-ubyte",
)


@dataclass(frozen=True)
class IdxDataset:
    """A data set of this family.

    Attributes:
        loader: its class in torchvision.datasets, after which the folder of its files is named too.
        classes: their names, by label.
    """

    loader: str
    classes: tuple[str, ...]

    def folder(self, root: Path) -> Path:
        """Where its files lie below a root."""
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


def read_idx(name: str, folder: Path) -> "Splits":
    """60,000 training and 10,000 test images of 28x28 pixels, from the files in `folder`.

    torchvision decodes them, file by file: its MNIST class would unpickle what older versions of it have left there.
    Raises DataError if the files are not what they should be.
    """
    from regexp.data.splits import Splits

    train, test = (_read_part(name, folder, prefix) for prefix in ("train", "t10k"))
    return Splits(train, None, test, IDX_DATASETS[name].classes)


def _read_part(name: str, folder: Path, prefix: str) -> "Split":
    from torchvision.datasets.mnist import read_image_file, read_label_file

    from regexp.data.splits import Split

    try:
        images = read_image_file(str(folder / f"{prefix}-images-idx3-ubyte"))
        labels = read_label_file(str(folder / f"{prefix}-labels-idx1-ubyte"))
    except (OSError, RuntimeError, AssertionError, ValueError, TypeError, KeyError, IndexError) as error:
        raise DataError(f"data={name}: {folder} holds broken files; remove them to download them again") from error
    largest = len(IDX_DATASETS[name].classes) - 1
    if len(images) != len(labels) or len(labels) == 0 or int(labels.max()) > largest:
        highest = f" up to {int(labels.max())}" if len(labels) else ""
        raise DataError(
            f"data={name}: {len(images):,} images and {len(labels):,} labels{highest} in {folder}; "
            "remove the files to download them again"
        )
    return Split(images.unsqueeze(1).numpy(), labels.long().numpy())
