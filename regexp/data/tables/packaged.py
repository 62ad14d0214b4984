"""The tables that come with scikit-learn: real data without a download."""

import importlib.util
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING

from regexp.data.sources import SourceFiles
from regexp.errors import DataError

if TYPE_CHECKING:
    from regexp.data.sources import Source
    from regexp.data.splits import Splits

_CELL_VALUES = (
    *("radius", "texture", "perimeter", "area", "smoothness", "compactness", "concavity"),
    *("concave points", "symmetry", "fractal dimension"),
)


@dataclass(frozen=True)
class PackagedTable:
    """A table of scikit-learn: numbers, and the label in the last column.

    Attributes:
        file: the name of its file, whose first line holds the names of the classes.
        columns: the names of its columns.
    """

    file: str
    columns: tuple[str, ...]


PACKAGED_TABLES = {
    # Wolberg, Mangasarian and Street 1993: cell nuclei in pictures of tumours
    "breast_cancer": PackagedTable(
        "breast_cancer.csv",
        (
            *(f"mean {value}" for value in _CELL_VALUES),
            *(f"{value} error" for value in _CELL_VALUES),
            *(f"worst {value}" for value in _CELL_VALUES),
        ),
    ),
    # Aeberhard and Forina 1991: chemistry of wines of three growers
    "wine": PackagedTable(
        "wine_data.csv",
        (
            "alcohol",
            "malic_acid",
            "ash",
            "alcalinity_of_ash",
            "magnesium",
            "total_phenols",
            "flavanoids",
            "nonflavanoid_phenols",
            "proanthocyanins",
            "color_intensity",
            "hue",
            "od280/od315_of_diluted_wines",
            "proline",
        ),
    ),
}


def find_packaged_table(name: str, root: str | None, path: str | None) -> SourceFiles:
    """Find a table of the installed scikit-learn; raise DataError if it is not there."""
    spec = importlib.util.find_spec("sklearn")  # finds the package without importing it
    if spec is None or not spec.submodule_search_locations:
        raise DataError(f"data={name}: the table comes with scikit-learn, which is not installed; type: uv sync")
    directory = Path(spec.submodule_search_locations[0]) / "datasets" / "data"
    return SourceFiles(directory, [directory / PACKAGED_TABLES[name].file])


def read_packaged_table(source: "Source") -> "Splits":
    """Read a table of scikit-learn; its test set is split off later."""
    import numpy as np

    from regexp.data.splits import Split, Splits
    from regexp.data.tables.columns import Column

    table = PACKAGED_TABLES[source.name]
    file = source.root / table.file
    with file.open(encoding="utf-8") as lines:
        classes = next(lines).strip().split(",")[2:]  # after the numbers of rows and columns
        values = np.loadtxt(lines, delimiter=",", dtype=np.float64)
    columns = tuple(Column(name, None) for name in table.columns)
    return Splits(
        Split(values[:, :-1].copy(), values[:, -1].astype(np.int64)), None, None, tuple(classes), columns=columns
    )
