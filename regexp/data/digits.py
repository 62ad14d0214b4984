"""Handwritten digits from scikit-learn: real data without a download."""

import importlib.util
from pathlib import Path

import numpy as np

from regexp.data.sources import Source, SourceFiles
from regexp.data.splits import Split, Splits
from regexp.errors import DataError


def find_digits(name: str, root: str | None, path: str | None) -> SourceFiles:
    """Find the digits in the installed scikit-learn; raise DataError if it is not there."""
    spec = importlib.util.find_spec("sklearn")  # finds the package without importing it
    if spec is None or not spec.submodule_search_locations:
        raise DataError("data=digits: the digits come with scikit-learn, which is not installed; type: uv sync")
    directory = Path(spec.submodule_search_locations[0]) / "datasets" / "data"
    return SourceFiles(directory, [directory / "digits.csv.gz"])


def read_digits(source: Source) -> Splits:
    """Read scikit-learn's digits: 1,797 images of 8x8 pixels, whose 17 levels are spread over 0..255.

    The data come from the UCI repository's "Optical Recognition of Handwritten Digits" (Alpaydin and Kaynak 1998).
    """
    table = np.loadtxt(source.root / "digits.csv.gz", delimiter=",", dtype=np.uint8)
    images = np.rint(table[:, :-1].astype(np.float64) * 255 / 16).astype(np.uint8).reshape(-1, 1, 8, 8)
    return Splits(Split(images, table[:, -1].astype(np.int64)), None, None, tuple("0123456789"))
