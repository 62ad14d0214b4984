"""Which picture of an image folder belongs to which part and class. Opens no picture."""

import os
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path

from regexp.errors import DataError

SPLIT_DIRECTORIES = {"train": "train", "val": "validation", "test": "test"}
SUFFIXES = (".png", ".jpg", ".jpeg")
# Pictures that we would miss silently if they were taken for any other file.
_UNREAD = (".avif", ".bmp", ".gif", ".heic", ".heif", ".jfif", ".jp2", ".pbm", ".pgm", ".ppm", ".tif", ".tiff", ".webp")
# What others call their parts: a folder of these is not one of classes.
_OTHER_NAMES = {"training": "train", "valid": "val", "validation": "val", "dev": "val", "testing": "test"}


@dataclass(frozen=True)
class ImageFolder:
    """An image folder.

    Attributes:
        classes: names of the class folders, in the order of labels.
        pictures: (file, label) of each picture, by part: "train", and where there are "validation" and "test".
    """

    root: Path
    classes: tuple[str, ...]
    pictures: dict[str, list[tuple[Path, int]]]

    def files(self) -> list[Path]:
        """All pictures, part by part."""
        return [file for part in self.pictures.values() for file, _ in part]


def scan_image_folder(given: str | None) -> ImageFolder:
    """The pictures below the folder that the user named: in class folders, or in class folders of train/, val/, test/.

    Labels are in the order of sorted class names.

    Raises:
        DataError: the folder is not laid out like this.
        OSError: it cannot be read.
    """
    if not given:
        raise _error("name the folder that holds a folder of pictures for each class: data.root=DIR")
    root = Path(given).expanduser()
    if not root.is_dir():
        what = "is a file, not a folder; unpack an archive" if root.is_file() else "there is no such folder"
        raise _error(f"data.root={given}: {what}")
    parts = {SPLIT_DIRECTORIES[name]: root / name for name in _part_names(root)} or {"train": root}
    classes = _classes(parts["train"])
    for folder in parts.values():
        _agree(parts["train"], classes, folder)
    pictures = {
        part: [(file, label) for label, name in enumerate(classes) for file in _pictures_of(folder / name)]
        for part, folder in parts.items()
    }
    return ImageFolder(root, tuple(classes), pictures)


def _part_names(root: Path) -> list[str]:
    """Those of train, val and test that a folder has; none where it holds class folders."""
    names = _folders(root)
    meant = {name: _OTHER_NAMES.get(name.lower(), name.lower()) for name in names}
    found = [name for name in SPLIT_DIRECTORIES if name in names]
    others = [name for name in names if name not in SPLIT_DIRECTORIES]
    if others and not found and all(part in SPLIT_DIRECTORIES for part in meant.values()):
        found = others  # Train/ and Test/ are no two classes
    if not found:
        return []
    if others:
        better = meant[others[0]]
        remedy = f"call it {better}/" if better in SPLIT_DIRECTORIES else "class folders belong below train/, val/ and test/"
        raise _error(f"{root / others[0]} stands beside or in place of train/, val/ and test/; {remedy}")
    if "train" not in found:
        raise _error(f"{root} holds {found[0]}/, but no train/; add it (no class can be called train, val or test)")
    return found


def _classes(folder: Path) -> list[str]:
    """Sorted names of the class folders, at least two."""
    names = _folders(folder)
    if not names:
        loose = _loose(folder)
        lie = f"its pictures, such as {loose[0]}, lie directly in it" if loose else "it holds no folders"
        raise _error(f"{folder} needs a folder of pictures for each class, such as {folder / 'cats'}, but {lie}")
    if loose := _loose(folder):
        raise _error(f"{folder / loose[0]} belongs to no class; put it into one of the folders beside it, or elsewhere")
    if len(names) == 1:
        only = folder / names[0]
        deeper = f"; if the classes are the folders in it, use data.root={only}" if _folders(only) else ""
        raise _error(f"{folder} holds one class only, {names[0]}; it takes two{deeper}")
    return names


def _loose(folder: Path) -> list[str]:
    """Names of the pictures directly in a folder."""
    names = sorted(os.listdir(folder))
    return [name for name in names if name.lower().endswith(SUFFIXES) and not name.startswith(".")]


def _agree(train: Path, classes: Sequence[str], folder: Path) -> None:
    """Raises DataError unless a part has the classes of the training set."""
    for one, names, other in ((folder, _folders(folder), classes), (train, classes, _folders(folder))):
        for name in names:
            if name not in other:
                lacking = train if one == folder else folder
                raise _error(f"{one / name} has no counterpart in {lacking}; every part needs pictures of every class")


def _pictures_of(folder: Path) -> list[Path]:
    """The pictures of a class, at least one."""
    pictures = list(_walk(folder, ()))
    if not pictures:
        raise _error(f"{folder} holds no pictures ({', '.join(SUFFIXES)})")
    return pictures


def _walk(folder: Path, above: Sequence[str]) -> Iterator[Path]:
    """The pictures below a folder, sorted; links are followed, but not back to a folder that we are in."""
    real = os.path.realpath(folder)
    if real in above:
        return
    for entry in sorted(os.scandir(folder), key=lambda entry: entry.name):
        kind = os.path.splitext(entry.name)[1].lower()
        if entry.name.startswith("."):
            continue
        if entry.is_dir():
            yield from _walk(folder / entry.name, (*above, real))
        elif kind in SUFFIXES:
            yield folder / entry.name
        elif kind in _UNREAD:
            raise _error(f"{entry.path} is neither PNG nor JPEG; convert it, or take it out of the folder")


def _folders(folder: Path) -> list[str]:
    """Sorted names of the folders in a folder, without hidden ones."""
    return sorted(entry.name for entry in os.scandir(folder) if entry.is_dir() and not entry.name.startswith("."))


def _error(message: str) -> DataError:
    return DataError(f"data=image_folder: {message}")
