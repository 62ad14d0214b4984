"""The brightness of images: which number is black and which is white, and the conversion to 256 levels."""

from collections.abc import Sequence
from dataclasses import dataclass, replace
from typing import Any

import numpy as np
from numpy.typing import NDArray

# The numbers that cameras, scanners and file formats use for white: 2**bits - 1.
_USUAL_WHITES = (255, 1023, 4095, 16383, 65535)
# The number that is white for each type; all other types of whole numbers hold bytes, as lists of pixels do.
_WHITES = {"bool": 1, "uint16": 65535}
_DEFAULT_WHITE = 255
# Images whose highest number is below this part of white are probably meant otherwise.
_DARK = 0.5
# Floating point may leave [0, white] by so many roundings: resizing and dividing do.
_ROUNDINGS = 4
# How many images are converted at once, so that floating point never doubles the memory.
_IMAGES_AT_ONCE = 1024


@dataclass(frozen=True)
class Brightness:
    """The numbers of an array of images.

    Attributes:
        key: the name of the array.
        dtype: its type.
        low: its lowest number.
        high: its highest number.
        white: the number that is taken for white; 0 is black.
        is_typed: whether the user has chosen the number for white.
    """

    key: str
    dtype: np.dtype[Any]
    low: Any
    high: Any
    white: float
    is_typed: bool

    @property
    def is_dark(self) -> bool:
        """Whether the images are so dark that another number is probably white."""
        return not self.is_typed and bool(self.high < _DARK * self.white)

    def join(self, other: "Brightness | None") -> "Brightness":
        """Return the numbers of this array and another one of its type together."""
        if other is None:
            return self
        return replace(self, low=min(self.low, other.low), high=max(self.high, other.high))

    def find_problem(self) -> str | None:
        """Return what is wrong with the numbers, after the name of the array; None if they are black to white."""
        if not (np.isfinite(self.low) and np.isfinite(self.high)):
            return "holds NaN or infinity; every pixel must be a number, such as numpy.nan_to_num(images) makes them"
        tolerance = 0.0
        if self.dtype.kind == "f":
            precision = max(float(np.finfo(self.dtype).eps), float(np.finfo(np.float32).eps))
            tolerance = _ROUNDINGS * precision * self.white
        low, high = float(self.low), float(self.high)
        held = f"holds {self.dtype.name} from {self.low!s} to {self.high!s}"
        if low < -tolerance:
            sign = "+" if low < 0 else "-"
            return f"{held}, but black is 0; write (images {sign} {abs(low):.9g}) / {high - low:.9g}, which is 0 to 1"
        if high > self.white + tolerance:
            rule = f"data.scale={self.white:.10g}" if self.is_typed else f"{self.dtype.name} is 0 to {self.white:g}"
            suggestion = suggest_white(high)
            return f"{held}, but {rule}; if {suggestion} is white, type data.scale={suggestion}"
        return None

    def describe(self) -> str:
        """Return the numbers, and what they are taken for."""
        return f"{self.dtype.name} from {self.low!s} to {self.high!s}; 0 is black, {self.white:.10g} is white"


def measure_brightness(key: str, images: NDArray[Any], scale: float | None) -> Brightness | None:
    """Measure the numbers of an array of images.

    The type decides which number is white: 1 for floating point and truth values, 65535 for uint16, 255 for other whole
    numbers. The numbers themselves do not, because a file with other images must not mean something else.

    Args:
        key: the name of the array.
        images: the images, at least one pixel.
        scale: the number that is white; None for the usual one of the type.

    Returns:
        The numbers; None if the array holds no real numbers.
    """
    dtype = images.dtype
    if dtype.kind not in "biuf":
        return None
    white = 1 if dtype.kind == "f" else _WHITES.get(dtype.name, _DEFAULT_WHITE)
    low, high = images.min(), images.max()  # NaN where one number is
    if dtype.kind == "b":
        low, high = np.uint8(low), np.uint8(high)
    return Brightness(key, dtype, low, high, white if scale is None else scale, scale is not None)


def convert_to_bytes(images: NDArray[Any], white: float) -> NDArray[np.uint8]:
    """Convert images whose numbers go from 0 to `white` to the nearest of 256 levels.

    Args:
        images: [N, ...], real numbers.
        white: the number that becomes 255.

    Returns:
        [N, ...], uint8, contiguous.
    """
    if images.dtype == np.uint8:
        return np.ascontiguousarray(images if white == _DEFAULT_WHITE else make_levels(white)[images])
    # float16 has too few digits for the product, and float32 too few for large whole numbers.
    dtype: Any = np.float32 if images.dtype.kind == "f" and images.dtype.itemsize <= 4 and white == 1 else np.float64
    levels = np.empty(images.shape, np.uint8)
    for start in range(0, len(images), _IMAGES_AT_ONCE):
        block = images[start : start + _IMAGES_AT_ONCE].astype(dtype) * dtype(_DEFAULT_WHITE / white)
        levels[start : start + _IMAGES_AT_ONCE] = np.rint(block).clip(0, 255)
    return levels


def make_levels(white: float) -> NDArray[np.uint8]:
    """Return the level of each byte [256], if `white` becomes 255; higher bytes stay at 255."""
    levels: NDArray[np.uint8] = np.rint(np.arange(256) * (_DEFAULT_WHITE / white)).clip(0, 255).astype(np.uint8)
    return levels


def suggest_white(high: float) -> str:
    """Return the number that is probably white in images with this highest number, as a user would type it."""
    usual = next((white for white in _USUAL_WHITES if _DARK * white < high <= white), None)
    return f"{high if usual is None else usual:.10g}"


def describe_darkness(dark: Sequence[Brightness]) -> str | None:
    """Return a warning about images that are probably meant to be brighter; None if there are none.

    Args:
        dark: the arrays with such images.
    """
    if not dark:
        return None
    brightest = max(dark, key=lambda brightness: float(brightness.high))
    keys, white = ", ".join(brightness.key for brightness in dark), f"{brightest.white:.10g}"
    if brightest.high <= 0:
        return f"{keys}: every pixel is 0, which is black"
    suggestion = suggest_white(float(brightest.high))
    return (
        f"{keys}: the highest number is {brightest.high!s}, and {white} is taken for white, so the images are dark; "
        f"if {suggestion} is white, type data.scale={suggestion}; data.scale={white} says that they are meant so"
    )
