"""Pictures in PNG and JPEG files, decoded by Pillow in threads: it lets go of Python's lock meanwhile."""

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
# Pixels by Pillow's mode; the colors of a palette are exact, so that it needs no decision.
_KINDS = {"1": _GRAY, "L": _GRAY, "RGB": _COLOR, "P": _COLOR, "CMYK": "in CMYK"}
_KINDS |= dict.fromkeys(("LA", "La", "PA", "RGBA", "RGBa"), _TRANSPARENT)
_PNG, _JPEG = b"\x89PNG\r\n\x1a\n", b"\xff\xd8"  # how files begin
_DEPTH = 24  # where a PNG file tells the bits of a sample


def decode_pictures(files: Sequence[Path], image_size: int | None, grayscale: bool | None) -> NDArray[np.uint8]:
    """The pictures of all files [N, C, H, W], turned as their EXIF says.

    Args:
        files: at least one.
        image_size: side of the square to which pictures are cut (about the centre) and resized (bilinearly); None: as
            they are.
        grayscale: True: one channel, False: three, either with what is transparent on white; None: as they are.

    Raises DataError that names the first file which cannot be read, or is not like the first one.
    """
    decode = partial(_decode, image_size=image_size, grayscale=grayscale)
    with _bombs_refused(), ThreadPoolExecutor() as pool:
        decoded = pool.map(decode, files)
        try:
            first = next(decoded)
            whole = np.empty((len(files), *first.shape), np.uint8)  # [N, H, W] or [N, H, W, 3]
            whole[0] = first
            for i, pixels in enumerate(decoded, 1):
                _check_alike(files[0], first, files[i], pixels)
                whole[i] = pixels
        except MemoryError as error:
            raise _error(f"{len(files):,} pictures do not fit into memory; use data.image_size=64") from error
        finally:
            pool.shutdown(wait=False, cancel_futures=True)  # after an error the rest need not be decoded
    return whole[:, None] if whole.ndim == 3 else np.ascontiguousarray(whole.transpose(0, 3, 1, 2))


@contextlib.contextmanager
def _bombs_refused() -> Iterator[None]:
    """Make an error of the one warning of Pillow's that matters. Filters are no thread's own: not for inside one."""
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        warnings.simplefilter("error", Image.DecompressionBombWarning)
        yield


def _decode(file: Path, image_size: int | None, grayscale: bool | None) -> NDArray[np.uint8]:
    """One picture: [H, W], or [H, W, 3] in color."""
    try:
        content = file.read_bytes()
    except OSError as error:
        raise _error(f"cannot read {file}: {error.strerror}") from error
    if not content:
        raise _error(f"{file} is empty; take it out of the folder")
    # Pillow would drop half of the bits in silence.
    if content.startswith(_PNG) and content[_DEPTH : _DEPTH + 1] == b"\x10":
        raise _error(f"{file} has 16 bits a sample; convert it to 8")
    try:
        image: Image.Image = Image.open(io.BytesIO(content), formats=("PNG", "JPEG"))
        image.load()
    except (Image.DecompressionBombError, Image.DecompressionBombWarning) as error:
        raise _error(f"{file} has more than {Image.MAX_IMAGE_PIXELS:,} pixels; make it smaller") from error
    except Exception as error:  # Pillow lets through whatever a broken file makes it stumble over
        if not content.startswith((_PNG, _JPEG)):
            raise _error(f"{file} is neither PNG nor JPEG, whatever its name; take it out of the folder") from error
        raise _error(f"{file} is broken; replace it, or take it out of the folder") from error
    kind = _TRANSPARENT if "transparency" in image.info else _KINDS.get(image.mode, f"in mode {image.mode}")
    with contextlib.suppress(Exception):  # of broken EXIF: without it the picture is as whole as before
        image = ImageOps.exif_transpose(image)
    image = _converted(file, image, kind, grayscale)
    if image_size is not None:
        image = ImageOps.fit(image, (image_size, image_size), Image.Resampling.BILINEAR)
    return np.asarray(image)


def _converted(file: Path, image: Image.Image, kind: str, grayscale: bool | None) -> Image.Image:
    """A picture in one of Pillow's modes L and RGB."""
    if grayscale is None:
        if kind not in (_GRAY, _COLOR):
            raise _error(f"{file} is {kind}; type data.grayscale=false for three colors, or true for one channel")
        return image.convert("L" if kind == _GRAY else "RGB")
    if kind == _TRANSPARENT:
        image = image.convert("RGBA")
        image = Image.alpha_composite(Image.new("RGBA", image.size, "white"), image).convert("RGB")
    return image.convert("L" if grayscale else "RGB")


def _check_alike(file: Path, pixels: NDArray[np.uint8], other: Path, others: NDArray[np.uint8]) -> None:
    """Raises DataError if the second picture does not fit the first."""
    if pixels.ndim != others.ndim:
        kinds = [_GRAY if array.ndim == 2 else _COLOR for array in (others, pixels)]
        raise _error(
            f"{other} is {kinds[0]}, and {file} {kinds[1]}; type data.grayscale=true for one channel, "
            "or data.grayscale=false for three colors"
        )
    if pixels.shape != others.shape:
        sizes = [f"{array.shape[1]} pixels wide and {array.shape[0]} high" for array in (others, pixels)]
        raise _error(
            f"{other} is {sizes[0]}, and {file} {sizes[1]}; to cut and resize all of them to squares "
            f"of one size, type data.image_size={min(pixels.shape[:2])}"
        )


def _error(message: str) -> DataError:
    return DataError(f"data=image_folder: {message}")
