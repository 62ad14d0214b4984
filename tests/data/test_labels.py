"""Labels of every kind against numpy.unique, whose inverse they are."""

from pathlib import Path
from typing import Any

import numpy as np
import pytest
from helpers.data_files import write_arrays
from hypothesis import given
from hypothesis import strategies as st

from regexp.data.labels import find_classes, index_labels
from regexp.data.npz import read_arrays
from regexp.errors import DataError

NFC, NFD = "Äpfel", "A\u0308pfel"
WHOLE_TYPES = ("bool", "int8", "uint8", "int16", "uint16", "int32", "uint32", "int64", "uint64", "float32", "float64")


@given(st.sampled_from(WHOLE_TYPES), st.lists(st.integers(-(2**63), 2**63 - 1), min_size=2, max_size=30))
def test_the_classes_are_the_numbers_that_occur(dtype: str, numbers: list[int]) -> None:
    low, high = (1 - 2**24, 2**24 - 1) if "float" in dtype else (0, 1) if dtype == "bool" else (None, None)
    if low is None:
        low, high = max(np.iinfo(dtype).min, -(2**63) + 1), min(np.iinfo(dtype).max, 2**63 - 1)
    labels = np.array([low + number % (high - low + 1) for number in numbers], dtype)
    values, inverse = np.unique(labels, return_inverse=True)
    if len(values) < 2:
        with pytest.raises(DataError, match="only one class"):
            find_classes("x", "labels", labels, None)
        return
    classes = find_classes("x", "labels", labels, None)
    assert classes.names == tuple(str(int(value)) for value in values)
    assert index_labels("x", "labels", labels, classes).tolist() == inverse.tolist()


@pytest.mark.parametrize(
    ("values", "names"),
    [
        ((1_700_000_000, 1_700_000_001, 1_700_000_007), ("1700000000", "1700000001", "1700000007")),
        ((1, 2, 3), ("1", "2", "3")),
        ((0, 2, 7), ("0", "2", "7")),
        ((-1, 0, 1), ("-1", "0", "1")),
    ],
)
def test_large_and_missing_numbers_cost_no_classes(tmp_path: Path, values: Any, names: tuple[str, ...]) -> None:
    labels = np.array(values)[np.arange(30) % 3]
    splits = read_arrays(
        write_arrays(tmp_path / "own.npz", labels=labels, test_images=np.zeros((1, 6, 5)), test_labels=labels[1:2])
    )
    assert splits.classes == names
    assert splits.train.labels.tolist() == (np.arange(30) % 3).tolist()
    assert splits.test is not None
    assert splits.test.labels.tolist() == [1]


@pytest.mark.parametrize(("dtype", "digits"), [("float16", 11), ("float32", 24), ("float64", 53)])
def test_numbers_that_may_have_been_rounded_are_refused(dtype: str, digits: int) -> None:
    highest = 2**digits - 1
    assert find_classes("x", "labels", np.array([5, highest], dtype), None).names == ("5", str(highest))
    with pytest.raises(DataError, match=f"whole numbers up to {highest} of {dtype}, or strings"):
        find_classes("x", "labels", np.array([5, highest + 1], dtype), None)


def test_labels_that_are_times_are_refused(tmp_path: Path) -> None:
    times = 1_700_000_000 + np.arange(1200)
    path = write_arrays(tmp_path / "own.npz", images=np.zeros((1200, 1, 1), np.uint8), labels=times)
    with pytest.raises(DataError, match="labels holds 1,200 different values for 1,200 images, such as 1700000000"):
        read_arrays(path)


def test_a_label_that_training_does_not_know_is_refused(tmp_path: Path) -> None:
    path = write_arrays(tmp_path / "own.npz", test_images=np.zeros((2, 6, 5)), test_labels=[1, 1_700_000_000])
    with pytest.raises(
        DataError, match="test_labels holds 1700000000, but the classes are 0, 1, 2 in the training labels"
    ):
        read_arrays(path)


def test_composed_and_decomposed_letters_are_one_class(tmp_path: Path) -> None:
    names = np.array([NFC, "pears", NFD, "pears"])
    arrays = {"images": np.zeros((4, 2, 2)), "test_images": np.zeros((2, 2, 2)), "test_labels": [NFD, NFC]}
    splits = read_arrays(write_arrays(tmp_path / "own.npz", labels=names, **arrays))
    assert splits.classes == ("pears", NFC)
    assert splits.train.labels.tolist() == [1, 0, 1, 0]
    assert splits.test is not None
    assert splits.test.labels.tolist() == [1, 1]
    with pytest.raises(DataError, match="classes must be a list of different strings"):
        read_arrays(write_arrays(tmp_path / "own.npz", classes=[NFC, NFD, "pears"]))


def test_bytes_that_are_not_utf_8_are_different_classes(tmp_path: Path) -> None:
    names = np.array([b"caf\xe9", b"caf\xe8"])[np.arange(30) % 2]
    splits = read_arrays(write_arrays(tmp_path / "own.npz", labels=names))
    assert splits.classes == ("caf\\xe8", "caf\\xe9")
