"""Images and labels in the arrays of an .npz file."""

import difflib
import zipfile
import zlib
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from regexp.data.sources import Source, SourceFiles
from regexp.data.splits import Split, Splits
from regexp.errors import DataError

# The names that the images and labels of each split may have: plain ones, MedMNIST's and Keras's.
_KEYS = {
    "train": (("images", "labels"), ("train_images", "train_labels"), ("x_train", "y_train")),
    "validation": (("val_images", "val_labels"), ("x_val", "y_val")),
    "test": (("test_images", "test_labels"), ("x_test", "y_test")),
}
# The errors that numpy and zipfile raise for broken files.
_FILE_ERRORS = (OSError, ValueError, EOFError, KeyError, RuntimeError, zipfile.BadZipFile, zlib.error, MemoryError)


def find_npz(name: str, root: str | None, path: str | None) -> SourceFiles:
    """Find the user's file of arrays; raise DataError if there is none."""
    if not path:
        raise DataError("data=arrays: name the file that holds images and labels: data.path=FILE.npz")
    file = Path(path).expanduser()
    if not file.is_file():
        problem = "is a directory" if file.is_dir() else "there is no such file"
        raise DataError(f"data=arrays: data.path={path}: {problem}")
    return SourceFiles(file, [file])


def read_npz(source: Source) -> Splits:
    """Read the user's file of arrays, as `read_arrays` does."""
    return read_arrays(source.root)


def read_arrays(path: Path) -> Splits:
    """Read images and labels from an .npz file: for training and, if it has them, for validation and test.

    Images are uint8, or floating point in [0, 1], which is rounded to 256 levels. They are [N, H, W], [N, H, W, C] or
    [N, C, H, W] with 1 or 3 channels; if the last axis can be the channels, it is taken for them.

    Labels are [N] or [N, 1]: whole numbers from 0 without gaps, or strings. An array `classes` gives the names of the
    classes. Without it the names are the numbers, or the strings in sorted order.

    Raises:
        DataError: the file or one of its arrays, which the message names, is broken or does not fit.
    """
    arrays = _load_arrays(path)
    keys = _find_keys(path, arrays)
    classes = _class_names(path, keys["train"][1], arrays)
    splits: dict[str, Split] = {}
    for name, (image_key, label_key) in keys.items():
        images = _to_images(path, image_key, arrays[image_key])
        labels = _to_labels(path, label_key, arrays[label_key], classes)
        if len(images) != len(labels):
            raise _error(path, f"{image_key} holds {len(images):,} images, but {label_key} {len(labels):,} labels")
        splits[name] = Split(images, labels)
        shape, train_shape = images.shape[1:], splits["train"].images.shape[1:]
        if shape != train_shape:
            raise _error(
                path,
                f"images [C, H, W] are {list(shape)} in {image_key}, but {list(train_shape)} in {keys['train'][0]}",
            )
    class_counts = np.bincount(splits["train"].labels, minlength=len(classes))
    if not class_counts.all():
        missing_label = int(class_counts.argmin())
        raise _error(
            path,
            f"{keys['train'][1]} does not contain {missing_label} ({classes[missing_label]}); "
            "labels count from 0 without gaps",
        )
    return Splits(splits["train"], splits.get("validation"), splits.get("test"), classes)


def _load_arrays(path: Path) -> dict[str, NDArray[Any]]:
    """Load the arrays that have a name of `_KEYS`, and `classes`; the others are not read."""
    readable_keys = {key for pairs in _KEYS.values() for pair in pairs for key in pair} | {"classes"}
    with path.open("rb") as content:  # given a path, numpy would leave a broken file open
        try:
            file = np.load(content, allow_pickle=False)
        except _FILE_ERRORS as error:
            raise _error(path, "is not a complete .npz file; write it with numpy.savez") from error
        if not isinstance(file, np.lib.npyio.NpzFile):
            raise _error(path, "holds a single array; write images and labels with numpy.savez")
        arrays = {key: _load_array(path, key, file) for key in file.files if key in readable_keys}
        for key in file.files:
            if key in readable_keys:
                continue
            similar_keys = difflib.get_close_matches(key, readable_keys - set(arrays), n=1, cutoff=0.85)
            if similar_keys:
                raise _error(path, f"{key} is not read; did you mean {similar_keys[0]}?")
        if not arrays:
            if not file.files:
                raise _error(path, "holds no arrays; write images and labels with numpy.savez")
            raise _error(path, f"holds no images and labels, only {', '.join(file.files)}")
    return arrays


def _load_array(path: Path, key: str, file: np.lib.npyio.NpzFile) -> NDArray[Any]:
    try:
        return np.asarray(file[key])
    except _FILE_ERRORS as error:
        if "Object arrays" in str(error):
            raise _error(
                path, f"{key} holds Python objects (pickle), which are not read; give it a numeric or string dtype"
            ) from error
        raise _error(path, f"{key} is broken ({error}); write the file again") from error


def _find_keys(path: Path, arrays: Mapping[str, Any]) -> dict[str, tuple[str, str]]:
    """Return the keys of the images and labels of each split in the file; training comes first."""
    keys = {}
    for split, pairs in _KEYS.items():
        present_pairs = [pair for pair in pairs if pair[0] in arrays or pair[1] in arrays]
        if len(present_pairs) > 1:
            raise _error(path, f"holds both {present_pairs[0][0]} and {present_pairs[1][0]}; keep one of them")
        if split == "train" and not present_pairs:
            raise _error(path, f"holds no images and labels to train on, only {', '.join(arrays)}")
        for pair in present_pairs:
            for key in pair:
                if key not in arrays:
                    raise _error(path, f"has no array {key}, only {', '.join(arrays)}")
            keys[split] = pair
    return keys


def _to_images(path: Path, key: str, array: NDArray[Any]) -> NDArray[np.uint8]:
    """Convert an array of images to uint8 [N, C, H, W]."""
    if array.ndim == 3:
        array = array[:, None]
    elif array.ndim == 4 and array.shape[3] in (1, 3):
        array = array.transpose(0, 3, 1, 2)
    elif array.ndim != 4 or array.shape[1] not in (1, 3):
        raise _error(
            path,
            f"{key} has shape {list(array.shape)}; images are [N, H, W], [N, H, W, C] or [N, C, H, W] "
            "with 1 or 3 channels C",
        )
    if array.size == 0:
        raise _error(path, f"{key} is empty: its shape is {list(array.shape)}")
    if array.dtype.kind == "f":
        if not (array.min() >= 0 and array.max() <= 1):  # also refuses NaN, for which both are false
            value_range = "NaN" if np.isnan(array).any() else f"{array.min():g} to {array.max():g}"
            raise _error(
                path, f"{key} holds {value_range}; floating point must be in [0, 1]: scale the images, or use uint8"
            )
        array = np.rint(array * array.dtype.type(255)).astype(np.uint8)
    elif array.dtype != np.uint8:
        raise _error(
            path,
            f"{key} holds {array.dtype}; images must be uint8 (images.astype(numpy.uint8)), or floats in [0, 1]",
        )
    return np.ascontiguousarray(array)


def _class_names(path: Path, label_key: str, arrays: Mapping[str, NDArray[Any]]) -> tuple[str, ...]:
    """Return the names of the classes: those in `classes`, else from the training labels in `label_key`."""
    labels = arrays[label_key]
    if "classes" in arrays:
        names = _as_strings(arrays["classes"])
        if names is None or names.ndim != 1 or len(set(names.tolist())) != len(names):
            raise _error(path, "classes must be a list of different strings")
        classes = tuple(names.tolist())
    elif (label_strings := _as_strings(labels)) is not None:
        classes = tuple(np.unique(label_strings).tolist())
    else:
        classes = tuple(str(label) for label in range(int(_to_whole_numbers(path, label_key, labels).max()) + 1))
    if len(classes) < 2:
        raise _error(path, f"{label_key} has only one class; at least two are needed")
    return classes


def _to_labels(path: Path, key: str, array: NDArray[Any], classes: tuple[str, ...]) -> NDArray[np.int64]:
    """Convert an array of labels to int64 [N], each the index of a class.

    Args:
        path: the file, for error messages.
        key: the name of the array, for error messages.
        array: whole numbers, or names of classes.
        classes: the names of all classes.
    """
    strings = _as_strings(array)
    if strings is None:
        labels = _to_whole_numbers(path, key, array)
        if labels.max() >= len(classes):
            raise _error(path, f"{key} goes up to {labels.max()}, but there are {len(classes)} classes, from 0 on")
        return labels
    label_of_class = {name: label for label, name in enumerate(classes)}
    names = _to_column(path, key, strings).tolist()
    for name in names:
        if name not in label_of_class:
            raise _error(path, f"{key} holds {name!r}, which is not one of the classes ({', '.join(classes[:10])})")
    return np.array([label_of_class[name] for name in names], np.int64)


def _to_whole_numbers(path: Path, key: str, array: NDArray[Any]) -> NDArray[np.int64]:
    """Convert an array of labels to int64 [N], from 0 on."""
    column = _to_column(path, key, array)
    if column.dtype.kind not in "biuf" or not (column == np.rint(column)).all():
        raise _error(
            path, f"{key} holds {column.dtype} values that are not whole numbers; labels are 0, 1, 2, ..., or strings"
        )
    if column.min() < 0 or column.max() > 2**31:
        raise _error(path, f"{key} holds {column.min():g} to {column.max():g}; labels count from 0")
    return column.astype(np.int64)


def _to_column(path: Path, key: str, array: NDArray[Any]) -> NDArray[Any]:
    """Convert an array [N] or [N, 1] to [N]."""
    if array.ndim == 2 and array.shape[1] == 1:
        array = array[:, 0]
    if array.ndim != 1:
        raise _error(
            path,
            f"{key} has shape {list(array.shape)}; labels are [N] or [N, 1] (for one-hot rows use labels.argmax(1))",
        )
    if len(array) == 0:
        raise _error(path, f"{key} is empty")
    return array


def _as_strings(array: NDArray[Any]) -> NDArray[np.str_] | None:
    """Return the array if it holds strings, or UTF-8 bytes decoded to strings; None if it holds something else."""
    if array.dtype.kind == "S":
        return np.char.decode(array, "utf-8", "replace")
    return array if array.dtype.kind == "U" else None


def _error(path: Path, message: str) -> DataError:
    return DataError(f"data=arrays: {path}: {message}")
