"""Images and labels that a program holds in memory, handed to `run` and `sweep`."""

import hashlib
import os
from collections.abc import Sequence
from contextlib import suppress
from dataclasses import dataclass, fields
from pathlib import Path
from typing import TYPE_CHECKING, Any, final

from regexp.data.picture_files import holds_pillow_images, stack_images
from regexp.data.sources import arrays_directory
from regexp.errors import ConfigError, StorageError
from regexp.utils.storage_errors import describe_storage_error

if TYPE_CHECKING:
    from numpy.typing import NDArray
    from torch import Tensor


@final
@dataclass(frozen=True, eq=False)
class Arrays:
    """Images and labels in memory, as NumPy arrays or tensors, for `run(..., data=...)` and `sweep(..., data=...)`.

    They are checked and read as those in a file of `data=arrays`. If there is no test set, a stratified fifth of the
    images becomes one; if there is no validation set, `data.val_size` decides how many are held out.

    The arrays are written once to the cache directory, into a file that is named by the hash of their contents: worker
    processes read it, and runs can be resumed from the command line. Equal contents are the same data.

    Attributes:
        images: [N, H, W], [N, H, W, C] or [N, C, H, W] with 1 or 3 channels C: bytes, or floats in [0, 1].
        labels: [N], whole numbers or strings.
        test_images: images as above; None for none.
        test_labels: their labels.
        val_images: images as above; None for none.
        val_labels: their labels.
        classes: names of the classes that the labels 0, 1, 2, ... stand for; None: the values that occur.

    Example:
        >>> import numpy as np
        >>> from regexp import Arrays, run
        >>> images, labels = np.random.rand(300, 8, 8), np.arange(300) % 3
        >>> run(["epochs=2"], data=Arrays(images, labels), quiet=True).status
        'completed'
    """

    images: "NDArray[Any] | Tensor"
    labels: "NDArray[Any] | Tensor | Sequence[Any]"
    test_images: "NDArray[Any] | Tensor | None" = None
    test_labels: "NDArray[Any] | Tensor | Sequence[Any] | None" = None
    val_images: "NDArray[Any] | Tensor | None" = None
    val_labels: "NDArray[Any] | Tensor | Sequence[Any] | None" = None
    classes: Sequence[str] | None = None

    def save(self) -> Path:
        """Write the arrays to their file in the cache, unless it is there, and return its path.

        Raises:
            ConfigError: an argument is no array.
            StorageError: the file cannot be written.
        """
        import numpy as np

        arrays = {item.name: _to_array(item.name, getattr(self, item.name)) for item in fields(self)}
        present_arrays: dict[str, Any] = {name: array for name, array in arrays.items() if array is not None}
        path = arrays_directory() / f"{_hash_arrays(present_arrays)}.npz"
        if path.exists():
            return path
        unfinished = path.with_suffix(f".{os.getpid()}.part")
        try:
            path.parent.mkdir(parents=True, exist_ok=True)
            with unfinished.open("wb") as file:
                np.savez(file, **present_arrays)
                file.flush()
                os.fsync(file.fileno())
            os.replace(unfinished, path)
        except OSError as error:
            with suppress(OSError):
                unfinished.unlink()
            other_way = "choose another cache directory with REGEXP_CACHE=DIR"
            raise StorageError(describe_storage_error(error, path, other_way)) from error
        return path


def _to_array(name: str, value: Any) -> "NDArray[Any] | None":
    """Return a tensor, an array or a list as an array; None for None."""
    import numpy as np

    if value is None:
        return None
    if holds_pillow_images(value):
        raise ConfigError(f'Arrays: {name} holds images of Pillow; give {stack_images("L")}, or "RGB" for color')
    if hasattr(value, "detach"):  # a tensor, on any device; NumPy has no bfloat16
        value = value.detach().cpu()
        value = (value.float() if str(value.dtype) == "torch.bfloat16" else value).numpy()
    try:
        array: NDArray[Any] = np.asarray(value)
    except ValueError as error:
        raise ConfigError(f"Arrays: {name} is no array: {error}") from error
    if array.dtype.kind == "O":
        raise ConfigError(f"Arrays: {name} holds Python objects; give it a numeric or string dtype")
    return array


def _hash_arrays(arrays: "dict[str, NDArray[Any]]") -> str:
    """Return the hash of the names, types, shapes and contents of arrays: 16 hexadecimal digits."""
    import numpy as np

    digest = hashlib.sha256()
    for name, array in arrays.items():
        digest.update(f"{name}\0{array.dtype.str}\0{array.shape}\0".encode())
        digest.update(np.ascontiguousarray(array).view(np.uint8).data if array.size else b"")
    return digest.hexdigest()[:16]
