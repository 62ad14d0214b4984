"""Images and labels in the arrays of an .npz file."""

import difflib
import zipfile
import zlib
from collections.abc import Mapping, Sequence
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from regexp.config.words.homes import expand_home
from regexp.data.brightness import Brightness, convert_to_bytes, describe_darkness, measure_brightness
from regexp.data.labels import find_classes, index_labels
from regexp.data.sources import Source, SourceFiles, arrays_directory
from regexp.data.splits import Split, Splits
from regexp.errors import DataError
from regexp.utils.messages import show_bytes

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
    file = expand_home(path)
    if not file.is_file():
        problem = "is a directory" if file.is_dir() else "there is no such file"
        raise DataError(f"data=arrays: data.path={show_bytes(path)}: {problem}")
    return SourceFiles(file, [file])


def read_npz(source: Source) -> Splits:
    """Read the user's file of arrays, as `read_arrays` does."""
    splits = read_arrays(source.root, source.scale)
    if source.root.parent != arrays_directory():
        return splits
    size = source.root.stat().st_size
    return replace(splits, notes={"kept in": f"{show_bytes(str(source.root))} ({size / 1e6:,.1f} MB)", **splits.notes})


def read_arrays(path: Path, scale: float | None = None) -> Splits:
    """Read images and labels from an .npz file: for training and, if it has them, for validation and test.

    Images are real numbers from black, 0, to white (see `brightness`), which are rounded to 256 levels. They are
    [N, H, W], [N, H, W, C] or [N, C, H, W] with 1 or 3 channels; if the last axis can be the channels, it is taken for
    them.

    Labels are [N] or [N, 1]: whole numbers or strings. An array `classes` gives the names of the classes that the
    numbers 0, 1, 2, ... stand for. Without it the classes are the values that occur in the training labels, in order.

    Args:
        path: the file.
        scale: the number that is white; None for the usual one of the type.

    Raises:
        DataError: the file or one of its arrays, which the message names, is broken or does not fit.
    """
    arrays = _load_arrays(path)
    keys = _find_keys(path, arrays)
    label_key = keys["train"][1]
    classes = find_classes(_where(path), label_key, arrays[label_key], arrays.get("classes"))
    splits: dict[str, Split] = {}
    measured = []
    for name, (image_key, label_key) in keys.items():
        images = _to_layout(path, image_key, arrays[image_key])
        measured.append(_measure(path, image_key, images, scale))
        labels = index_labels(_where(path), label_key, arrays[label_key], classes)
        if len(images) != len(labels):
            raise _error(path, f"{image_key} holds {len(images):,} images, but {label_key} {len(labels):,} labels")
        splits[name] = Split(convert_to_bytes(images, measured[-1].white), labels)
        shape, train_shape = images.shape[1:], splits["train"].images.shape[1:]
        if shape != train_shape:
            raise _error(
                path,
                f"images [C, H, W] are {list(shape)} in {image_key}, but {list(train_shape)} in {keys['train'][0]}",
            )
    class_counts = np.bincount(splits["train"].labels, minlength=len(classes.names))
    if not class_counts.all():
        missing = int(class_counts.argmin())
        raise _error(
            path,
            f"{keys['train'][1]} does not contain {missing} ({classes.names[missing]}), so nothing can be learnt about "
            "it; drop it from classes, or add images of it",
        )
    return Splits(splits["train"], splits.get("validation"), splits.get("test"), classes.names, _describe(measured))


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


def _to_layout(path: Path, key: str, array: NDArray[Any]) -> NDArray[Any]:
    """Return an array of images as [N, C, H, W]."""
    if array.ndim == 3:
        array = array[:, None]
    elif array.ndim == 4 and array.shape[3] in (1, 3):
        array = array.transpose(0, 3, 1, 2)
    elif array.ndim != 4 or array.shape[1] not in (1, 3):
        raise _error(
            path,
            f"{key} has shape {list(array.shape)}; images are [N, H, W], [N, H, W, C] or [N, C, H, W] "
            f"with 1 or 3 channels C{_suggest_channels(array.shape)}",
        )
    if array.size == 0:
        raise _error(path, f"{key} is empty: its shape is {list(array.shape)}")
    return array


def _suggest_channels(shape: Sequence[int]) -> str:
    """Return the end of a message about images of another number of channels: how to choose some of four or two."""
    if len(shape) == 4 and shape[3] in (2, 4):
        return f"; to leave out transparency, save images[..., :{shape[3] - 1}]"
    if len(shape) == 4 and shape[1] in (2, 4):
        return f"; to leave out transparency, save images[:, :{shape[1] - 1}]"
    return ""


def _measure(path: Path, key: str, images: NDArray[Any], scale: float | None) -> Brightness:
    """Measure the numbers of an array of images, and check that they are black to white."""
    brightness = measure_brightness(key, images, scale)
    if brightness is None:
        raise _error(path, f"{key} holds {images.dtype}; images are whole numbers or floating point, and 0 is black")
    if (problem := brightness.find_problem()) is not None:
        raise _error(path, f"{key} {problem}")
    return brightness


def _describe(measured: Sequence[Brightness]) -> dict[str, str]:
    """Return what was found in the arrays of images, and a warning where they are dark."""
    notes = {"range": "; ".join(dict.fromkeys(brightness.describe() for brightness in measured))}
    warning = describe_darkness([brightness for brightness in measured if brightness.is_dark])
    return notes if warning is None else {**notes, "warning": warning}


def _error(path: Path, message: str) -> DataError:
    return DataError(f"{_where(path)}: {message}")


def _where(path: Path) -> str:
    if path.parent == arrays_directory():  # the user has never seen this file
        return "data=Arrays(...)"
    return f"data=arrays: {show_bytes(str(path))}"
