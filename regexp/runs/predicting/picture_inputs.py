"""Pictures to predict, read as those of an image folder are, in the size and channels of the training images."""

import os
from collections.abc import Iterator, Sequence
from math import prod
from pathlib import Path
from typing import TYPE_CHECKING

from regexp.data.leavings import LeftOut
from regexp.data.picture_files import FORMAT_NAMES, is_picture, is_unreadable
from regexp.errors import DataError
from regexp.runs.predicting.input_format import InputFormat
from regexp.utils.messages import show_bytes

if TYPE_CHECKING:
    import numpy as np
    from numpy.typing import NDArray

# At most so many images, and values of images, are in memory at once.
MAX_IMAGES, MAX_VALUES = 256, 2**22
# What the decoder says of a picture of a folder.
_PREFIX, _REMEDY = "data=image_folder: ", "; replace it, or remove it from the folder"


def list_pictures(path: Path, problems: dict[str, str]) -> list[Path]:
    """Return the pictures below a folder, by name, as training finds them; a path that is no folder as it is.

    Args:
        path: the folder.
        problems: where folders below it that may not be read are entered, by their names.

    Raises:
        DataError: the folder holds no pictures.
    """
    if not path.is_dir():
        return [path]
    files = list(_walk(path, (), problems))
    if not files and str(path) not in problems:
        raise DataError(f"{path}: holds no pictures ({FORMAT_NAMES})")
    return files


def _walk(folder: Path, parents: Sequence[str], problems: dict[str, str]) -> Iterator[Path]:
    """Yield the pictures below a folder, but for hidden ones and those that this and other programs leave.

    Args:
        folder: the folder.
        parents: the real paths of the folders that the walk is in, to which no link leads back.
        problems: where folders that may not be read are entered.
    """
    left_out, real_path = LeftOut(), os.path.realpath(folder)
    if real_path in parents:
        return
    try:
        entries = sorted(os.scandir(folder), key=lambda entry: entry.name)
    except OSError as error:
        problems[str(folder)] = f"cannot be read: {error.strerror}"
        return
    for entry in entries:
        if left_out.takes(entry):
            continue
        if entry.is_dir():
            yield from _walk(folder / entry.name, (*parents, real_path), problems)
        elif is_picture(entry):
            yield folder / entry.name


def read_pictures(
    files: Sequence[Path], form: InputFormat, problems: dict[str, str]
) -> "Iterator[tuple[list[str], NDArray[np.uint8]]]":
    """Yield batches of pictures as (names, images [n, C, H, W]), and enter those that cannot be read into `problems`.

    A picture of another size is cropped about its centre and resized, as with data.image_size; one with other channels
    becomes gray or gets three, as with data.grayscale. For pictures as they were in training this changes nothing.

    Args:
        files: the files.
        form: what the network takes.
        problems: what is wrong with a picture, by its name.
    """
    size = max(1, min(MAX_IMAGES, MAX_VALUES // prod(form.image_shape)))
    for start in range(0, len(files), size):
        batch = [file for file in files[start : start + size] if not _is_unreadable(file, problems)]
        try:
            if batch:
                yield [str(file) for file in batch], _decode(batch, form)
        except DataError:
            yield from _decode_one_by_one(batch, form, problems)


def _is_unreadable(file: Path, problems: dict[str, str]) -> bool:
    if is_unreadable(file):
        problems[str(file)] = f"is in a format that is not read, only {FORMAT_NAMES}; convert it"
    return is_unreadable(file)


def _decode_one_by_one(
    files: Sequence[Path], form: InputFormat, problems: dict[str, str]
) -> "Iterator[tuple[list[str], NDArray[np.uint8]]]":
    """Yield the pictures of a batch in which some cannot be read: the decoder answers for a batch as a whole."""
    for file in files:
        try:
            yield [str(file)], _decode([file], form)
        except DataError as error:
            text = str(error).removeprefix(_PREFIX).removeprefix(show_bytes(f"{file} "))
            problems[str(file)] = text.removesuffix(_REMEDY).removesuffix(", despite its name")


def _decode(files: Sequence[Path], form: InputFormat) -> "NDArray[np.uint8]":
    """Decode pictures into images of the network's size, [n, C, H, W]."""
    import numpy as np

    from regexp.data.decode import decode_pictures

    channels, height, width = form.image_shape
    scale = form.scale if form.data == "image_folder" else None  # that of arrays says nothing of pictures
    if height == width:
        return decode_pictures(files, height, channels == 1, scale)[0]
    images = [decode_pictures([file], None, channels == 1, scale)[0][0] for file in files]
    return np.stack([_fit(image, height, width) for image in images])


def _fit(image: "NDArray[np.uint8]", height: int, width: int) -> "NDArray[np.uint8]":
    """Return an image [C, h, w] cropped about its centre and resized, [C, H, W]; one of this size stays as it is."""
    import numpy as np
    from PIL import Image, ImageOps

    bands = [Image.fromarray(band) for band in image]
    return np.stack([np.asarray(ImageOps.fit(band, (width, height), Image.Resampling.BILINEAR)) for band in bands])
