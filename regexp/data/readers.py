"""From files to decoded parts, each data set decoded once and kept in the cache."""

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
    """The parts of a data set, from the cache where it is whole, else decoded and cached. Raises DataError."""
    if source.name == "digits":  # as quick to decode
        return read_digits(source)
    parts = _read_cache(source)
    if parts is None:
        parts = READERS[source.name](source)
        _write_cache(source, parts)
    return parts


def read_digits(source: Source) -> Splits:
    """scikit-learn's digits: 1,797 images of 8x8 pixels, whose 17 levels are spread over 0..255.

    From the UCI repository's "Optical Recognition of Handwritten Digits" (Alpaydin and Kaynak 1998).
    """
    table = np.loadtxt(source.root / "digits.csv.gz", delimiter=",", dtype=np.uint8)
    images = np.rint(table[:, :-1].astype(np.float64) * 255 / 16).astype(np.uint8).reshape(-1, 1, 8, 8)
    return Splits(Split(images, table[:, -1].astype(np.int64)), None, None, tuple("0123456789"))


def read_image_folder(source: Source) -> Splits:
    """The user's pictures."""
    folder = scan_image_folder(str(source.root))
    images = decode_pictures(folder.files(), source.image_size, source.grayscale)
    parts, start = {}, 0
    for name, pictures in folder.pictures.items():
        labels = np.array([label for _, label in pictures], np.int64)
        parts[name] = Split(images[start : start + len(labels)], labels)
        start += len(labels)
    # A name on disk need not be text.
    classes = tuple(os.fsencode(name).decode(errors="replace") for name in folder.classes)
    return Splits(parts["train"], parts.get("validation"), parts.get("test"), classes)


READERS: dict[str, Callable[[Source], Splits]] = {
    "digits": read_digits,
    **{name: lambda source: read_idx(source.name, IDX_DATASETS[source.name].folder(source.root)) for name in IDX_DATASETS},
    "image_folder": read_image_folder,
    "arrays": lambda source: read_arrays(source.root),
}


def _read_cache(source: Source) -> Splits | None:
    """The parts in the cache; None if there are none of this source, or not whole."""
    with contextlib.suppress(OSError, SafetensorError, KeyError, ValueError, TypeError):
        with safe_open(source.cache, framework="numpy") as file:
            facts, names = file.metadata() or {}, {name.split("_")[0] for name in file.keys()}  # noqa: SIM118
            if facts["fingerprint"] != source.fingerprint:
                return None
            found = {
                name: Split(file.get_tensor(f"{name}_images"), file.get_tensor(f"{name}_labels")) for name in names
            }
        parts = Splits(found["train"], found.get("validation"), found.get("test"), tuple(json.loads(facts["classes"])))
        return parts if parts.whole() else None
    return None


def _write_cache(source: Source, parts: Splits) -> None:
    """Write the cache, in place of what it held of this source before; one that cannot be written costs time."""
    tensors: dict[str, NDArray[Any]] = {}
    for name, part in parts.named().items():
        tensors |= {f"{name}_images": np.ascontiguousarray(part.images), f"{name}_labels": part.labels}
    facts = {"fingerprint": source.fingerprint, "classes": json.dumps(parts.classes)}
    folder, place = source.cache.parent, source.cache.name.rpartition("-")[0]
    unfinished = source.cache.with_suffix(f".{os.getpid()}.part")
    with contextlib.suppress(OSError, SafetensorError):
        folder.mkdir(parents=True, exist_ok=True)
        try:
            save_file(tensors, unfinished, facts)
            os.replace(unfinished, source.cache)
        finally:
            unfinished.unlink(missing_ok=True)
        for older in folder.glob(f"{place}-*.safetensors"):
            if older != source.cache:
                older.unlink(missing_ok=True)
