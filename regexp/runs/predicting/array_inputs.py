"""Images in arrays to predict, in the layouts and ranges that `regexp.Arrays` takes."""

from collections.abc import Iterator
from math import inf, prod
from pathlib import Path
from typing import TYPE_CHECKING, Any

from regexp.data.brightness import Brightness, convert_to_bytes, measure_brightness, suggest_white
from regexp.errors import DataError
from regexp.runs.predicting.input_format import InputFormat
from regexp.runs.predicting.picture_inputs import MAX_IMAGES, MAX_VALUES

if TYPE_CHECKING:
    import numpy as np
    from numpy.typing import NDArray

SUFFIXES = (".npy", ".npz")


def read_array(
    value: Any, form: InputFormat, notes: list[str], name: str = ""
) -> "Iterator[tuple[list[str], NDArray[np.uint8]]]":
    """Yield batches of the images in an array as (names, images [n, C, H, W]).

    Args:
        value: a NumPy array, a tensor on any device, or a list of images.
        form: what the network takes.
        notes: where a warning about dark images is added.
        name: the name of the array's file; "" for an array in memory.

    Raises:
        DataError: the array does not fit what the network takes.
    """
    images = _to_layout(_to_array(value), form, name or "images")
    brightness = _check_brightness(images, form, name or "images")
    if brightness.high <= 0:
        notes.append(f"{name or 'images'}: every pixel is 0, which is black")
    elif brightness.is_dark:
        white = suggest_white(float(brightness.high))
        notes.append(
            f"{name or 'images'}: the highest number is {brightness.high!s}, and {brightness.white:g} is taken for "
            f"white, so the images are dark; if {white} is white, give images / {white}"
        )
    size = max(1, min(MAX_IMAGES, MAX_VALUES // prod(form.image_shape)))
    for start in range(0, len(images), size):
        batch = images[start : start + size]
        numbers = range(start, start + len(batch))
        names = [f"{name}[{i}]" if name else str(i) for i in numbers]
        yield names, convert_to_bytes(batch, brightness.white)


def load_array(path: Path) -> Any:
    """Return the array in an .npy file, or the array `images`, or the only one, of an .npz file.

    Raises:
        DataError: the file is broken, or it is not clear which array is meant.
    """
    import numpy as np

    try:
        content = np.load(path, mmap_mode="r", allow_pickle=False)
        if not isinstance(content, np.lib.npyio.NpzFile):
            return content
        with content:
            name = "images" if "images" in content.files or len(content.files) != 1 else content.files[0]
            if name not in content.files:
                raise DataError(f"{path}: has no array images, only {', '.join(content.files)}; save it as images")
            return content[name]
    except (OSError, ValueError, EOFError, RuntimeError, MemoryError) as error:
        reason = error.strerror if isinstance(error, OSError) and error.strerror else "is no complete file of arrays"
        raise DataError(f"{path}: {reason}") from error


def _to_array(value: Any) -> "NDArray[Any]":
    import numpy as np

    if hasattr(value, "detach"):  # NumPy has no bfloat16
        value = value.detach().cpu()
        value = (value.float() if str(value.dtype) == "torch.bfloat16" else value).numpy()
    try:
        return np.asarray(value)
    except ValueError as error:
        raise DataError(f"images: make no array: {error}") from error


def _to_layout(array: "NDArray[Any]", form: InputFormat, where: str) -> "NDArray[Any]":
    """Return images [n, C, H, W] of the size that the network was trained on."""
    channels, height, width = form.image_shape
    layouts: dict[str, tuple[int, ...]] = {
        "[n, H, W, C]": (height, width, channels),
        "[n, C, H, W]": (channels, height, width),
    }
    if channels == 1:
        layouts["[n, H, W]"] = (height, width)
    # The last axis comes first, as in training: where it can be the channels, it is.
    layout = next((name for name, shape in layouts.items() if array.shape[1:] == shape), None)
    if layout is None:
        shapes = " or ".join(str(["n", *shape]).replace("'", "") for shape in reversed(layouts.values()))
        single = "; for a single image give images[None]" if array.shape in layouts.values() else ""
        raise DataError(f"{where}: has the shape {list(array.shape)}, but the run takes {shapes}{single}")
    if len(array) == 0:
        raise DataError(f"{where}: holds no images")
    return array[:, None] if layout == "[n, H, W]" else array.transpose(0, 3, 1, 2) if layout.endswith("C]") else array


def _check_brightness(images: "NDArray[Any]", form: InputFormat, where: str) -> Brightness:
    """Measure the numbers of images, and check that they are black to white."""
    brightness = measure_brightness(where, images, form.scale)
    if brightness is None:
        raise DataError(f"{where}: holds {images.dtype}; images are whole numbers or floating point, and 0 is black")
    if (problem := brightness.find_problem()) is not None:
        if brightness.white < brightness.high < inf:  # the remedy names a key of the training command
            white = suggest_white(float(brightness.high))
            remedy = "as in training" if brightness.is_typed else f"if {white} is white, give images / {white}"
            problem = f"{problem.partition('; if ')[0]}; {remedy}"
        raise DataError(f"{where}: {problem}")
    return brightness
