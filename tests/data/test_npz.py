"""Arrays in .npz files: every layout that is read, and the errors about everything else."""

import re
import zipfile
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from helpers.data_files import write_arrays

from regexp.data.npz import read_arrays
from regexp.data.sources import locate
from regexp.errors import DataError

GENERATOR = np.random.default_rng(0)
GRAY = GENERATOR.integers(0, 256, (6, 5, 4), dtype=np.uint8)
COLOR = GENERATOR.integers(0, 256, (6, 3, 5, 4), dtype=np.uint8)
LABELS = np.array([0, 1, 2, 0, 1, 2])


@pytest.fixture
def path(tmp_path: Path) -> Path:
    return tmp_path / "own.npz"


def write_and_read(path: Path, **arrays: Any) -> Any:
    return read_arrays(write_arrays(path, **arrays))


@pytest.mark.parametrize(
    ("images", "expected"),
    [
        (GRAY, GRAY[:, None]),
        (GRAY[:, None], GRAY[:, None]),
        (GRAY[..., None], GRAY[:, None]),
        (COLOR, COLOR),
        (COLOR.transpose(0, 2, 3, 1), COLOR),
        (np.asfortranarray(COLOR), COLOR),
        (
            COLOR[:, :, :, :3],
            COLOR[:, :, :, :3].transpose(0, 3, 1, 2),
        ),  # both axes could be the channels: the last one is
        (GRAY.astype(np.float64) / 255, GRAY[:, None]),
        (GRAY.astype(np.float32) / 255, GRAY[:, None]),
        ((GRAY / 255).astype(np.float16), np.rint((GRAY / 255).astype(np.float16) * 255).astype(np.uint8)[:, None]),
        ((GRAY / 255).astype(">f4"), GRAY[:, None]),
    ],
)
def test_images_of_every_layout_and_type_are_read(path: Path, images: np.ndarray, expected: np.ndarray) -> None:
    result = write_and_read(path, images=images, labels=LABELS).train.images
    assert result.dtype == np.uint8
    assert np.abs(result.astype(int) - expected).max() <= (images.dtype == np.float16)
    assert result.flags.c_contiguous


def test_floating_point_is_rounded_to_256_levels(path: Path) -> None:
    images = np.zeros((6, 1, 4))
    images[:, 0] = [0, 0.0019, 0.002, 1]
    assert write_and_read(path, images=images, labels=LABELS).train.images[0, 0, 0].tolist() == [0, 0, 1, 255]


@pytest.mark.parametrize(
    "labels",
    [
        LABELS,
        LABELS[:, None],
        LABELS.astype(np.uint8),
        LABELS.astype(">i4"),
        LABELS.astype(np.float32),
        LABELS.tolist(),
    ],
)
def test_labels_of_every_type_are_read(path: Path, labels: Any) -> None:
    splits = write_and_read(path, images=GRAY, labels=labels)
    assert splits.train.labels.dtype == np.int64
    assert splits.train.labels.tolist() == LABELS.tolist()
    assert splits.classes == ("0", "1", "2")


def test_classes_of_string_labels_are_sorted_or_in_the_order_of_the_array_classes(path: Path) -> None:
    names = np.array(["dog", "cat", "Äffchen"])
    splits = write_and_read(path, images=GRAY, labels=names[LABELS])
    assert splits.classes == ("cat", "dog", "Äffchen")
    assert splits.train.labels.tolist() == [1, 0, 2, 1, 0, 2]
    splits = write_and_read(path, images=GRAY, labels=names[LABELS], classes=names)
    assert splits.classes == ("dog", "cat", "Äffchen")
    assert splits.train.labels.tolist() == LABELS.tolist()
    splits = write_and_read(path, images=GRAY, labels=np.char.encode(names[LABELS], "utf-8"))
    assert splits.classes == ("cat", "dog", "Äffchen")


def test_boolean_labels_are_two_classes(path: Path) -> None:
    splits = write_and_read(path, images=GRAY, labels=LABELS > 0, classes=["no", "yes"])
    assert (splits.train.labels.tolist(), splits.classes) == ([0, 1, 1, 0, 1, 1], ("no", "yes"))


@pytest.mark.parametrize("train", [("images", "labels"), ("train_images", "train_labels"), ("x_train", "y_train")])
@pytest.mark.parametrize("test", [None, ("test_images", "test_labels"), ("x_test", "y_test")])
@pytest.mark.parametrize("validation", [None, ("val_images", "val_labels")])
def test_splits_are_read_by_their_usual_names(
    path: Path, train: tuple[str, str], test: tuple[str, str] | None, validation: tuple[str, str] | None
) -> None:
    arrays: dict[str, Any] = {"images": None, "labels": None, "ids": np.arange(6)}
    for i, keys in enumerate((train, test, validation)):
        if keys is not None:
            arrays |= dict(zip(keys, (GRAY + np.uint8(i), LABELS), strict=True))
    splits = write_and_read(path, **arrays)
    assert np.array_equal(splits.train.images[:, 0], GRAY)
    assert (splits.test is None, splits.validation is None) == (test is None, validation is None)
    if splits.test is not None:
        assert np.array_equal(splits.test.images[:, 0], GRAY + np.uint8(1))
    if splits.validation is not None:
        assert np.array_equal(splits.validation.images[:, 0], GRAY + np.uint8(2))


NAN = np.full((6, 5, 4), np.nan)
TEST = {"test_images": GRAY, "test_labels": LABELS}


@pytest.mark.parametrize(
    ("arrays", "expected_message"),
    [
        ({"labels": None}, "has no array labels, only images"),
        ({"images": None}, "has no array images, only labels"),
        ({"images": None, "labels": None}, "holds no arrays"),
        ({"images": None, "labels": None, "X": GRAY}, "holds no images and labels, only X"),
        (
            {"images": None, "labels": None, **TEST},
            "holds no images and labels to train on, only test_images, test_labels",
        ),
        ({"x_train": GRAY}, "holds both images and x_train"),
        ({"val_images": GRAY}, "has no array val_labels"),
        ({"images": np.array([None] * 6)}, "images holds Python objects (pickle)"),
        ({"labels": np.array([0, "a", None, 0, 0, 0], dtype=object)}, "labels holds Python objects (pickle)"),
        ({"labels": LABELS[:5]}, "images holds 6 images, but labels 5 labels"),
        ({**TEST, "test_labels": LABELS[:5]}, "test_images holds 6 images, but test_labels 5 labels"),
        ({"images": GRAY[0]}, "images has shape [5, 4]; images are [N, H, W]"),
        ({"images": COLOR[:, :2]}, "images has shape [6, 2, 5, 4]; images are [N, H, W]"),
        ({"images": np.float64(3)}, "images has shape []; images are [N, H, W]"),
        ({"images": GRAY[:0]}, "images is empty: its shape is [0, 1, 5, 4]"),
        (
            {"images": GRAY.astype(np.int64) * 9},
            "images holds int64 from 0 to 2232, but int64 is 0 to 255; if 4095 is white, type",
        ),
        ({"labels": LABELS[:0]}, "labels is empty"),
        ({"images": GRAY.astype(np.int8)}, "images holds int8 from -128 to 127, but black is 0"),
        ({"images": GRAY.astype(str)}, "images holds <U3; images are whole numbers or floating point"),
        ({"images": GRAY.astype(complex)}, "images holds complex128"),
        (
            {"images": GRAY.astype(float)},
            "holds float64 from 0.0 to 248.0, but float64 is 0 to 1; if 255 is white, type data.scale=255",
        ),
        (
            {"images": GRAY / 255 - 1},
            "images holds float64 from -1.0 to -0.027450980392156876, but black is 0; write (images + 1) /",
        ),
        ({"images": NAN}, "images holds NaN or infinity"),
        ({"images": np.full((6, 5, 4), np.inf)}, "images holds NaN or infinity"),
        ({"labels": LABELS + 0.5}, "labels holds float64 values that are not whole numbers"),
        ({"labels": LABELS * np.nan}, "labels holds float64 values that are not whole numbers"),
        ({"labels": LABELS.astype("M8[s]")}, "labels holds datetime64[s] values that are not whole numbers"),
        ({"labels": LABELS * 1e17}, "labels holds 0.0 to 2e+17; labels are whole numbers up to 9007199254740991"),
        ({"labels": LABELS.astype(np.uint64) + np.uint64(2**63)}, "labels holds 9223372036854775808 to"),
        ({"labels": np.eye(3)[LABELS]}, "labels has shape [6, 3]; labels are [N] or [N, 1]"),
        ({"labels": LABELS * 0}, "labels has only one class"),
        ({"labels": ["a"] * 6}, "labels has only one class"),
        ({"classes": ["a", "b"]}, "labels holds 2, but the classes are a, b, numbered from 0 to 1"),
        ({"labels": LABELS + 1, "classes": ["a", "b", "c"]}, "labels holds 3, but the classes are a, b, c, numbered"),
        ({"classes": ["a", "b", "c", "d"]}, "labels does not contain 3 (d)"),
        ({"classes": ["a", "b", "a"]}, "classes must be a list of different strings"),
        ({"classes": [1, 2, 3]}, "classes must be a list of different strings"),
        ({"classes": "abc"}, "classes must be a list of different strings"),
        (
            {"labels": ["a", "b", "c"] * 2, "classes": ["a", "b"]},
            "labels holds 'c', which is not one of the classes (a, b)",
        ),
        (
            {**TEST, "test_labels": LABELS + 1},
            "test_labels holds 3, but the classes are 0, 1, 2 in the training labels",
        ),
        (
            {**TEST, "labels": ["a", "b", "c"] * 2},
            "test_labels holds numbers, but the training labels are names (a, b, c)",
        ),
        ({**TEST, "test_labels": ["a"] * 6}, "test_labels holds 'a', which is not one of the classes (0, 1, 2)"),
        (
            {**TEST, "test_images": GRAY[:, :4]},
            "images [C, H, W] are [1, 4, 4] in test_images, but [1, 5, 4] in images",
        ),
        ({**TEST, "test_images": COLOR}, "images [C, H, W] are [3, 5, 4] in test_images, but [1, 5, 4] in images"),
    ],
)
def test_the_error_about_arrays_that_do_not_fit_names_them(
    path: Path, arrays: dict[str, Any], expected_message: str
) -> None:
    with pytest.raises(DataError) as caught:
        write_and_read(path, **{"images": GRAY, "labels": LABELS, **arrays})
    message = str(caught.value)
    assert message.startswith(f"data=arrays: {path}: ")
    assert expected_message in message


@pytest.mark.parametrize("length", [0, 3, 100, -10])
def test_a_broken_file_is_refused(path: Path, length: int) -> None:
    content = write_arrays(path).read_bytes()
    path.write_bytes(content[:length])
    with pytest.raises(DataError, match=r"is not a complete \.npz file"):
        read_arrays(path)


def test_the_error_about_a_broken_array_names_it(path: Path) -> None:
    content = bytearray(write_arrays(path).read_bytes())
    content[400] ^= 255
    path.write_bytes(content)
    with pytest.raises(DataError, match="images is broken"):
        read_arrays(path)


def test_a_file_of_another_format_is_refused(path: Path) -> None:
    with path.open("wb") as file:
        np.save(file, GRAY)
    with pytest.raises(DataError, match="holds a single array"):
        read_arrays(path)
    with zipfile.ZipFile(path, "w") as archive:
        archive.writestr("images", "no array")
    with pytest.raises(DataError, match="has no array labels"):
        read_arrays(path)


def test_the_path_must_be_set_and_be_a_file(tmp_path: Path) -> None:
    with pytest.raises(DataError, match=r"data\.path=FILE\.npz"):
        locate("arrays", str(tmp_path))
    for path in (tmp_path / "missing.npz", tmp_path):
        with pytest.raises(DataError, match=rf"data\.path={path}: (there is no such file|is a directory)"):
            locate("arrays", None, str(path))


def test_an_array_with_a_misspelt_name_is_not_ignored(tmp_path: Path) -> None:
    path = write_arrays(tmp_path / "own.npz", test_image=[[[0]]], notes=[1])
    with pytest.raises(DataError, match=r"test_image is not read; did you mean test_images\?"):
        read_arrays(path)


@pytest.mark.parametrize(
    ("shape", "choice"),
    [
        ((30, 6, 5, 4), "images[..., :3]"),
        ((30, 6, 5, 2), "images[..., :1]"),
        ((30, 4, 6, 5), "images[:, :3]"),
        ((30, 2, 6, 5), "images[:, :1]"),
    ],
)
def test_images_with_transparency_are_told_how_to_leave_it_out(
    tmp_path: Path, shape: tuple[int, ...], choice: str
) -> None:
    path = write_arrays(tmp_path / "own.npz", images=np.zeros(shape, np.uint8))
    with pytest.raises(DataError, match=rf"to leave out transparency, save {re.escape(choice)}$"):
        read_arrays(path)
