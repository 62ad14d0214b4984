"""Reading of data sets, each of which is decoded once and then kept in the cache."""

import contextlib
import json
import os
from typing import Any

import numpy as np
from numpy.typing import NDArray
from safetensors import SafetensorError, safe_open
from safetensors.numpy import save_file

from regexp.config.schemas.data import DATA_SOURCES
from regexp.data.sources import Source
from regexp.data.splits import Split, Splits
from regexp.data.tables.columns import Column
from regexp.errors import DataError
from regexp.utils.lazy import load_object
from regexp.utils.messages import show_bytes


def read_splits(source: Source) -> Splits:
    """Read the splits of a data set from the cache, or decode and cache them.

    Raises:
        DataError: the files are missing, broken or inconsistent.
    """
    data_source = DATA_SOURCES[source.name]
    splits = _read_cache(source) if data_source.cached else None
    if splits is None:
        splits = load_object(data_source.read)(source)
        if len(labels := np.unique(splits.train.labels)) < 2:
            only_class = show_bytes(splits.classes[int(labels[0])])
            raise DataError(
                f"data={source.name}: all {len(splits.train):,} training {data_source.unit}s are of one class, "
                f"{only_class}; at least two are needed"
            )
        if data_source.cached:
            _write_cache(source, splits)
    return splits


def _read_cache(source: Source) -> Splits | None:
    """Return the splits in the cache file of a source; None if it is missing, outdated, incomplete or broken."""
    with contextlib.suppress(OSError, SafetensorError, KeyError, ValueError, TypeError):
        with safe_open(source.cache, framework="numpy") as file:
            metadata = file.metadata() or {}
            if metadata["fingerprint"] != source.fingerprint:
                return None
            names = {key.split("_")[0] for key in file.keys()}  # noqa: SIM118
            cached = {
                name: Split(file.get_tensor(f"{name}_images"), file.get_tensor(f"{name}_labels")) for name in names
            }
        classes, notes = tuple(json.loads(metadata["classes"])), json.loads(metadata["notes"])
        columns = None
        if "columns" in metadata:
            columns = tuple(
                Column(name, None if categories is None else tuple(categories))
                for name, categories in json.loads(metadata["columns"])
            )
        splits = Splits(cached["train"], cached.get("validation"), cached.get("test"), classes, notes, columns)
        return splits if splits.is_consistent() else None
    return None


def _write_cache(source: Source, splits: Splits) -> None:
    """Write splits to the cache, in place of older ones of the same data set.

    A cache that cannot be written is no error: the data set is decoded again next time.
    """
    tensors: dict[str, NDArray[Any]] = {}
    for name, split in splits.by_name().items():
        tensors |= {f"{name}_images": np.ascontiguousarray(split.images), f"{name}_labels": split.labels}
    metadata = {"classes": json.dumps(splits.classes), "notes": json.dumps(dict(splits.notes))}
    metadata["fingerprint"] = source.fingerprint
    if splits.columns is not None:
        metadata["columns"] = json.dumps([(column.name, column.categories) for column in splits.columns])
    directory, prefix = source.cache.parent, source.cache.name.rpartition("-")[0]
    unfinished = source.cache.with_suffix(f".{os.getpid()}.part")
    with contextlib.suppress(OSError, SafetensorError):
        directory.mkdir(parents=True, exist_ok=True)
        try:
            save_file(tensors, unfinished, metadata)
            os.replace(unfinished, source.cache)
        finally:
            unfinished.unlink(missing_ok=True)
        for cache in directory.glob(f"{prefix}-*.safetensors"):
            if cache != source.cache:
                cache.unlink(missing_ok=True)
