"""The files of data sets, and their fingerprints.

This module imports no torch, so that a finished run is recognized without it.
"""

import gzip
import hashlib
import os
import unicodedata
import zlib
from collections.abc import Sequence
from dataclasses import dataclass
from errno import EACCES
from functools import lru_cache
from itertools import zip_longest
from pathlib import Path

from safetensors import SafetensorError, safe_open

from regexp.config.schemas.data import DATA_SOURCES, TableOptions
from regexp.config.words.homes import expand_home
from regexp.errors import ConfigError, DataError, StorageError
from regexp.utils.lazy import load_object
from regexp.utils.messages import list_first, show_bytes

# Raise it when a reader makes something else of the same files: older caches are then decoded again.
READING_VERSION = 2


@dataclass(frozen=True)
class SourceFiles:
    """The paths of a data set's files.

    Attributes:
        root: the directory that holds them, or the one file.
        files: the paths of all files.
        names_matter: whether the files' names are part of the data, as where they decide the classes.
        unpack: whether compressed files (.gz) are the same data as their contents.
    """

    root: Path
    files: Sequence[Path]
    names_matter: bool = False
    unpack: bool = False


@dataclass(frozen=True)
class Source:
    """A data set on disk: its files, their fingerprint, and the options for decoding them.

    Attributes:
        name: the name by which the configuration chooses the data set.
        root: the directory to read from; for arrays the file.
        cache: the file for the decoded tensors. Its name depends on the paths, sizes and times of the source files and
            on how they are decoded.
        fingerprint: the hash of the source files' bytes; for image folders also of their names.
        image_size: side in pixels to which the pictures of an image folder are resized; None keeps their size.
        grayscale: whether to decode the pictures of an image folder as gray (True) or in color (False); None keeps
            their channels.
        scale: the number that is white in pictures and arrays; None for the usual one of their type.
        table: the options for reading a table; None for other data sets.
    """

    name: str
    root: Path
    cache: Path
    fingerprint: str
    image_size: int | None = None
    grayscale: bool | None = None
    scale: float | None = None
    table: TableOptions | None = None


def cache_directory() -> Path:
    """Return the user's cache directory: $REGEXP_CACHE, else `regexp` in $XDG_CACHE_HOME, else in ~/.cache."""
    if cache := os.environ.get("REGEXP_CACHE"):
        return expand_home(cache)
    try:
        return expand_home(os.environ.get("XDG_CACHE_HOME") or "~/.cache") / "regexp"
    except ConfigError as error:
        raise StorageError(f"there is no place for the cache; set REGEXP_CACHE=DIR ({error})") from error


def arrays_directory() -> Path:
    """Return the directory of arrays that were handed to Python's functions: `arrays` in the cache."""
    return cache_directory() / "arrays"


def data_directory(root: str | None) -> Path:
    """Return the directory of downloaded data sets: `root`, else $REGEXP_DATA_ROOT, else `data` in the cache."""
    return expand_home(root or os.environ.get("REGEXP_DATA_ROOT") or cache_directory() / "data")


def locate(
    name: str,
    root: str | None = None,
    path: str | None = None,
    image_size: int | None = None,
    grayscale: bool | None = None,
    scale: float | None = None,
    table: TableOptions | None = None,
) -> Source:
    """Find the files of a data set and take their fingerprint.

    A data set that torchvision can download is downloaded into `root` if it is not there.

    Args:
        name: the name by which the configuration chooses the data set.
        root: its directory; None for $REGEXP_DATA_ROOT, else `data` in the cache directory. Ignored for digits and
            arrays; required for an image folder.
        path: the file of arrays or of a table; ignored for other data sets.
        image_size: side in pixels to which the pictures of an image folder are resized; None keeps their size.
        grayscale: whether to decode the pictures of an image folder as gray (True) or in color (False); None keeps
            their channels.
        scale: the number that is white in pictures and arrays; None for the usual one of their type.
        table: the options for reading a table; None for other data sets.

    Raises:
        ConfigError: a table lacks a column that the options name.
        DataError: the files are missing, cannot be read or cannot be downloaded.
        StorageError: the download cannot be stored in `root`.
    """
    try:
        table_arguments = () if table is None else (table,)
        source_files: SourceFiles = load_object(DATA_SOURCES[name].find)(name, root, path, *table_arguments)
        base, files = source_files.root, source_files.files
        # Composed and decomposed letters are the same name, and the same data on another system.
        names = [unicodedata.normalize("NFC", os.path.relpath(file, base)) for file in files]
        # A copied file may keep the modification time of the original, but its own change time (ctime) is new.
        stats = _stat_all(name, files)
        stamps = [
            (file_name, stat.st_size, stat.st_mtime_ns, stat.st_ctime_ns)
            for file_name, stat in zip(names, stats, strict=True)
        ]
        options = (str(base.resolve()), image_size, grayscale, scale, *table_arguments)
        base_hash = _short_hash(repr(options).encode())
        stamps_hash = _short_hash(repr((READING_VERSION, stamps)).encode())
        cache = cache_directory() / f"{name}-{base_hash}-{stamps_hash}.safetensors"
        hashed_names = tuple(names) if source_files.names_matter else ()
        fingerprint = read_cached_fingerprint(cache) or _hash_files(
            cache, tuple(files), hashed_names, source_files.unpack
        )
        return Source(name, base, cache, fingerprint, image_size, grayscale, scale, table)
    except (EOFError, zlib.error, gzip.BadGzipFile) as error:
        raise DataError(f"data={name}: a compressed file in {show_bytes(str(base))} is broken; remove it") from error
    except OSError as error:
        raise DataError(f"data={name}: cannot read {show_bytes(str(error.filename))}: {error.strerror}") from error


def _stat_all(name: str, files: Sequence[Path]) -> list[os.stat_result]:
    """Return the size and times of each file; raise DataError with a list of those that cannot be opened."""
    stats, problems = [], []
    for file in files:
        try:
            stats.append(file.stat())
            if not os.access(file, os.R_OK):
                raise PermissionError(EACCES, os.strerror(EACCES))
        except OSError as error:
            problems.append(f"{show_bytes(str(file))}: {error.strerror}")
    if len(problems) == 1:
        raise DataError(f"data={name}: cannot read {problems[0]}")
    if problems:
        raise DataError(f"data={name}: cannot read {len(problems):,} of {len(files):,} files:{list_first(problems)}")
    return stats


def read_cached_fingerprint(cache: Path) -> str | None:
    """Return the fingerprint that a cache file holds of its source; None if the file is missing or broken."""
    try:
        with safe_open(cache, framework="numpy") as file:
            return (file.metadata() or {}).get("fingerprint")
    except (OSError, SafetensorError):
        return None


# Until the cache is written, the same files would be hashed again and again. The path of the cache is part of the key,
# because it changes when the files do.
@lru_cache(maxsize=8)
def _hash_files(cache: Path, files: Sequence[Path], names: Sequence[str], unpack: bool) -> str:
    """Return the hash of the bytes of files.

    Args:
        cache: the path of the data set's cache, which only serves as a key.
        files: the files to hash.
        names: a name for each file, hashed too; empty to hash the bytes only.
        unpack: whether to hash the contents of compressed files (.gz).

    Returns:
        16 hexadecimal digits.
    """
    digest = hashlib.sha256()
    for file, name in zip_longest(files, names):
        if name is not None:
            digest.update(os.fsencode(f"{name}\0{file.stat().st_size}\0"))
        with gzip.open(file) if unpack and file.suffix == ".gz" else file.open("rb") as content:
            hashlib.file_digest(content, lambda: digest)
    return digest.hexdigest()[:16]


def _short_hash(content: bytes) -> str:
    return hashlib.sha256(content).hexdigest()[:16]
