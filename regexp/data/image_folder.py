"""The user's own pictures in a folder, whose subfolders are the splits and classes."""

import os
import unicodedata
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING

from regexp.config.words.homes import expand_home
from regexp.data.leavings import OUTPUTS, LeftOut
from regexp.data.picture_files import FORMAT_NAMES, is_picture, is_unreadable
from regexp.data.sources import Source, SourceFiles
from regexp.errors import DataError
from regexp.utils.messages import list_first, quote_word, show_bytes

if TYPE_CHECKING:
    from regexp.data.splits import Splits

# The split that each folder name stands for.
SPLIT_FOLDERS = {"train": "train", "val": "validation", "test": "test"}
# Other usual names for the folders of splits, which are therefore not taken for classes.
_SYNONYMS = {"training": "train", "valid": "val", "validation": "val", "dev": "val", "testing": "test"}

# The folders of each class by its name. There are several where a name is spelt both in NFC and in NFD.
ClassFolders = Mapping[str, Sequence[Path]]


@dataclass(frozen=True)
class ImageFolder:
    """The pictures of a folder, by split and class.

    Attributes:
        root: the folder.
        classes: the names of the class folders, in the order of the labels.
        samples: (file, label) of each picture, by split: "train", and if they exist "validation" and "test".
        left_out: what lies in the folder without belonging to the pictures.
    """

    root: Path
    classes: tuple[str, ...]
    samples: dict[str, list[tuple[Path, int]]]
    left_out: LeftOut

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
    """Read the pictures in the user's folder; raise DataError if some cannot be read."""
    import numpy as np

    from regexp.data.decode import decode_pictures
    from regexp.data.splits import Split, Splits

    folder = scan_image_folder(str(source.root))
    images, warnings = decode_pictures(folder.files(), source.image_size, source.grayscale, source.scale)
    splits = {}
    start = 0
    for name, samples in folder.samples.items():
        labels = np.array([label for _, label in samples], np.int64)
        splits[name] = Split(images[start : start + len(labels)], labels)
        start += len(labels)
    # The name of a folder on disk need not be valid text.
    classes = tuple(show_bytes(name) for name in folder.classes)
    notes = {"left out": folder.left_out.describe(), "warning": "; ".join(warnings)}
    notes = {heading: text for heading, text in notes.items() if text}
    return Splits(splits["train"], splits.get("validation"), splits.get("test"), classes, notes)


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
    folder = expand_home(root)
    if not folder.is_dir():
        problem = (
            "is a file, not a folder; if it is an archive, unpack it" if folder.is_file() else "there is no such folder"
        )
        raise _error(f"data.root={root}: {problem}")
    left_out = LeftOut()
    names = _split_folder_names(folder, left_out)
    split_folders = {SPLIT_FOLDERS[name]: folder / name for name in names} or {"train": folder}
    class_folders = {split: _find_classes(split_folder, left_out) for split, split_folder in split_folders.items()}
    classes = sorted(class_folders["train"])
    _check_number_of_classes(split_folders["train"], class_folders["train"])
    samples: dict[str, list[tuple[Path, int]]] = {}
    unreadable: list[Path] = []
    for split, split_folder in split_folders.items():
        _check_classes(split_folders["train"], class_folders["train"], split_folder, class_folders[split])
    for split in split_folders:
        samples[split] = []
        for label, name in enumerate(classes):
            files = [file for folder in class_folders[split][name] for file in _walk(folder, (), left_out)]
            unreadable += filter(is_unreadable, files)
            samples[split] += [(file, label) for file in files]
            if not files:
                raise _error(
                    f"{class_folders[split][name][0]} holds no pictures ({FORMAT_NAMES}); add some, or remove it"
                )
    if unreadable:
        raise _unreadable_error(unreadable)
    return ImageFolder(folder, tuple(classes), samples, left_out)


def _split_folder_names(root: Path, left_out: LeftOut) -> list[str]:
    """Return the names among train, val and test that a folder has; none if it holds class folders."""
    names = [folder.name for folder in _folders(root, LeftOut())]
    meanings = {name: _SYNONYMS.get(name.lower(), name.lower()) for name in names}
    split_names = [name for name in SPLIT_FOLDERS if name in names]
    other_names = [name for name in names if name not in SPLIT_FOLDERS]
    if other_names and not split_names and all(meaning in SPLIT_FOLDERS for meaning in meanings.values()):
        split_names = other_names  # Train/ and Test/ are misspelt splits, not two classes
    if not split_names:
        return []
    _folders(root, left_out)  # counts what it leaves out
    other_names = [name for name in other_names if not _is_only_own(root / name, left_out)]
    if other_names:
        meaning = meanings[other_names[0]]
        remedy = (
            f"rename it to {meaning}/" if meaning in SPLIT_FOLDERS else "put class folders into train/, val/ and test/"
        )
        raise _error(f"{root / other_names[0]} is not one of train/, val/ and test/; {remedy}")
    if "train" not in split_names:
        raise _error(f"{root} has {split_names[0]}/ but no train/; add it (no class can be called train, val or test)")
    return split_names


def _find_classes(folder: Path, left_out: LeftOut) -> ClassFolders:
    """Return the class folders in a folder, by the names of their classes in NFC."""
    class_folders: dict[str, list[Path]] = {}
    for class_folder in _folders(folder, left_out):
        if not _is_only_own(class_folder, left_out):
            class_folders.setdefault(_spelling(class_folder.name), []).append(class_folder)
    return class_folders


def _check_number_of_classes(folder: Path, class_folders: ClassFolders) -> None:
    """Check that the folder of the training set has two classes or more, and no pictures of none."""
    loose_pictures = sorted(file.name for file in _files(folder) if is_picture(file))
    names = sorted(class_folders)
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
        only_class = class_folders[names[0]][0]
        hint = f"; if the classes are the folders in it, use {quote_word(f'data.root={only_class}')}"
        hint = hint if _folders(only_class, LeftOut()) else ""
        raise _error(f"{folder} holds only one class, {names[0]}; at least two are needed{hint}")


def _check_classes(train: Path, train_classes: ClassFolders, folder: Path, classes: ClassFolders) -> None:
    """Check that the folder of a split has the class folders of the training set.

    Args:
        train: the folder of the training set.
        train_classes: its class folders.
        folder: the folder of the split.
        classes: its class folders.

    Raises:
        DataError: a class folder has no counterpart.
    """
    for name, other_classes, other_folder in (
        *((name, train_classes, train) for name in classes),
        *((name, classes, folder) for name in train_classes),
    ):
        if name not in other_classes:
            class_folder = {**classes, **train_classes}[name][0]
            raise _error(
                f"{class_folder} has no counterpart in {other_folder}; every split needs pictures of every class"
            )


def _is_only_own(folder: Path, left_out: LeftOut) -> bool:
    """Return whether a folder holds what this program has written, and no pictures beside it; count it if so."""
    inner = LeftOut()
    if next(_walk(folder, (), inner), None) is not None:
        return False
    # At the first start the folder for outputs exists and is still empty.
    if not inner.own and (folder.name != OUTPUTS or os.listdir(folder)):
        return False
    left_out.own.append(folder.name)
    return True


def _walk(folder: Path, parents: Sequence[str], left_out: LeftOut) -> Iterator[Path]:
    """Yield the pictures below a folder, those that cannot be read included.

    Links are followed, except back to one of the folders that the walk is in.

    Args:
        folder: the folder to walk through.
        parents: the real paths of the folders that the walk is in.
        left_out: counts everything else.
    """
    real_path = os.path.realpath(folder)
    if real_path in parents:
        return
    for entry in sorted(os.scandir(folder), key=lambda entry: _spelling(entry.name)):
        if left_out.takes(entry):
            continue
        path = folder / entry.name
        if entry.is_dir():
            yield from _walk(path, (*parents, real_path), left_out)
        elif is_picture(entry):
            yield path
        else:
            left_out.suffixes[path.suffix.lower() or "without suffix"] += 1


def _folders(folder: Path, left_out: LeftOut) -> list[Path]:
    """Return the folders in a folder, sorted by name, without what other programs and this one have left."""
    entries = sorted(os.scandir(folder), key=lambda entry: entry.name)
    return [folder / entry.name for entry in entries if not left_out.takes(entry) and entry.is_dir()]


def _files(folder: Path) -> Iterator[Path]:
    """Yield the files directly in a folder, without what other programs have left."""
    left_out = LeftOut()
    for entry in os.scandir(folder):
        if not left_out.takes(entry) and not entry.is_dir():
            yield folder / entry.name


def _spelling(name: str) -> str:
    """Return a name in NFC, in which a letter with an accent is one character; some systems store it as two (NFD)."""
    return unicodedata.normalize("NFC", name)


def _unreadable_error(files: Sequence[Path]) -> DataError:
    """Return the error about pictures in formats that are not read, with their number by kind."""
    suffixes = [file.suffix.lower() for file in files]
    kinds = ", ".join(f"{suffixes.count(suffix)} {suffix}" for suffix in dict.fromkeys(suffixes))
    return _error(
        f"{kinds} cannot be read, only {FORMAT_NAMES}; convert the files, or remove them from the folder:"
        f"{list_first([str(file) for file in files])}"
    )


def _error(message: str) -> DataError:
    return DataError(f"data=image_folder: {show_bytes(message)}")
