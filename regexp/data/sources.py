"""The files behind each data set and their fingerprint. Imports no torch: a finished run is recognized without it."""

import hashlib
import importlib.util
import os
from collections.abc import Sequence
from dataclasses import dataclass
from functools import lru_cache
from itertools import zip_longest
from pathlib import Path

from safetensors import SafetensorError, safe_open

from regexp.data.download import download
from regexp.data.idx import IDX_FILES, IDX_DATASETS
from regexp.data.image_folder import scan_image_folder
from regexp.errors import DataError


@dataclass(frozen=True)
class Source:
    """Where a data set comes from.

    Attributes:
        name: of the data set.
        root: folder to read it from; of arrays the file.
        cache: file for its decoded tensors, named after the source files' places, sizes and times, and how they are
            decoded.
        fingerprint: hash of the source files' bytes.
        image_size, grayscale: of an image folder, as in decoding.
    """

    name: str
    root: Path
    cache: Path
    fingerprint: str
    image_size: int | None = None
    grayscale: bool | None = None


def cache_directory() -> Path:
    """The user's cache folder: $REGEXP_CACHE, else `regexp` in $XDG_CACHE_HOME, else in ~/.cache."""
    if given := os.environ.get("REGEXP_CACHE"):
        return Path(given)
    return Path(os.environ.get("XDG_CACHE_HOME") or Path.home() / ".cache") / "regexp"


def locate(
    name: str,
    root: str | None = None,
    path: str | None = None,
    image_size: int | None = None,
    grayscale: bool | None = None,
) -> Source:
    """The source of a data set; one that torchvision knows is downloaded into `root` if it is not there.

    Args:
        name: of the data set.
        root: its folder; None: the environment's or the cache's. Ignored by digits and arrays.
        path: the file of arrays.
        image_size, grayscale: of an image folder, as in decoding.

    Raises:
        DataError: it is not there, or cannot be read or downloaded.
        StorageError: it cannot be downloaded there.
    """
    try:
        folder, files = _files(name, root, path)
        names = [str(file.relative_to(folder)) for file in files]
        states = [file.stat() for file in files]
        # A copy may keep the time of the last change of its content, but not of its being put there.
        stamps = [(n, s.st_size, s.st_mtime_ns, s.st_ctime_ns) for n, s in zip(names, states, strict=True)]
        place = _short(repr((str(folder.resolve()), image_size, grayscale)).encode())
        cache = cache_directory() / f"{name}-{place}-{_short(repr(stamps).encode())}.safetensors"
        hashed = tuple(names) if name == "image_folder" else ()  # they are its classes
        fingerprint = read_cached_fingerprint(cache) or _hash(cache, tuple(files), hashed)
        return Source(name, folder, cache, fingerprint, image_size, grayscale)
    except OSError as error:
        raise DataError(f"data={name}: cannot read {error.filename}: {error.strerror}") from error


def _files(name: str, root: str | None, path: str | None) -> tuple[Path, list[Path]]:
    """Folder (of arrays the file) and files of a data set."""
    if name == "digits":
        folder = _digits_folder()
        return folder, [folder / "digits.csv.gz"]
    if name == "image_folder":
        found = scan_image_folder(root)
        return found.root, found.files()
    if name == "arrays":
        if not path:
            raise DataError("data=arrays: name the file that holds images and labels: data.path=FILE.npz")
        file = Path(path).expanduser()
        if not file.is_file():
            raise DataError(
                f"data=arrays: data.path={path}: {'is a folder' if file.is_dir() else 'there is no such file'}"
            )
        return file, [file]
    folder = Path(root or os.environ.get("REGEXP_DATA_ROOT") or cache_directory() / "data").expanduser()
    files = [IDX_DATASETS[name].folder(folder) / file for file in IDX_FILES]
    if not all(file.is_file() for file in files):
        download(name, folder)
    return folder, files


def read_cached_fingerprint(cache: Path) -> str | None:
    """What the cache file says of its source; None if it is not there or broken."""
    try:
        with safe_open(cache, framework="numpy") as file:
            return (file.metadata() or {}).get("fingerprint")
    except (OSError, SafetensorError):
        return None


@lru_cache(maxsize=8)  # the cache's name changes with the files; until it is written they would be read again and again
def _hash(cache: Path, files: Sequence[Path], names: Sequence[str]) -> str:
    """Of the bytes of files, and of their names where they are given."""
    digest = hashlib.sha256()
    for file, name in zip_longest(files, names):
        if name is not None:
            digest.update(os.fsencode(f"{name}\0{file.stat().st_size}\0"))
        with file.open("rb") as content:
            hashlib.file_digest(content, lambda: digest)
    return digest.hexdigest()[:16]


def _short(content: bytes) -> str:
    return hashlib.sha256(content).hexdigest()[:16]


def _digits_folder() -> Path:
    spec = importlib.util.find_spec("sklearn")  # finds the package without importing it
    if spec is None or not spec.submodule_search_locations:
        raise DataError("data=digits: scikit-learn, which holds the digits, is not installed; type: uv sync")
    return Path(spec.submodule_search_locations[0]) / "datasets" / "data"
