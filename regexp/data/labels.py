"""Labels as users store them: numbers or names of classes, converted to the indices of classes."""

import unicodedata
from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray

from regexp.errors import DataError

# Above this number of classes, most of which have a single image, labels are probably measurements or times.
_MANY_CLASSES = 1000
# int64 counts no further.
_MAX_INT = 2**63 - 1


@dataclass(frozen=True)
class Classes:
    """The classes of a data set.

    Attributes:
        names: the name of each class, in the order of the labels.
        numbers: the number that stands for each class in labels that are numbers, ascending; None if names do.
    """

    names: tuple[str, ...]
    numbers: NDArray[np.int64] | None


def find_classes(where: str, key: str, labels: NDArray[Any], names: NDArray[Any] | None) -> Classes:
    """Find the classes of training labels: the values that occur, in order.

    Args:
        where: the file, for error messages.
        key: the name of the array of labels, for error messages.
        labels: whole numbers or strings, [N] or [N, 1].
        names: the names of the classes that the numbers 0, 1, 2, ... stand for; None if the user has given none.

    Raises:
        DataError: the labels are neither numbers nor strings, or there are fewer than two classes.
    """
    strings = _as_strings(labels)
    if names is not None:
        name_strings = _as_strings(names)
        if name_strings is None or name_strings.ndim != 1 or len(set(name_strings.tolist())) != len(name_strings):
            raise DataError(f"{where}: classes must be a list of different strings")
        classes = Classes(tuple(name_strings.tolist()), np.arange(len(name_strings)))
    elif strings is not None:
        classes = Classes(tuple(np.unique(_to_column(where, key, strings)).tolist()), None)
    else:
        numbers = np.unique(_to_whole_numbers(where, key, labels))
        classes = Classes(tuple(str(number) for number in numbers), numbers)
    if len(classes.names) < 2:
        raise DataError(f"{where}: {key} has only one class; at least two are needed")
    if names is None and len(classes.names) > max(_MANY_CLASSES, len(labels) // 2):
        raise DataError(
            f"{where}: {key} holds {len(classes.names):,} different values for {len(labels):,} images, such as "
            f"{classes.names[0]} and {classes.names[1]}; labels must name the class of each image"
        )
    return classes


def index_labels(where: str, key: str, labels: NDArray[Any], classes: Classes) -> NDArray[np.int64]:
    """Convert labels to the indices of their classes, int64 [N].

    Args:
        where: the file, for error messages.
        key: the name of the array of labels, for error messages.
        labels: whole numbers, or names of classes.
        classes: all classes.

    Raises:
        DataError: a label stands for none of the classes.
    """
    strings = _as_strings(labels)
    if strings is not None:
        index_of_class = {name: index for index, name in enumerate(classes.names)}
        names = _to_column(where, key, strings).tolist()
        for name in names:
            if name not in index_of_class:
                raise DataError(f"{where}: {key} holds {name!r}, which is not one of the classes ({_list(classes)})")
        return np.array([index_of_class[name] for name in names], np.int64)
    numbers = _to_whole_numbers(where, key, labels)
    if classes.numbers is None:
        raise DataError(f"{where}: {key} holds numbers, but the training labels are names ({_list(classes)})")
    indices = np.searchsorted(classes.numbers, numbers).clip(max=len(classes.numbers) - 1)
    unknown = numbers[classes.numbers[indices] != numbers]
    if len(unknown):
        have_names = classes.names[0] != str(classes.numbers[0])
        numbering = f", numbered from 0 to {len(classes.names) - 1}" if have_names else " in the training labels"
        raise DataError(f"{where}: {key} holds {unknown[0]}, but the classes are {_list(classes)}{numbering}")
    return indices.astype(np.int64)


def _list(classes: Classes) -> str:
    """Return the first names of classes."""
    return ", ".join(classes.names[:10]) + (", ..." if len(classes.names) > 10 else "")


def _to_whole_numbers(where: str, key: str, array: NDArray[Any]) -> NDArray[np.int64]:
    """Convert an array of labels to int64 [N]."""
    column = _to_column(where, key, array)
    kind = column.dtype.kind
    if kind not in "biuf" or (kind == "f" and not (column == np.rint(column)).all()):
        raise DataError(
            f"{where}: {key} holds {column.dtype} values that are not whole numbers; labels are whole numbers, or "
            "strings"
        )
    low, high, limit = column.min().item(), column.max().item(), _MAX_INT
    if kind == "f":  # counts without gaps to here; the next number may be another one that was rounded
        limit = min(2 ** (np.finfo(column.dtype).nmant + 1) - 1, _MAX_INT)
    if high > limit or low < -limit:
        of_type = f" of {column.dtype}" if kind == "f" else ""
        raise DataError(
            f"{where}: {key} holds {low} to {high}; labels are whole numbers up to {limit}{of_type}, or strings"
        )
    return column.astype(np.int64)


def _to_column(where: str, key: str, array: NDArray[Any]) -> NDArray[Any]:
    """Convert an array [N] or [N, 1] to [N]."""
    if array.ndim == 2 and array.shape[1] == 1:
        array = array[:, 0]
    if array.ndim != 1:
        raise DataError(
            f"{where}: {key} has shape {list(array.shape)}; labels are [N] or [N, 1] (for one-hot rows use "
            "labels.argmax(1))"
        )
    if len(array) == 0:
        raise DataError(f"{where}: {key} is empty")
    return array


def _as_strings(array: NDArray[Any]) -> NDArray[np.str_] | None:
    """Return the array if it holds strings, or bytes decoded to strings; None if it holds something else.

    A letter with an accent is one character or two (Unicode's forms NFC and NFD), and the same class in both.
    """
    if array.dtype.kind == "S":
        array = np.char.decode(array, "utf-8", "backslashreplace")
    if array.dtype.kind != "U":
        return None
    names = [unicodedata.normalize("NFC", name) for name in array.ravel().tolist()]
    return np.array(names, np.str_).reshape(array.shape)
