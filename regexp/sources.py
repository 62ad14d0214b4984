"""The files behind each data set and their fingerprint. Imports no torch: a finished run is recognized without it."""

import contextlib
import hashlib
import importlib.util
import io
import os
import warnings
from dataclasses import dataclass
from http.client import HTTPException
from pathlib import Path

from safetensors import SafetensorError, safe_open

from regexp.errors import DataError

_MNIST_FILES = (
    "train-images-idx3-ubyte",
    "train-labels-idx1-ubyte",
    "t10k-images-idx3-ubyte",
    "t10k-labels-idx1-ubyte",
)


@dataclass(frozen=True)
class Source:
    """Where a data set comes from.

    Attributes:
        name: of the data set.
        root: folder to read it from.
        cache: file for its decoded tensors, named after the source files' places, sizes and times.
        fingerprint: hash of the source files' bytes.
    """

    name: str
    root: Path
    cache: Path
    fingerprint: str


def cache_folder() -> Path:
    """The user's cache folder: $REGEXP_CACHE, else `regexp` in $XDG_CACHE_HOME, else in ~/.cache."""
    if given := os.environ.get("REGEXP_CACHE"):
        return Path(given)
    return Path(os.environ.get("XDG_CACHE_HOME") or Path.home() / ".cache") / "regexp"


def locate(name: str, root: str | None) -> Source:
    """The source of a data set; downloads it into `root` if it is not there.

    Raises DataError if it is not there and cannot be downloaded.
    """
    if name == "digits":
        folder = _digits_folder()
        files = [folder / "digits.csv.gz"]
    else:
        folder = Path(root or os.environ.get("REGEXP_DATA_ROOT") or cache_folder() / "data").expanduser()
        files = [folder / "MNIST" / "raw" / file for file in _MNIST_FILES]
        if not all(file.is_file() for file in files):
            download_mnist(folder)
    try:
        stamps = [(str(file.resolve()), file.stat().st_size, file.stat().st_mtime_ns) for file in files]
        cache = cache_folder() / f"{name}-{hashlib.sha256(repr(stamps).encode()).hexdigest()[:16]}.safetensors"
        return Source(name, folder, cache, cached_fingerprint(cache) or _hash(files))
    except OSError as error:
        raise DataError(f"data={name}: cannot read {error.filename}: {error.strerror}") from error


def cached_fingerprint(cache: Path) -> str | None:
    """What the cache file says of its source; None if it is not there or broken."""
    try:
        with safe_open(cache, framework="numpy") as file:
            return (file.metadata() or {}).get("fingerprint")
    except (OSError, SafetensorError):
        return None


def _hash(files: list[Path]) -> str:
    digest = hashlib.sha256()
    for file in files:
        digest.update(file.read_bytes())
    return digest.hexdigest()[:16]


def _digits_folder() -> Path:
    spec = importlib.util.find_spec("sklearn")  # finds the package without importing it
    if spec is None or not spec.submodule_search_locations:
        raise DataError("data=digits: scikit-learn, which holds the digits, is not installed; type: uv sync")
    return Path(spec.submodule_search_locations[0]) / "datasets" / "data"


def download_mnist(root: Path) -> None:
    """Let torchvision download MNIST into `root`, and check its files there.

    Raises DataError that says what to put where.
    """
    from torchvision.datasets import MNIST

    try:
        with contextlib.redirect_stdout(io.StringIO()), warnings.catch_warnings():
            warnings.simplefilter("ignore")
            # The constructor would unpickle what older versions of torchvision have left in the folder.
            downloader = MNIST.__new__(MNIST)
            downloader.root = str(root)
            downloader.download()
    except (OSError, RuntimeError, HTTPException) as error:
        reason = (str(error).strip() or type(error).__name__).splitlines()[0]
        raise DataError(
            f"data=mnist: not in {root}, and it could not be downloaded ({reason}).\n"
            f"Put {', '.join(_MNIST_FILES)} into {root / 'MNIST' / 'raw'},\n"
            "or name the folder that holds MNIST/raw with data.root=DIR, or use data=digits, which needs no download."
        ) from error
