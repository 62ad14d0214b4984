"""Which files are pictures that can be read, which are pictures that cannot, and which are neither."""

import os
from pathlib import Path
from typing import Any

# Pillow's names of the formats that are read.
FORMATS = ("PNG", "JPEG", "WEBP", "BMP", "DIB", "GIF", "TIFF", "PPM")
FORMAT_NAMES = "PNG, JPEG, WebP, BMP, GIF, TIFF, PPM"
_READ = {".png", ".apng", ".jpg", ".jpeg", ".jpe", ".jfif", ".jif", ".webp", ".bmp", ".dib", ".gif", ".tif", ".tiff"}
_READ |= {".pbm", ".pgm", ".pnm", ".ppm"}
# Pictures in other formats: leaving them out like any other file would lose them silently.
_UNREAD = {".avif", ".heic", ".heif", ".jp2", ".j2k", ".jxl", ".svg", ".psd", ".eps", ".ico", ".tga", ".exr", ".hdr"}
_UNREAD |= {".arw", ".cr2", ".cr3", ".dng", ".nef", ".orf", ".raf", ".rw2", ".dcm"}
_SIGNATURES = (b"\x89PNG\r\n\x1a\n", b"\xff\xd8\xff", b"GIF87a", b"GIF89a", b"II*\0", b"MM\0*")
_HEAD_BYTES = 16


def is_picture(file: Path | os.DirEntry[str]) -> bool:
    """Return whether a file is a picture: by its name, or where that says nothing by its content."""
    suffix = _suffix(file)
    return suffix in _READ or suffix in _UNREAD or _has_signature(file)


def is_unreadable(file: Path | os.DirEntry[str]) -> bool:
    """Return whether the name of a file says that it is a picture in a format that is not read."""
    return _suffix(file) in _UNREAD


def _suffix(file: Path | os.DirEntry[str]) -> str:
    return os.path.splitext(file.name)[1].lower()


def _has_signature(file: Path | os.DirEntry[str]) -> bool:
    """Return whether a file begins as a picture does."""
    try:
        with open(file, "rb") as content:
            head = content.read(_HEAD_BYTES)
    except OSError:
        return False
    is_webp = head[:4] == b"RIFF" and head[8:12] == b"WEBP"
    is_bmp = head[:2] == b"BM" and head[6:10] == bytes(4) and len(head) == _HEAD_BYTES
    return is_webp or is_bmp or head.startswith(_SIGNATURES)


def holds_pillow_images(value: Any) -> bool:
    """Return whether a value is an image of Pillow, or a list with some.

    NumPy makes arrays of them, but in place of the levels of one with a palette it takes the numbers of its colors.
    """
    items = value if isinstance(value, list | tuple) else [value]
    return any(type(item).__module__.startswith("PIL.") for item in items)


def stack_images(mode: str) -> str:
    """Return the line of Python that makes an array of images of Pillow, converted to a mode of Pillow."""
    return f'numpy.stack([numpy.asarray(image.convert("{mode}")) for image in images])'
