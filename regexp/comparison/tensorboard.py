"""Mean and spread of each configuration as TensorBoard runs of ordinary scalars. Imports no torch.

TensorBoard shows no mean over runs (tensorboard issue 376). Runs that hold it, and it more and less a standard
deviation, make a band in any version of it.
"""

import os
import re
from collections.abc import Iterator
from contextlib import suppress
from pathlib import Path

from regexp.comparison.compare import Comparison
from regexp.comparison.curves import Curves
from regexp.comparison.rows import Row
from regexp.runs import event_file
from regexp.utils import next_commands
from regexp.utils.atomic_io import storage_errors

FOLDER = "bands"
# Tags as regexp.execution.recorder writes them, and the columns of metrics.csv.
CURVES = {
    "train/loss": "train_loss",
    "train/accuracy": "train_accuracy",
    "val/loss": "val_loss",
    "val/accuracy": "val_accuracy",
}
TITLE = "training and validation"
CHARTS = {
    "loss: training and validation": ("train/loss", "val/loss"),
    "accuracy: training and validation": ("train/accuracy", "val/accuracy"),
}


def write_bands(comparison: Comparison, curves: Curves) -> int:
    """Write runs bands/CONFIGURATION/mean, mean+sd and mean-sd beside the runs, and a layout for custom scalars.

    What was there of an earlier comparison is replaced. Returns for how many configurations; those of one seed have no
    spread. Raises StorageError.
    """
    folder = bands_directory(comparison)
    with storage_errors(folder, "Make room, or mend its permissions."):
        _clear(folder)
        several = [row for row in comparison.rows if curves.run_count(row) > 1]
        if not several:
            (folder / "layout").mkdir(parents=True, exist_ok=True)
            event_file.EventFile.create(folder / "layout").write(0, event_file.layout(TITLE, CHARTS))
        for row, name in zip(several, _names(several), strict=True):
            own = {tag: curves.of(row, column) for tag, column in CURVES.items()}
            for kind, sign in (("mean", 0.0), ("mean+sd", 1.0), ("mean-sd", -1.0)):
                path = folder / name / kind
                path.mkdir(parents=True, exist_ok=True)
                file = event_file.EventFile.create(path)
                if row is several[0] and kind == "mean":
                    file.write(0, event_file.layout(TITLE, CHARTS))
                for epoch, figures in enumerate(zip(*own.values(), strict=True), 1):
                    values = (mean + sign * sd for mean, sd in figures)
                    file.write(epoch, *map(event_file.scalar, own, values))
    return len(several)


def bands_directory(comparison: Comparison) -> Path:
    """The folder for them: below that of the runs, or of all their folders."""
    parents = {record.directory.parent.resolve() for record in comparison.records}
    return Path(next_commands.relative_path(Path(os.path.commonpath(parents)))) / FOLDER


def _clear(folder: Path) -> None:
    for file in [*folder.glob("layout/events.out.tfevents.*"), *folder.glob("*/mean*/events.out.tfevents.*")]:
        file.unlink()
        for emptied in (file.parent, file.parent.parent):
            with suppress(OSError):  # it holds something else
                emptied.rmdir()


def _names(rows: list[Row]) -> Iterator[str]:
    """Folders' names, short because TensorBoard has little room for them: the values that varied."""
    taken = set[str]()
    for i, row in enumerate(rows):
        name = re.sub(r"[^\w.,=~+-]", "-", ",".join(row.values.values()))[:100].strip(".") or "all"
        yield name if name not in taken else f"{name}-{i}"
        taken.add(name)
