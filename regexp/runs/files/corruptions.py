"""The accuracy of a run on corrupted test images: corruptions.csv. Imports no torch."""

import csv
import io
from collections.abc import Mapping, Sequence
from pathlib import Path

from regexp.utils.atomic_io import write_atomically


def write_corruptions(
    directory: Path, accuracies: Mapping[str, Sequence[float]], strengths: Mapping[str, Sequence[float]]
) -> None:
    """Write corruptions.csv: a row for each corruption and strength.

    Args:
        directory: the directory of the run.
        accuracies: the accuracy in each strength, by corruption.
        strengths: the strengths, the weakest first, by corruption.

    Raises:
        OSError: the file cannot be written.
    """
    text = io.StringIO()
    writer = csv.writer(text, lineterminator="\n")
    writer.writerow(["corruption", "level", "strength", "accuracy"])
    for name, values in accuracies.items():
        for level, (strength, accuracy) in enumerate(zip(strengths[name], values, strict=True), 1):
            writer.writerow([name, level, f"{strength:g}", accuracy])
    # summary.json is written after it, and waits for the disk.
    write_atomically(directory / "corruptions.csv", text.getvalue().encode(), sync=False)
