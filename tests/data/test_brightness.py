"""Images of every type and range against what torchvision and plain division make of them."""

from collections.abc import Mapping
from fractions import Fraction
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from helpers.data_files import write_arrays
from hypothesis import given, settings
from hypothesis import strategies as st
from torchvision.transforms.v2 import functional as TF

from regexp.config.compose import compose_job
from regexp.data.brightness import convert_to_bytes, measure_brightness, suggest_white
from regexp.data.npz import read_arrays
from regexp.errors import DataError
from regexp.execution.builders import load_dataset

# The number that is white for each type that an array of images may have.
WHITES = {
    "bool": 1,
    **dict.fromkeys(("float16", "float32", "float64", "longdouble", ">f4"), 1),
    **dict.fromkeys(("uint8", "int8", "int16", "uint32", "int32", "uint64", "int64", ">i2"), 255),
    "uint16": 65535,
}
LABELS = np.arange(12) % 2


def read(path: Path, images: np.ndarray, scale: float | None = None, **arrays: Any) -> tuple[Any, Mapping[str, str]]:
    splits = read_arrays(write_arrays(path, images=images, labels=LABELS, **arrays), scale)
    return splits.train.images[:, 0], splits.notes


def make_images(dtype: str, high: float) -> np.ndarray:
    """Return images of a type that hold evenly spaced numbers from 0 to `high`."""
    levels = np.linspace(0, float(high), 12 * 20).reshape(12, 4, 5)
    is_whole = np.dtype(dtype).kind in "biu"
    return (np.rint(levels) if is_whole else levels).astype(dtype)


@pytest.mark.parametrize("dtype", WHITES)
def test_every_type_is_read_from_black_to_white(tmp_path: Path, dtype: str) -> None:
    white = min(WHITES[dtype], np.iinfo(dtype).max if np.dtype(dtype).kind in "iu" else 1e9)
    images = make_images(dtype, white)
    levels, notes = read(tmp_path / "own.npz", images)
    expected = images.astype(np.float64) * (255 / WHITES[dtype])
    assert np.abs(levels - expected).max() <= 0.5 + 1e-9
    assert levels.dtype == np.uint8
    assert ("warning" in notes) == (dtype == "int8")  # which ends at 127
    assert f"0 is black, {WHITES[dtype]} is white" in notes["range"]


@pytest.mark.parametrize("dtype", ["bool", "uint8", "uint16", "float32", "float64"])
def test_types_mean_what_they_mean_to_torchvision(tmp_path: Path, dtype: str) -> None:
    images = make_images(dtype, WHITES[dtype])
    levels, _ = read(tmp_path / "own.npz", images)
    expected = TF.to_dtype(torch.from_numpy(images), torch.float64, scale=dtype not in ("bool",)).numpy()
    assert np.abs(levels / 255 - expected).max() <= 0.5 / 255 + 1e-9


@settings(max_examples=40, deadline=None)
@given(
    dtype=st.sampled_from([name for name in WHITES if name != "bool"]),
    white=st.floats(1e-3, 1e6, allow_nan=False),
    parts=st.lists(st.floats(0, 1), min_size=12, max_size=12),
)
def test_any_scale_gives_the_nearest_level(dtype: str, white: float, parts: list[float]) -> None:
    limit = float(np.iinfo(dtype).max if np.dtype(dtype).kind in "iu" else np.finfo(dtype).max)
    numbers = np.array(parts) * min(white, limit)
    images = (np.floor(numbers) if np.dtype(dtype).kind in "iu" else numbers).astype(dtype).reshape(12, 1, 1)
    levels = convert_to_bytes(images, white)
    brightness = measure_brightness("images", images, white)
    assert brightness is not None
    assert brightness.find_problem() is None
    for image, level in zip(images.ravel(), levels.ravel(), strict=True):
        exact = Fraction(float(image)) * 255 / Fraction(white)
        assert abs(min(exact, 255) - int(level)) <= Fraction(1, 2) + Fraction(1, 10**4)


# Images as users have them, the number that is really white, and what the warning or the error advises.
CASES = {
    "digits of scikit-learn": ("uint8", 16, "data.scale=16"),
    "digits as floating point": ("float64", 16, "data.scale=16"),
    "black and white": ("uint8", 1, "data.scale=1"),
    "black and white as int64": ("int64", 1, "data.scale=1"),
    "bytes as uint16": ("uint16", 255, "data.scale=255"),
    "12 bits": ("uint16", 4095, "data.scale=4095"),
    "16 bits as int32": ("int32", 65535, "data.scale=65535"),
    "bytes as float32": ("float32", 255, "data.scale=255"),
    "per cent": ("float64", 100, "data.scale=100"),
    "divided by 255 twice": ("float64", 1 / 255, "data.scale=0.003921568627"),
}


@pytest.mark.parametrize("case", CASES)
def test_images_of_another_range_are_answered_with_the_scale_that_sets_them_right(tmp_path: Path, case: str) -> None:
    dtype, white, advice = CASES[case]
    images, path = make_images(dtype, white), tmp_path / "own.npz"
    try:
        levels, notes = read(path, images)
        answer = notes["warning"]
        assert levels.max() < 128
        assert "images: the highest number is" in answer
    except DataError as error:
        answer = str(error)
        assert f"images holds {dtype} from " in answer
    assert f"type {advice}" in answer
    scale = float(advice.partition("=")[2])
    levels, notes = read(path, images, scale)
    assert np.abs(levels - images.astype(np.float64) * 255 / white).max() <= 0.5 + 1e-6
    assert "warning" not in notes


def test_a_number_is_shown_with_all_digits_that_decide(tmp_path: Path) -> None:
    images = make_images("float32", 1)
    images[3, 1, 2] = np.float32(1.0001)
    with pytest.raises(DataError, match=r"images holds float32 from 0\.0 to 1\.0001, but float32 is 0 to 1; "):
        read(tmp_path / "own.npz", images)
    images[3, 1, 2] = np.float32(1.000001)
    with pytest.raises(DataError, match=r"from 0\.0 to 1\.000001, but"):
        read(tmp_path / "own.npz", images)


@pytest.mark.parametrize("value", [1.0000002, 1.0000004, -1e-7])
@pytest.mark.parametrize("dtype", ["float32", "float64"])
def test_roundings_are_no_mistakes(tmp_path: Path, dtype: str, value: float) -> None:
    images = make_images(dtype, 1)
    images[3, 1, 2] = value
    levels, notes = read(tmp_path / "own.npz", images)
    assert levels[3, 1, 2] == (255 if value > 0 else 0)
    assert "warning" not in notes


def test_a_scale_below_the_highest_number_is_refused(tmp_path: Path) -> None:
    with pytest.raises(
        DataError, match=r"uint8 from 0 to 255, but data\.scale=16; if 255 is white, type data\.scale=255"
    ):
        read(tmp_path / "own.npz", make_images("uint8", 255), 16)


def test_the_advice_about_images_around_zero_makes_them_readable(tmp_path: Path) -> None:
    images = make_images("float32", 3.7) - np.float32(1.3)
    with pytest.raises(DataError, match=r"black is 0; write \(images \+ ([\d.]+)\) / ([\d.]+), which") as caught:
        read(tmp_path / "own.npz", images)
    offset, width = str(caught.value).partition("(images + ")[2].partition(", which")[0].split(") / ")
    levels, notes = read(tmp_path / "own.npz", (images + float(offset)) / float(width))
    assert (levels.min(), levels.max()) == (0, 255)
    assert "warning" not in notes


def test_splits_of_different_brightness_are_noticed(tmp_path: Path) -> None:
    bright, dark = make_images("uint8", 255), make_images("uint8", 16)
    _, notes = read(tmp_path / "own.npz", bright, test_images=dark, test_labels=LABELS)
    assert notes["warning"].startswith("test_images: the highest number is 16")
    assert (
        notes["range"] == "uint8 from 0 to 255; 0 is black, 255 is white; uint8 from 0 to 16; 0 is black, 255 is white"
    )


def test_black_images_are_noticed(tmp_path: Path) -> None:
    _, notes = read(tmp_path / "own.npz", make_images("uint8", 0))
    assert notes["warning"] == "images: every pixel is 0, which is black"


@pytest.mark.parametrize(("high", "white"), [(16, "16"), (200, "255"), (255, "255"), (256, "256"), (3000, "4095")])
def test_the_suggested_white_is_a_usual_one_or_the_highest_number(high: float, white: str) -> None:
    assert suggest_white(high) == white


@pytest.mark.parametrize("second_start", [False, True])
def test_the_warning_and_the_scale_reach_the_data_set(tmp_path: Path, second_start: bool) -> None:
    path = write_arrays(tmp_path / "own.npz", images=make_images("uint8", 16), labels=LABELS)
    overrides = ["data=arrays", f"data.path={path}", "data.val_size=2"]
    for _ in range(1 + second_start):  # the second one reads the cache
        load_dataset(compose_job([*overrides, "data.split_seed=1"]).config)
        dark = load_dataset(compose_job(overrides).config)
        assert "data.scale=16" in dark.notes["warning"]
    scaled = load_dataset(compose_job([*overrides, "data.scale=16"]).config)
    assert "warning" not in scaled.notes
    assert int(dark.train.images.max()) == 16
    assert int(scaled.train.images.max()) == 255
