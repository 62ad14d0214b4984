"""Bands in TensorBoard: mean and spread of each configuration as runs of ordinary scalars. Imports no torch.

TensorBoard cannot show a mean over runs (tensorboard issue 376). Three runs for each configuration, with the mean and
with one standard deviation above and below it, make a band in any version of TensorBoard.
"""

import os
import re
from collections.abc import Iterator, Sequence
from contextlib import suppress
from pathlib import Path

from regexp.comparison.compare import Comparison
from regexp.comparison.curves import Curves
from regexp.comparison.rows import Row
from regexp.config.metric_registry import EPOCH_SPLITS
from regexp.runs import event_file
from regexp.utils import next_commands
from regexp.utils.storage_errors import explain_storage_errors

DIRECTORY_NAME = "bands"
TITLE = "training and validation"


def write_bands(comparison: Comparison, curves: Curves) -> int:
    """Write the TensorBoard runs bands/CONFIGURATION/{mean,mean+sd,mean-sd} and a layout for custom scalars.

    They replace those of an earlier comparison. Configurations of a single seed have no spread, and get none.

    Args:
        comparison: the comparison whose rows are written.
        curves: the curves of its rows.

    Returns:
        The number of configurations that were written.

    Raises:
        StorageError: a file cannot be written.
    """
    metrics = comparison.metrics
    # The tags that regexp.execution.run_recorder writes, with their columns in metrics.csv.
    columns = {f"{split}/{name}": f"{split}_{name}" for split in EPOCH_SPLITS for name in metrics}
    charts = {f"{metric.title}: {TITLE}": (f"train/{name}", f"val/{name}") for name, metric in metrics.items()}
    directory = bands_directory(comparison)
    with explain_storage_errors(directory, "compare without --tensorboard"):
        _remove_bands(directory)
        rows = [row for row in comparison.rows if curves.run_count(row) > 1]
        if not rows:
            (directory / "layout").mkdir(parents=True, exist_ok=True)
            event_file.EventFile.create(directory / "layout").write(0, event_file.layout(TITLE, charts))
        for row, name in zip(rows, _directory_names(rows), strict=True):
            curves_by_tag = {tag: curves.mean_and_sd(row, column) for tag, column in columns.items()}
            curves_by_tag = {tag: curve for tag, curve in curves_by_tag.items() if curve}
            for kind, sign in (("mean", 0.0), ("mean+sd", 1.0), ("mean-sd", -1.0)):
                path = directory / name / kind
                path.mkdir(parents=True, exist_ok=True)
                file = event_file.EventFile.create(path)
                if row is rows[0] and kind == "mean":
                    file.write(0, event_file.layout(TITLE, charts))
                for epoch, points in enumerate(zip(*curves_by_tag.values(), strict=True), 1):
                    values = (mean + sign * sd for mean, sd in points)
                    file.write(epoch, *map(event_file.scalar, curves_by_tag, values))
    return len(rows)


def bands_directory(comparison: Comparison) -> Path:
    """Return the directory of the bands: beside the runs, or in the directory that holds all of their directories."""
    parents = {record.directory.parent.resolve() for record in comparison.records}
    return Path(next_commands.relative_path(Path(os.path.commonpath(parents)))) / DIRECTORY_NAME


def _remove_bands(directory: Path) -> None:
    """Delete the event files of an earlier comparison, and the directories that are empty without them."""
    for file in [*directory.glob("layout/events.out.tfevents.*"), *directory.glob("*/mean*/events.out.tfevents.*")]:
        file.unlink()
        for parent in (file.parent, file.parent.parent):
            with suppress(OSError):  # it is not empty
                parent.rmdir()


def _directory_names(rows: Sequence[Row]) -> Iterator[str]:
    """Yield a name for the directory of each row: the values that varied; TensorBoard has little room for names."""
    used_names = set[str]()
    for i, row in enumerate(rows):
        name = re.sub(r"[^\w.,=~+-]", "-", ",".join(row.values.values()))[:100].strip(".") or "all"
        yield name if name not in used_names else f"{name}-{i}"
        used_names.add(name)
