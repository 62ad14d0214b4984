"""Decoding of pictures by Pillow, in threads: Pillow releases Python's lock while it decodes."""

import contextlib
import io
import warnings
from collections import Counter
from collections.abc import Iterator, Mapping, Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from functools import partial
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray
from PIL import Image, ImageOps

from regexp.data.brightness import Brightness, convert_to_bytes, describe_darkness, make_levels, measure_brightness
from regexp.data.picture_files import FORMAT_NAMES, FORMATS
from regexp.errors import DataError
from regexp.utils.messages import list_first, show_bytes

_GRAY, _COLOR, _TRANSPARENT = "gray", "in color", "partly transparent"
# What Pillow's modes hold. A palette is converted to RGB without loss, so the user need not choose.
_KINDS = {"1": _GRAY, "L": _GRAY, "RGB": _COLOR, "P": _COLOR, "CMYK": "in CMYK"}
_KINDS |= dict.fromkeys(("I;16", "I;16B", "I;16L", "I;16N"), _GRAY)
_KINDS |= dict.fromkeys(("LA", "La", "PA", "RGBA", "RGBa"), _TRANSPARENT)
# Formats whose further pictures are others, and not a preview or depth of the first as in a camera's JPEG.
_FRAME_FORMATS = ("GIF", "TIFF", "WEBP", "PNG")
_PNG_SIGNATURE, _BITS_TAG = b"\x89PNG\r\n\x1a\n", 258
_PNG_BIT_DEPTH_OFFSET = 24  # the byte of a PNG file that holds its bits per sample; the next one holds its color type


@dataclass(frozen=True)
class Picture:
    """A decoded picture.

    Attributes:
        pixels: [H, W], or [H, W, 3] in color.
        brightness: the numbers in the file.
        has_frames: whether the file holds more pictures, which are not read.
    """

    pixels: NDArray[np.uint8]
    brightness: Brightness
    has_frames: bool


@dataclass(frozen=True)
class Problem:
    """What is wrong with a picture.

    Attributes:
        text: the problem, after the name of the file.
        needs_channels: whether a choice of data.grayscale solves it.
    """

    text: str
    needs_channels: bool = False


def decode_pictures(
    files: Sequence[Path], image_size: int | None, grayscale: bool | None, scale: float | None = None
) -> tuple[NDArray[np.uint8], list[str]]:
    """Decode pictures into one array, each rotated as its EXIF orientation says.

    Args:
        files: the files, at least one.
        image_size: side in pixels of the square to which pictures are cropped (about the centre) and resized
            (bilinearly); None keeps them as they are.
        grayscale: True for one channel, False for three, either with transparent pixels on white; None keeps the
            channels of the files.
        scale: the number that is white; None for 255, or 65535 in pictures of 16 bits.

    Returns:
        [N, C, H, W], in the order of the files; and warnings about them.

    Raises:
        DataError: files cannot be decoded, or differ in size or channels. The message lists the first of them.
    """
    decode = partial(_decode, image_size=image_size, grayscale=grayscale, scale=scale)
    problems: dict[Path, Problem] = {}
    shapes: dict[Path, tuple[int, ...]] = {}
    brightness: dict[str, Brightness] = {}
    with_frames: list[Path] = []
    stacked: NDArray[np.uint8] | None = None  # [N, H, W] or [N, H, W, 3]
    with _refuse_decompression_bombs(), ThreadPoolExecutor() as pool:
        try:
            for i, picture in enumerate(pool.map(decode, files)):
                if isinstance(picture, Problem):
                    problems[files[i]] = picture
                    continue
                if stacked is None:
                    stacked = np.empty((len(files), *picture.pixels.shape), np.uint8)
                shapes[files[i]] = picture.pixels.shape
                if picture.pixels.shape == stacked.shape[1:]:
                    stacked[i] = picture.pixels
                name = picture.brightness.dtype.name
                brightness[name] = picture.brightness.join(brightness.get(name))
                with_frames += [files[i]] if picture.has_frames else []
        except MemoryError as error:
            raise _error(f"{len(files):,} pictures do not fit into memory; use data.image_size=64") from error
        finally:
            pool.shutdown(wait=False, cancel_futures=True)
    if problems or len(set(shapes.values())) > 1 or stacked is None:
        raise _error("\n".join(_describe_problems(len(files), problems, shapes)))
    found = [_describe_frames(with_frames), describe_darkness([item for item in brightness.values() if item.is_dark])]
    if stacked.ndim == 3:
        return stacked[:, None], list(filter(None, found))
    return np.ascontiguousarray(stacked.transpose(0, 3, 1, 2)), list(filter(None, found))


@contextlib.contextmanager
def _refuse_decompression_bombs() -> Iterator[None]:
    """Turn Pillow's warning about huge pictures into an error, and ignore its other warnings.

    Warning filters belong to the process, not to a thread, so this must not be entered inside the threads.
    """
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        warnings.simplefilter("error", Image.DecompressionBombWarning)
        yield


def _decode(file: Path, image_size: int | None, grayscale: bool | None, scale: float | None) -> Picture | Problem:
    """Decode one picture."""
    try:
        content = file.read_bytes()
    except OSError as error:
        return Problem(f"cannot be read: {error.strerror}")
    if not content:
        return Problem("is empty")
    image: Image.Image | None = None
    try:
        image = Image.open(io.BytesIO(content), formats=FORMATS)
        image.load()
        has_frames = image.format in _FRAME_FORMATS and getattr(image, "n_frames", 1) > 1
    except MemoryError:  # is no fault of the file
        raise
    except (Image.DecompressionBombError, Image.DecompressionBombWarning):
        return Problem(f"has more than {Image.MAX_IMAGE_PIXELS:,} pixels")
    except Exception:  # a broken file can make Pillow raise almost anything
        is_picture = image is not None or content.startswith((_PNG_SIGNATURE, b"\xff\xd8"))
        return Problem("is broken" if is_picture else f"is none of {FORMAT_NAMES}, despite its name")
    if _count_bits(image, content) > 8 and not image.mode.startswith("I;16"):  # Pillow would silently drop half of them
        return Problem("has 16 bits per sample or more, which only gray pictures may have")
    kind = _TRANSPARENT if "transparency" in image.info else _KINDS.get(image.mode, f"in mode {image.mode}")
    if grayscale is None and kind not in (_GRAY, _COLOR):
        return Problem(f"is {kind}", needs_channels=True)
    try:
        image = ImageOps.exif_transpose(image)
    except MemoryError:
        raise
    except Exception:  # broken EXIF data does not make the picture broken
        pass
    if not image.mode.startswith("I;16"):
        image = _convert(image, kind, grayscale)
    pixels = np.asarray(image)
    brightness = measure_brightness("pictures", pixels, scale)
    if brightness is None:
        return Problem(f"is in mode {image.mode}")
    if (problem := brightness.find_problem()) is not None:
        return Problem(problem)
    if pixels.dtype != np.uint8:
        image = _convert(Image.fromarray(convert_to_bytes(pixels, brightness.white)), _GRAY, grayscale)
    elif scale is not None:
        image = image.point(make_levels(scale).tolist() * len(image.getbands()))
    if image_size is not None:
        image = ImageOps.fit(image, (image_size, image_size), Image.Resampling.BILINEAR)
    return Picture(np.asarray(image), brightness, has_frames)


def _count_bits(image: Image.Image, content: bytes) -> int:
    """Return the number of bits per sample in the file of a picture."""
    if content.startswith(_PNG_SIGNATURE):
        return content[_PNG_BIT_DEPTH_OFFSET]
    bits: Any = getattr(image, "tag_v2", {}).get(_BITS_TAG, 8)
    return max(bits) if isinstance(bits, tuple) else int(bits)


def _convert(image: Image.Image, kind: str, grayscale: bool | None) -> Image.Image:
    """Convert a picture to Pillow's mode L or RGB.

    Args:
        image: the picture in any mode.
        kind: what it holds, one of the values of `_KINDS`.
        grayscale: True for L, False for RGB; None for the one that keeps its channels.
    """
    if grayscale is None:
        return image.convert("L" if kind == _GRAY else "RGB")
    if kind == _TRANSPARENT:
        image = image.convert("RGBA")
        image = Image.alpha_composite(Image.new("RGBA", image.size, "white"), image).convert("RGB")
    return image.convert("L" if grayscale else "RGB")


def _describe_frames(files: Sequence[Path]) -> str | None:
    """Return a warning about files that hold several pictures; None without such files."""
    if not files:
        return None
    subject = "1 file holds" if len(files) == 1 else f"{len(files):,} files hold"
    return f"{subject} several frames, of which the first is read, such as {show_bytes(str(files[0]))}"


def _describe_problems(
    count: int, problems: Mapping[Path, Problem], shapes: Mapping[Path, tuple[int, ...]]
) -> Iterator[str]:
    """Yield what is wrong with pictures: broken ones, those that need a choice of channels, and different shapes.

    Args:
        count: the number of all pictures.
        problems: the problem of each picture that has one.
        shapes: the shape of each picture that has none, [H, W] or [H, W, 3].
    """
    broken = [f"{file} {problem.text}" for file, problem in problems.items() if not problem.needs_channels]
    undecided = [f"{file} {problem.text}" for file, problem in problems.items() if problem.needs_channels]
    choice = "type data.grayscale=false for three color channels, or data.grayscale=true for one gray channel"
    if broken:
        pronoun = "it" if len(broken) == 1 else "them"
        remedy = f"replace {pronoun}, or remove {pronoun} from the folder"
        yield from _list_problems(broken, count, "cannot be read", remedy)
    if undecided:
        yield from _list_problems(undecided, count, "are neither gray nor in three colors", choice)
    if len(set(shapes.values())) <= 1:
        return
    usual = Counter(shapes.values()).most_common(1)[0][0]
    example = next(file for file, shape in shapes.items() if shape == usual)
    channels = {file: len(shape) for file, shape in shapes.items()}
    sizes = {file: shape[:2] for file, shape in shapes.items()}
    if others := [file for file in shapes if channels[file] != len(usual)]:
        lines = [f"{file} is {_GRAY if channels[file] == 2 else _COLOR}" for file in others]
        contrast = f"but {example} is {_GRAY if len(usual) == 2 else _COLOR}"
        yield from _list_problems(lines, count, "have other channels than most", choice, contrast)
    if others := [file for file in shapes if sizes[file] != usual[:2]]:
        lines = [f"{file} is {_describe_size(sizes[file])}" for file in others]
        contrast = f"but {example} is {_describe_size(usual)}"
        remedy = f"type data.image_size={min(usual[:2])} to crop and resize all pictures to squares of one size"
        yield from _list_problems(lines, count, "have another size than most", remedy, contrast)


def _list_problems(lines: Sequence[str], count: int, summary: str, remedy: str, contrast: str = "") -> Iterator[str]:
    """Yield the message about one kind of problem: one line for one picture, or a list for several.

    Args:
        lines: the problem of each picture.
        count: the number of all pictures.
        summary: what several of them have in common.
        remedy: what to do.
        contrast: the picture that they are compared with.
    """
    ending = f", {contrast}; {remedy}" if contrast else f"; {remedy}"
    if len(lines) == 1:
        yield f"{lines[0]}{ending}"
    else:
        yield f"{len(lines):,} of {count:,} pictures {summary}{ending}:{list_first(lines)}"


def _describe_size(shape: Sequence[int]) -> str:
    return f"{shape[1]} pixels wide and {shape[0]} high"


def _error(message: str) -> DataError:
    return DataError(f"data=image_folder: {show_bytes(message)}")
