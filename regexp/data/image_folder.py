"""The user's own pictures in a folder, whose subfolders are the splits and classes."""

import os
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING

from regexp.data.sources import Source, SourceFiles
from regexp.errors import DataError

if TYPE_CHECKING:
    from regexp.data.splits import Splits

# The split that each folder name stands for.
SPLIT_FOLDERS = {"train": "train", "val": "validation", "test": "test"}
SUFFIXES = (".png", ".jpg", ".jpeg")
# Suffixes of pictures that are refused, because skipping them like any other file would lose them silently.
_UNREAD = (".avif", ".bmp", ".gif", ".heic", ".heif", ".jfif", ".jp2", ".pbm", ".pgm", ".ppm", ".tif", ".tiff", ".webp")
# Other usual names for the folders of splits, which are therefore not taken for classes.
_SYNONYMS = {"training": "train", "valid": "val", "validation": "val", "dev": "val", "testing": "test"}


@dataclass(frozen=True)
class ImageFolder:
    """The pictures of a folder, by split and class.

    Attributes:
        root: the folder.
        classes: the names of the class folders, in the order of the labels.
        samples: (file, label) of each picture, by split: "train", and if they exist "validation" and "test".
    """

    root: Path
    classes: tuple[str, ...]
    samples: dict[str, list[tuple[Path, int]]]

    def files(self) -> list[Path]:
        """Return the files of all pictures, split by split."""
        return [file for samples in self.samples.values() for file, _ in samples]


def find_pictures(name: str, root: str | None, path: str | None) -> SourceFiles:
    """Find the pictures in the user's folder, whose names decide the classes.

    Raises:
        DataError: there is no such folder, or it is not arranged as described in `scan_image_folder`.
    """
    folder = scan_image_folder(root)
    return SourceFiles(folder.root, folder.files(), names_matter=True)


def read_image_folder(source: Source) -> "Splits":
    """Read the pictures in the user's folder; raise DataError if one cannot be read."""
    import numpy as np

    from regexp.data.decode import decode_pictures
    from regexp.data.splits import Split, Splits

    folder = scan_image_folder(str(source.root))
    images = decode_pictures(folder.files(), source.image_size, source.grayscale)
    splits = {}
    start = 0
    for name, samples in folder.samples.items():
        labels = np.array([label for _, label in samples], np.int64)
        splits[name] = Split(images[start : start + len(labels)], labels)
        start += len(labels)
    # The name of a folder on disk need not be valid text.
    classes = tuple(os.fsencode(name).decode(errors="replace") for name in folder.classes)
    return Splits(splits["train"], splits.get("validation"), splits.get("test"), classes)


def scan_image_folder(root: str | None) -> ImageFolder:
    """Find the pictures below a folder.

    They lie in class folders, or in class folders of train/, val/ and test/. Labels follow the sorted class names.

    Args:
        root: the folder as the user typed it; None or "" if no folder was named.

    Raises:
        DataError: no folder was named, or it is not laid out like this.
        OSError: it cannot be read.
    """
    if not root:
        raise _error("name the folder that holds a folder of pictures for each class: data.root=DIR")
    folder = Path(root).expanduser()
    if not folder.is_dir():
        problem = (
            "is a file, not a folder; if it is an archive, unpack it" if folder.is_file() else "there is no such folder"
        )
        raise _error(f"data.root={root}: {problem}")
    split_folders = {SPLIT_FOLDERS[name]: folder / name for name in _split_folder_names(folder)} or {"train": folder}
    classes = _class_names(split_folders["train"])
    for split_folder in split_folders.values():
        _check_classes(split_folders["train"], classes, split_folder)
    samples: dict[str, list[tuple[Path, int]]] = {}
    for split, split_folder in split_folders.items():
        samples[split] = []
        for label, name in enumerate(classes):
            samples[split] += [(file, label) for file in _find_pictures(split_folder / name)]
    return ImageFolder(folder, tuple(classes), samples)


def _split_folder_names(root: Path) -> list[str]:
    """Return the names among train, val and test that a folder has; none if it holds class folders."""
    names = _folder_names(root)
    meanings = {name: _SYNONYMS.get(name.lower(), name.lower()) for name in names}
    split_names = [name for name in SPLIT_FOLDERS if name in names]
    other_names = [name for name in names if name not in SPLIT_FOLDERS]
    if other_names and not split_names and all(meaning in SPLIT_FOLDERS for meaning in meanings.values()):
        split_names = other_names  # Train/ and Test/ are misspelt splits, not two classes
    if not split_names:
        return []
    if other_names:
        meaning = meanings[other_names[0]]
        remedy = (
            f"rename it to {meaning}/" if meaning in SPLIT_FOLDERS else "put class folders into train/, val/ and test/"
        )
        raise _error(f"{root / other_names[0]} is not one of train/, val/ and test/; {remedy}")
    if "train" not in split_names:
        raise _error(f"{root} has {split_names[0]}/ but no train/; add it (no class can be called train, val or test)")
    return split_names


def _class_names(folder: Path) -> list[str]:
    """Return the sorted names of the class folders, at least two."""
    names, loose_pictures = _folder_names(folder), _loose_pictures(folder)
    if not names:
        problem = (
            f"its pictures, such as {loose_pictures[0]}, lie directly in it"
            if loose_pictures
            else "it holds no folders"
        )
        raise _error(f"{folder} needs a folder of pictures for each class, such as {folder / 'cats'}, but {problem}")
    if loose_pictures:
        raise _error(
            f"{folder / loose_pictures[0]} belongs to no class; move it into one of the folders beside it, or elsewhere"
        )
    if len(names) == 1:
        only_class = folder / names[0]
        hint = (
            f"; if the classes are the folders in it, use data.root={only_class}" if _folder_names(only_class) else ""
        )
        raise _error(f"{folder} holds only one class, {names[0]}; at least two are needed{hint}")
    return names


def _loose_pictures(folder: Path) -> list[str]:
    """Return the names of the pictures that lie directly in a folder."""
    names = sorted(os.listdir(folder))
    return [name for name in names if name.lower().endswith(SUFFIXES) and not name.startswith(".")]


def _check_classes(train: Path, classes: Sequence[str], folder: Path) -> None:
    """Check that the folder of a split has the class folders of the training set.

    Raises:
        DataError: a class folder has no counterpart.
    """
    names = _folder_names(folder)
    for name in names:
        if name not in classes:
            raise _missing_counterpart(folder / name, train)
    for name in classes:
        if name not in names:
            raise _missing_counterpart(train / name, folder)


def _missing_counterpart(class_folder: Path, split_folder: Path) -> DataError:
    return _error(f"{class_folder} has no counterpart in {split_folder}; every split needs pictures of every class")


def _find_pictures(folder: Path) -> list[Path]:
    """Return the pictures of a class, at least one."""
    pictures = list(_walk(folder, ()))
    if not pictures:
        raise _error(f"{folder} holds no pictures ({', '.join(SUFFIXES)})")
    return pictures


def _walk(folder: Path, parents: Sequence[str]) -> Iterator[Path]:
    """Yield the pictures below a folder, sorted by name.

    Links are followed, except back to one of the folders that the walk is in.

    Args:
        folder: the folder to walk through.
        parents: the real paths of the folders that the walk is in.
    """
    real_path = os.path.realpath(folder)
    if real_path in parents:
        return
    for entry in sorted(os.scandir(folder), key=lambda entry: entry.name):
        suffix = os.path.splitext(entry.name)[1].lower()
        if entry.name.startswith("."):
            continue
        if entry.is_dir():
            yield from _walk(folder / entry.name, (*parents, real_path))
        elif suffix in SUFFIXES:
            yield folder / entry.name
        elif suffix in _UNREAD:
            raise _error(f"{entry.path} is neither PNG nor JPEG; convert it, or remove it from the folder")


def _folder_names(folder: Path) -> list[str]:
    """Return the sorted names of the folders in a folder, without hidden ones."""
    return sorted(entry.name for entry in os.scandir(folder) if entry.is_dir() and not entry.name.startswith("."))


def _error(message: str) -> DataError:
    return DataError(f"data=image_folder: {message}")
