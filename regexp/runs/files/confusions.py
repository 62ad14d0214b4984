"""Which classes a run takes for which: confusion.csv, and the accuracy of each class. Imports no torch."""

import csv
import io
from collections.abc import Sequence
from pathlib import Path

from regexp.utils.atomic_io import write_atomically


def write_confusions(directory: Path, counts: Sequence[Sequence[int]], classes: Sequence[str]) -> None:
    """Write the confusion matrix of a run to confusion.csv: a row for each class, a column for each prediction.

    Args:
        directory: the directory of the run.
        counts: [classes, classes], the number of images by class (row) and prediction (column).
        classes: the names of the classes.

    Raises:
        OSError: the file cannot be written.
    """
    text = io.StringIO()
    writer = csv.writer(text, lineterminator="\n")
    writer.writerow(["label", *classes])
    writer.writerows([name, *row] for name, row in zip(classes, counts, strict=True))
    # summary.json is written after it, and waits for the disk.
    write_atomically(directory / "confusion.csv", text.getvalue().encode(), sync=False)


def measure_classes(counts: Sequence[Sequence[int]], classes: Sequence[str]) -> dict[str, float | None]:
    """Return the share of each class's images that is classified correctly, by name; None without images of it.

    Args:
        counts: [classes, classes], as for `write_confusions`.
        classes: the names of the classes.
    """
    return {
        name: row[i] / total if (total := sum(row)) else None
        for i, (name, row) in enumerate(zip(classes, counts, strict=True))
    }
