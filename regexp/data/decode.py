"""Decoding of PNG and JPEG files by Pillow, in threads: Pillow releases Python's lock while it decodes."""

import contextlib
import io
import warnings
from collections.abc import Iterator, Sequence
from concurrent.futures import ThreadPoolExecutor
from functools import partial
from pathlib import Path

import numpy as np
from numpy.typing import NDArray
from PIL import Image, ImageOps

from regexp.errors import DataError

_GRAY, _COLOR, _TRANSPARENT = "gray", "in color", "partly transparent"
# What Pillow's modes hold. A palette is converted to RGB without loss, so the user need not choose.
_KINDS = {"1": _GRAY, "L": _GRAY, "RGB": _COLOR, "P": _COLOR, "CMYK": "in CMYK"}
_KINDS |= dict.fromkeys(("LA", "La", "PA", "RGBA", "RGBa"), _TRANSPARENT)
_PNG_SIGNATURE, _JPEG_SIGNATURE = b"\x89PNG\r\n\x1a\n", b"\xff\xd8"
_PNG_BIT_DEPTH_OFFSET = 24  # the byte of a PNG file that holds its bits per sample


def decode_pictures(files: Sequence[Path], image_size: int | None, grayscale: bool | None) -> NDArray[np.uint8]:
    """Decode pictures into one array, each rotated as its EXIF orientation says.

    Args:
        files: the PNG and JPEG files, at least one.
        image_size: side in pixels of the square to which pictures are cropped (about the centre) and resized
            (bilinearly); None keeps them as they are.
        grayscale: True for one channel, False for three, either with transparent pixels on white; None keeps the
            channels of the files.

    Returns:
        [N, C, H, W], in the order of the files.

    Raises:
        DataError: a file cannot be decoded, or differs from the first one in size or channels. The message names the
            first such file.
    """
    decode = partial(_decode, image_size=image_size, grayscale=grayscale)
    with _refuse_decompression_bombs(), ThreadPoolExecutor() as pool:
        pictures = pool.map(decode, files)
        try:
            first_picture = next(pictures)
            stacked_pictures = np.empty((len(files), *first_picture.shape), np.uint8)  # [N, H, W] or [N, H, W, 3]
            stacked_pictures[0] = first_picture
            for i, picture in enumerate(pictures, 1):
                _check_alike(files[0], first_picture, files[i], picture)
                stacked_pictures[i] = picture
        except MemoryError as error:
            raise _error(f"{len(files):,} pictures do not fit into memory; use data.image_size=64") from error
        finally:
            pool.shutdown(wait=False, cancel_futures=True)  # after an error the rest need not be decoded
    if stacked_pictures.ndim == 3:
        return stacked_pictures[:, None]
    return np.ascontiguousarray(stacked_pictures.transpose(0, 3, 1, 2))


@contextlib.contextmanager
def _refuse_decompression_bombs() -> Iterator[None]:
    """Turn Pillow's warning about huge pictures into an error, and ignore its other warnings.

    Warning filters belong to the process, not to a thread, so this must not be entered inside the threads.
    """
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        warnings.simplefilter("error", Image.DecompressionBombWarning)
        yield


def _decode(file: Path, image_size: int | None, grayscale: bool | None) -> NDArray[np.uint8]:
    """Decode one picture: [H, W], or [H, W, 3] in color."""
    try:
        content = file.read_bytes()
    except OSError as error:
        raise _error(f"cannot read {file}: {error.strerror}") from error
    if not content:
        raise _error(f"{file} is empty; remove it from the folder")
    # Pillow would silently drop half of the bits.
    if content.startswith(_PNG_SIGNATURE) and content[_PNG_BIT_DEPTH_OFFSET : _PNG_BIT_DEPTH_OFFSET + 1] == b"\x10":
        raise _error(f"{file} has 16 bits per sample; convert it to 8")
    try:
        image: Image.Image = Image.open(io.BytesIO(content), formats=("PNG", "JPEG"))
        image.load()
    except (Image.DecompressionBombError, Image.DecompressionBombWarning) as error:
        raise _error(f"{file} has more than {Image.MAX_IMAGE_PIXELS:,} pixels; make it smaller") from error
    except Exception as error:  # a broken file can make Pillow raise almost anything
        if not content.startswith((_PNG_SIGNATURE, _JPEG_SIGNATURE)):
            raise _error(f"{file} is neither PNG nor JPEG, despite its name; remove it from the folder") from error
        raise _error(f"{file} is broken; replace it, or remove it from the folder") from error
    kind = _TRANSPARENT if "transparency" in image.info else _KINDS.get(image.mode, f"in mode {image.mode}")
    with contextlib.suppress(Exception):  # broken EXIF data does not make the picture broken
        image = ImageOps.exif_transpose(image)
    image = _convert(file, image, kind, grayscale)
    if image_size is not None:
        image = ImageOps.fit(image, (image_size, image_size), Image.Resampling.BILINEAR)
    return np.asarray(image)


def _convert(file: Path, image: Image.Image, kind: str, grayscale: bool | None) -> Image.Image:
    """Convert a picture to Pillow's mode L or RGB.

    Args:
        file: the picture's file, for the error message.
        image: the picture in any mode.
        kind: what it holds, one of the values of `_KINDS`.
        grayscale: True for L, False for RGB; None for the one that keeps its channels.

    Raises:
        DataError: `grayscale` is None, and the picture is neither gray nor in three colors.
    """
    if grayscale is None:
        if kind not in (_GRAY, _COLOR):
            raise _error(
                f"{file} is {kind}; type data.grayscale=false for three color channels, "
                "or data.grayscale=true for one gray channel"
            )
        return image.convert("L" if kind == _GRAY else "RGB")
    if kind == _TRANSPARENT:
        image = image.convert("RGBA")
        image = Image.alpha_composite(Image.new("RGBA", image.size, "white"), image).convert("RGB")
    return image.convert("L" if grayscale else "RGB")


def _check_alike(first_file: Path, first: NDArray[np.uint8], other_file: Path, other: NDArray[np.uint8]) -> None:
    """Check that two pictures have the same channels and size.

    Args:
        first_file: the file of the first picture, for the error message.
        first: its pixels, [H, W] or [H, W, 3].
        other_file: the file of the other picture, for the error message.
        other: its pixels, [H, W] or [H, W, 3].

    Raises:
        DataError: they differ.
    """
    if first.ndim != other.ndim:
        first_kind, other_kind = (_GRAY if pixels.ndim == 2 else _COLOR for pixels in (first, other))
        raise _error(
            f"{other_file} is {other_kind}, but {first_file} is {first_kind}; type data.grayscale=true for one gray "
            "channel, or data.grayscale=false for three color channels"
        )
    if first.shape != other.shape:
        first_size, other_size = (
            f"{pixels.shape[1]} pixels wide and {pixels.shape[0]} high" for pixels in (first, other)
        )
        raise _error(
            f"{other_file} is {other_size}, but {first_file} is {first_size}; to crop and resize all pictures to "
            f"squares of one size, type data.image_size={min(first.shape[:2])}"
        )


def _error(message: str) -> DataError:
    return DataError(f"data=image_folder: {message}")
