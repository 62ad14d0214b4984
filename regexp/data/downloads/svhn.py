"""Street View House Numbers (Netzer et al. 2011): digits cropped from photographs."""

from pathlib import Path
from typing import TYPE_CHECKING, Any

from regexp.data.downloads.transfer import Download, fetch_file, transfer
from regexp.data.sources import SourceFiles, data_directory
from regexp.errors import DataError
from regexp.utils.messages import show_bytes

if TYPE_CHECKING:
    from regexp.data.sources import Source
    from regexp.data.splits import Split, Splits

# The directory below the root that downloads go to.
SVHN_FOLDER = "SVHN"
SVHN_FILES = ("train_32x32.mat", "test_32x32.mat")
_SPLITS = ("train", "test")  # torchvision's names


def find_svhn(name: str, root: str | None, path: str | None) -> SourceFiles:
    """Find the files of the data set, and download them if they are not there.

    Raises:
        DataError: the download failed; the message says which files to put where.
        StorageError: the directory cannot be written to.
    """
    directory = data_directory(root)
    places = (directory / SVHN_FOLDER, directory, directory / SVHN_FOLDER.lower())
    folder = next((place for place in places if all((place / file).is_file() for file in SVHN_FILES)), None)
    if folder is None:
        transfer(Download(name, SVHN_FOLDER, SVHN_FILES, _fetch, _read_root), directory)
        folder = directory / SVHN_FOLDER
    return SourceFiles(folder, [folder / file for file in SVHN_FILES])


def _fetch(root: Path) -> list[str]:
    """Download the files from the addresses that torchvision knows, and return why that failed."""
    from torchvision.datasets import SVHN

    for split in _SPLITS:
        address, _, md5 = SVHN.split_list[split]
        if reasons := fetch_file(address, root / SVHN_FOLDER, md5):
            return reasons
    return []


def read_svhn(source: "Source") -> "Splits":
    """Read the data set: 73,257 training and 26,032 test images of 32x32 pixels in color.

    Raises:
        DataError: a file is broken.
    """
    return _read_folder(source.root)


def _read_root(root: Path) -> "Splits":
    return _read_folder(root / SVHN_FOLDER)


def _read_folder(folder: Path) -> "Splits":
    from regexp.data.splits import Splits

    train, test = (_read_file(folder / file) for file in SVHN_FILES)
    return Splits(train, None, test, tuple("0123456789"))


def _read_file(file: Path) -> "Split":
    """Read a file of Matlab: pixels X [32, 32, 3, N] and labels y [N, 1] from 1 to 10, where 10 stands for 0."""
    import numpy as np
    from scipy.io import loadmat

    from regexp.data.splits import Split

    try:
        variables: dict[str, Any] = loadmat(file, variable_names=["X", "y"])
        pixels, labels = np.asarray(variables["X"]), np.asarray(variables["y"]).ravel()
    except MemoryError:  # is no fault of the file
        raise
    except Exception as error:  # a broken file can make scipy raise almost anything
        raise _broken_file_error(file, str(error) or type(error).__name__) from error
    if pixels.dtype != np.uint8 or pixels.shape != (32, 32, 3, len(labels)) or len(labels) == 0:
        raise _broken_file_error(file, f"X is {pixels.dtype.name} {list(pixels.shape)} for {len(labels):,} labels")
    if labels.dtype.kind not in "iu" or labels.min() < 1 or labels.max() > 10:
        raise _broken_file_error(file, "y must be from 1 to 10")
    return Split(np.ascontiguousarray(pixels.transpose(3, 2, 0, 1)), labels.astype(np.int64) % 10)


def _broken_file_error(file: Path, problem: str) -> DataError:
    return DataError(f"data=svhn: {show_bytes(str(file))} is broken ({problem}); remove it to download it again")
