"""Images and labels in the arrays of an .npz file."""

import difflib
import zipfile
import zlib
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from regexp.data.splits import Split, Splits
from regexp.errors import DataError

# What the arrays of each part may be called: plainly, as MedMNIST does, as Keras does.
_KEYS = {
    "train": (("images", "labels"), ("train_images", "train_labels"), ("x_train", "y_train")),
    "validation": (("val_images", "val_labels"), ("x_val", "y_val")),
    "test": (("test_images", "test_labels"), ("x_test", "y_test")),
}
# What numpy and zipfile raise for files that are not what they should be.
_BROKEN = (OSError, ValueError, EOFError, KeyError, RuntimeError, zipfile.BadZipFile, zlib.error, MemoryError)


def read_arrays(path: Path) -> Splits:
    """Images and labels for training and, where the file has them, for validation and test; class names.

    Images are uint8, or floating point in [0, 1], which is rounded to 256 levels. They are [N, H, W], [N, H, W, C] or
    [N, C, H, W] with 1 or 3 channels; where the last axis could be the channels, it is.
    Labels [N] or [N, 1] are whole numbers from 0 without gaps, or strings; without an array `classes` of their names
    numbers are their own names, and strings are sorted.

    Raises DataError that names the file, and the array that is not so.
    """
    arrays = _load(path)
    keys = _part_keys(path, arrays)
    classes = _classes(path, keys["train"][1], arrays)
    parts: dict[str, Split] = {}
    for name, (image_key, label_key) in keys.items():
        images = _images(path, image_key, arrays[image_key])
        labels = _labels(path, label_key, arrays[label_key], classes)
        if len(images) != len(labels):
            raise _error(path, f"{image_key} holds {len(images):,} images, and {label_key} {len(labels):,} labels")
        parts[name] = Split(images, labels)
        shape, expected = images.shape[1:], parts["train"].images.shape[1:]
        if shape != expected:
            first = keys["train"][0]
            raise _error(path, f"images [C, H, W] are {list(shape)} in {image_key}, and {list(expected)} in {first}")
    present = np.bincount(parts["train"].labels, minlength=len(classes))
    if not present.all():
        missing = int(present.argmin())
        label_key = keys["train"][1]
        raise _error(path, f"{label_key} never is {missing} ({classes[missing]}); labels count from 0 without gaps")
    return Splits(parts["train"], parts.get("validation"), parts.get("test"), classes)


def _load(path: Path) -> dict[str, NDArray[Any]]:
    """The arrays whose names we know; the others are not read."""
    known = {key for pairs in _KEYS.values() for pair in pairs for key in pair} | {"classes"}
    with path.open("rb") as content:  # numpy would leave a broken one open
        try:
            file = np.load(content, allow_pickle=False)
        except _BROKEN as error:
            raise _error(path, "is no whole .npz file; write it with numpy.savez") from error
        if not isinstance(file, np.lib.npyio.NpzFile):
            raise _error(path, "holds a single array; write images and labels with numpy.savez")
        arrays = {key: _array(path, key, file) for key in file.files if key in known}
        for key in file.files:
            if key not in known and (close := difflib.get_close_matches(key, known - set(arrays), n=1, cutoff=0.85)):
                raise _error(path, f"{key} is not read; did you mean {close[0]}?")
        if not arrays:
            raise _error(path, f"holds no images and labels, but {', '.join(file.files) or 'nothing'}")
    return arrays


def _array(path: Path, key: str, file: np.lib.npyio.NpzFile) -> NDArray[Any]:
    try:
        return np.asarray(file[key])
    except _BROKEN as error:
        if "Object arrays" in str(error):
            raise _error(path, f"{key} holds Python objects (pickle), which are not read; give it a dtype") from error
        raise _error(path, f"{key} is broken ({error}); write the file anew") from error


def _part_keys(path: Path, arrays: Mapping[str, Any]) -> dict[str, tuple[str, str]]:
    """The names of images and labels, by part; training comes first."""
    found = {}
    for part, pairs in _KEYS.items():
        given = [pair for pair in pairs if pair[0] in arrays or pair[1] in arrays]
        if len(given) > 1:
            raise _error(path, f"holds both {given[0][0]} and {given[1][0]}; keep one of them")
        if part == "train" and not given:
            raise _error(path, f"holds no images and labels to train on, but {', '.join(arrays)}")
        for pair in given:
            for key in pair:
                if key not in arrays:
                    raise _error(path, f"has no array {key}, but {', '.join(arrays)}")
            found[part] = pair
    return found


def _images(path: Path, key: str, array: NDArray[Any]) -> NDArray[np.uint8]:
    """uint8 [N, C, H, W]."""
    if array.ndim == 3:
        array = array[:, None]
    elif array.ndim == 4 and array.shape[3] in (1, 3):
        array = array.transpose(0, 3, 1, 2)
    elif array.ndim != 4 or array.shape[1] not in (1, 3):
        shape = list(array.shape)
        raise _error(
            path, f"{key} is {shape}; images are [N, H, W], [N, H, W, C] or [N, C, H, W] with 1 or 3 channels C"
        )
    if array.size == 0:
        raise _error(path, f"{key} is {list(array.shape)}: it holds nothing")
    if array.dtype.kind == "f":
        if not (array.min() >= 0 and array.max() <= 1):  # NaN is neither
            where = "NaN" if np.isnan(array).any() else f"{array.min():g} to {array.max():g}"
            raise _error(path, f"{key} holds {where}; floating point must be in [0, 1]: scale it, or use uint8")
        array = np.rint(array * array.dtype.type(255)).astype(np.uint8)
    elif array.dtype != np.uint8:
        raise _error(
            path, f"{key} holds {array.dtype}; images are uint8 (images.astype(numpy.uint8)), or floats in [0, 1]"
        )
    return np.ascontiguousarray(array)


def _classes(path: Path, key: str, arrays: Mapping[str, NDArray[Any]]) -> tuple[str, ...]:
    """The names of the classes, of which the training labels in arrays[key] tell where nothing else does."""
    labels = arrays[key]
    if "classes" in arrays:
        names = _strings(arrays["classes"])
        if names is None or names.ndim != 1 or len(set(names.tolist())) != len(names):
            raise _error(path, "classes must be a list of different strings")
        classes = tuple(names.tolist())
    elif (strings := _strings(labels)) is not None:
        classes = tuple(np.unique(strings).tolist())
    else:
        classes = tuple(str(label) for label in range(int(_numbers(path, key, labels).max()) + 1))
    if len(classes) < 2:
        raise _error(path, f"{key} knows one class only; it takes two")
    return classes


def _labels(path: Path, key: str, array: NDArray[Any], classes: tuple[str, ...]) -> NDArray[np.int64]:
    """int64 [N], each the number of a class."""
    names = _strings(array)
    if names is None:
        numbers = _numbers(path, key, array)
        if numbers.max() >= len(classes):
            raise _error(path, f"{key} goes up to {numbers.max()}, and there are {len(classes)} classes from 0")
        return numbers
    position = {name: label for label, name in enumerate(classes)}
    listed = _column(path, key, names).tolist()
    for name in listed:
        if name not in position:
            raise _error(path, f"{key} holds {name!r}, which is none of the classes ({', '.join(classes[:10])})")
    return np.array([position[name] for name in listed], np.int64)


def _numbers(path: Path, key: str, array: NDArray[Any]) -> NDArray[np.int64]:
    """Whole numbers from 0 on."""
    column = _column(path, key, array)
    if column.dtype.kind not in "biuf" or not (column == np.rint(column)).all():
        raise _error(path, f"{key} holds {column.dtype} that are no whole numbers; labels are 0, 1, 2, ..., or strings")
    if column.min() < 0 or column.max() > 2**31:
        raise _error(path, f"{key} holds {column.min():g} to {column.max():g}; labels count from 0")
    return column.astype(np.int64)


def _column(path: Path, key: str, array: NDArray[Any]) -> NDArray[Any]:
    """[N] or [N, 1] -> [N]."""
    if array.ndim == 2 and array.shape[1] == 1:
        array = array[:, 0]
    if array.ndim != 1:
        raise _error(path, f"{key} is {list(array.shape)}; labels are [N] or [N, 1] (of one-hot rows labels.argmax(1))")
    if len(array) == 0:
        raise _error(path, f"{key} is empty")
    return array


def _strings(array: NDArray[Any]) -> NDArray[np.str_] | None:
    """The array if it holds strings; bytes are taken for UTF-8."""
    if array.dtype.kind == "S":
        return np.char.decode(array, "utf-8", "replace")
    return array if array.dtype.kind == "U" else None


def _error(path: Path, message: str) -> DataError:
    return DataError(f"data=arrays: {path}: {message}")
