"""Readers from files to decoded splits; each data set is decoded once and kept in the cache."""

import contextlib
import json
import os
from collections.abc import Callable
from typing import Any

import numpy as np
from numpy.typing import NDArray
from safetensors import SafetensorError, safe_open
from safetensors.numpy import save_file

from regexp.data.decode import decode_pictures
from regexp.data.idx import IDX_DATASETS, read_idx
from regexp.data.image_folder import scan_image_folder
from regexp.data.npz import read_arrays
from regexp.data.sources import Source
from regexp.data.splits import Split, Splits


def read_splits(source: Source) -> Splits:
    """Read the splits of a data set from the cache, or decode and cache them.

    Raises:
        DataError: the files are missing, broken or inconsistent.
    """
    if source.name == "digits":  # decoding takes no longer than reading a cache
        return read_digits(source)
    splits = _read_cache(source)
    if splits is None:
        splits = READERS[source.name](source)
        _write_cache(source, splits)
    return splits


def read_digits(source: Source) -> Splits:
    """Read scikit-learn's digits: 1,797 images of 8x8 pixels, whose 17 levels are spread over 0..255.

    From the UCI repository's "Optical Recognition of Handwritten Digits" (Alpaydin and Kaynak 1998).
    """
    table = np.loadtxt(source.root / "digits.csv.gz", delimiter=",", dtype=np.uint8)
    images = np.rint(table[:, :-1].astype(np.float64) * 255 / 16).astype(np.uint8).reshape(-1, 1, 8, 8)
    return Splits(Split(images, table[:, -1].astype(np.int64)), None, None, tuple("0123456789"))


def read_image_folder(source: Source) -> Splits:
    """Read the pictures in the user's folder."""
    folder = scan_image_folder(str(source.root))
    images = decode_pictures(folder.files(), source.image_size, source.grayscale)
    splits, start = {}, 0
    for name, samples in folder.samples.items():
        labels = np.array([label for _, label in samples], np.int64)
        splits[name] = Split(images[start : start + len(labels)], labels)
        start += len(labels)
    # The name of a folder on disk need not be valid text.
    classes = tuple(os.fsencode(name).decode(errors="replace") for name in folder.classes)
    return Splits(splits["train"], splits.get("validation"), splits.get("test"), classes)


def _read_idx_source(source: Source) -> Splits:
    return read_idx(source.name, IDX_DATASETS[source.name].directory(source.root))


# The reader of each data set, by the name that the configuration gives it.
READERS: dict[str, Callable[[Source], Splits]] = {
    "digits": read_digits,
    **dict.fromkeys(IDX_DATASETS, _read_idx_source),
    "image_folder": read_image_folder,
    "arrays": lambda source: read_arrays(source.root),
}


def _read_cache(source: Source) -> Splits | None:
    """Return the splits in the cache; None if it has none of this source, or is incomplete or broken."""
    with contextlib.suppress(OSError, SafetensorError, KeyError, ValueError, TypeError):
        with safe_open(source.cache, framework="numpy") as file:
            metadata = file.metadata() or {}
            if metadata["fingerprint"] != source.fingerprint:
                return None
            names = {key.split("_")[0] for key in file.keys()}  # noqa: SIM118
            cached = {
                name: Split(file.get_tensor(f"{name}_images"), file.get_tensor(f"{name}_labels")) for name in names
            }
        classes = tuple(json.loads(metadata["classes"]))
        splits = Splits(cached["train"], cached.get("validation"), cached.get("test"), classes)
        return splits if splits.is_consistent() else None
    return None


def _write_cache(source: Source, splits: Splits) -> None:
    """Write splits to the cache, in place of older ones of the same data set.

    A cache that cannot be written is no error: the data set is decoded again next time.
    """
    tensors: dict[str, NDArray[Any]] = {}
    for name, split in splits.by_name().items():
        tensors |= {f"{name}_images": np.ascontiguousarray(split.images), f"{name}_labels": split.labels}
    metadata = {"fingerprint": source.fingerprint, "classes": json.dumps(splits.classes)}
    directory, prefix = source.cache.parent, source.cache.name.rpartition("-")[0]
    unfinished = source.cache.with_suffix(f".{os.getpid()}.part")
    with contextlib.suppress(OSError, SafetensorError):
        directory.mkdir(parents=True, exist_ok=True)
        try:
            save_file(tensors, unfinished, metadata)
            os.replace(unfinished, source.cache)
        finally:
            unfinished.unlink(missing_ok=True)
        for older in directory.glob(f"{prefix}-*.safetensors"):
            if older != source.cache:
                older.unlink(missing_ok=True)
