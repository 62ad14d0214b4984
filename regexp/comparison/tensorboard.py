"""Comparisons in TensorBoard: bands of each configuration, and the columns of the HParams page. Imports no torch.

TensorBoard cannot show a mean over runs (tensorboard issue 376). One run for each configuration, with the mean over its
seeds and with one standard deviation below and above it, makes a band on the Custom Scalars page of any version.
"""

import os
import re
from collections.abc import Iterator, Sequence
from contextlib import suppress
from pathlib import Path
from urllib.parse import quote

from regexp.comparison.compare import Comparison
from regexp.comparison.curves import Curves
from regexp.comparison.key_names import format_label
from regexp.comparison.rows import Row
from regexp.config.metric_registry import EPOCH_SPLITS
from regexp.errors import StorageError
from regexp.runs.tensorboard import event_file
from regexp.runs.tensorboard.hparams_columns import refresh_columns, write_columns
from regexp.runs.tensorboard.logdirs import make_logdir
from regexp.utils import next_commands
from regexp.utils.storage_errors import explain_storage_errors

DIRECTORY_NAME = "bands"
# The old pages of TensorBoard (Scalars, Custom Scalars) tick no run where there are more than this.
MAX_TICKED = 40
# The Time Series page, with which TensorBoard opens, ticks none of more than this.
MAX_TICKED_SERIES = 500
_MAX_NAME = 100


def write_bands(comparison: Comparison, curves: Curves) -> int:
    """Write the TensorBoard runs bands/CONFIGURATION and a layout for custom scalars.

    They replace those of an earlier comparison. A run has the mean of each curve under the tag of the curve. The tags
    of the band's edges sort after all other scalars, because the Time Series page has a card for each. Configurations
    of a single seed have no spread, and get no run.

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
    edges = {
        tag: (f"values_of_seeds/{column}_lower", f"values_of_seeds/{column}_upper") for tag, column in columns.items()
    }
    tags = {metric.title: [f"{split}/{name}" for split in EPOCH_SPLITS] for name, metric in metrics.items()}
    bands = {
        f"{split} {title}: mean ± sd over seeds": [(tag, *edges[tag])]
        for title, titled_tags in tags.items()
        for split, tag in zip(("training", "validation"), titled_tags, strict=True)
    }
    directory = bands_directory(comparison)
    with explain_storage_errors(directory, "compare without --tensorboard"):
        _remove_bands(directory)
        rows = [row for row in comparison.rows if curves.run_count(row) > 1]
        if not rows:
            (directory / "layout").mkdir(parents=True, exist_ok=True)
            event_file.EventFile.create(directory / "layout").write(0, event_file.layout({}, tags))
        for row, name in zip(rows, _directory_names(rows), strict=True):
            (directory / name).mkdir(parents=True, exist_ok=True)
            file = event_file.EventFile.create(directory / name)
            if row is rows[0]:
                file.write(0, event_file.layout(bands, tags))
            curves_by_tag = {tag: curves.mean_and_sd(row, column) for tag, column in columns.items()}
            curves_by_tag = {tag: curve for tag, curve in curves_by_tag.items() if curve}
            for epoch, points in enumerate(zip(*curves_by_tag.values(), strict=True), 1):
                values: dict[str, float] = {}
                for tag, (mean, sd) in zip(curves_by_tag, points, strict=True):
                    lower, upper = edges[tag]
                    values |= {tag: mean, lower: mean - sd, upper: mean + sd}
                file.write(epoch, *(event_file.scalar(tag, value) for tag, value in values.items()))
    return len(rows)


def bands_directory(comparison: Comparison) -> Path:
    """Return the directory of the bands: beside the runs, or in the directory that holds all of their directories."""
    parents = {record.directory.parent.resolve() for record in comparison.records}
    return Path(next_commands.relative_path(Path(os.path.commonpath(parents)))) / DIRECTORY_NAME


def prepare_log_directory(comparison: Comparison, with_bands: bool = False) -> Path:
    """Return the directory for `tensorboard --logdir` that shows exactly the runs of a comparison.

    What describes the columns of its HParams page is written to it, and to the directories of the runs for all that
    they hold.

    Args:
        comparison: the comparison.
        with_bands: whether its bands are shown, too.
    """
    records = comparison.records
    bands = bands_directory(comparison) if with_bands else None
    log_directory = make_logdir([record.directory for record in records], bands)
    parents = {record.directory.resolve().parent for record in records}
    columns = [{**record.config, **record.data_paths} for record in records]
    measured = {name for record in records for name in record.metric_values}
    with suppress(StorageError):  # the page is less clear then, and nothing is lost
        is_common = log_directory in (*parents, Path(os.path.commonpath(parents)))
        for directory in parents if is_common else [log_directory]:
            write_columns(directory, columns, comparison.metrics, measured)
    if not is_common:
        for directory in parents:
            refresh_columns(directory)
    return log_directory


def advise_on_ticks(comparison: Comparison) -> str | None:
    """Return what to tick on TensorBoard's first page where it ticks nothing; None where it ticks all runs."""
    if len(comparison.records) < MAX_TICKED_SERIES:
        return None
    return (
        f"type a part of a name into the run filter, and tick the box beside Run: of more than {MAX_TICKED_SERIES} "
        "runs, TensorBoard ticks none"
    )


def address_of_bands(comparison: Comparison, curves: Curves) -> str:
    """Return the address that shows bands in TensorBoard at once, and how many it shows if these are not all.

    Of more than MAX_TICKED runs, the page ticks none. But it ticks all that its run filter leaves if those are no more.

    Args:
        comparison: the comparison whose bands were written.
        curves: the curves of its rows.
    """
    names = list(_directory_names([row for row in comparison.rows if curves.run_count(row) > 1]))
    page = "http://localhost:6006/#custom_scalars"
    if len(comparison.records) + len(names) < MAX_TICKED:  # there is one more run, that of the columns
        return page
    prefix, shown_names, parts = "", names, names[0].split(",") if names else []
    while len(shown_names) > MAX_TICKED and parts:
        prefix += parts.pop(0) + ("," if parts else "$")
        shown_names = [name for name in names if f"{name}$".startswith(prefix)]
    pattern = quote(f"^{DIRECTORY_NAME}/{prefix}".replace("+", "\\+"), safe="^/,$")
    count = (
        "" if len(shown_names) == len(names) else f" ({len(shown_names)} of {len(names)}; clear its filter for more)"
    )
    return f"{page}&regexInput={pattern}{count}"


def _remove_bands(directory: Path) -> None:
    """Delete the event files of an earlier comparison, and the directories that are empty without them."""
    # Earlier versions had three runs for each configuration: mean, mean+sd and mean-sd.
    for file in [*directory.glob("*/events.out.tfevents.*"), *directory.glob("*/mean*/events.out.tfevents.*")]:
        file.unlink()
        for parent in (file.parent, file.parent.parent):
            with suppress(OSError):  # it is not empty
                parent.rmdir()


def _directory_names(rows: Sequence[Row]) -> Iterator[str]:
    """Yield a name for the directory of each row, of its keys and values: "norm=batch,dropout=0.5"."""
    used_names = set[str]()
    for i, row in enumerate(rows):
        label = format_label(row.values).replace(" ", ",")
        name = re.sub(r"[^\w.,=~+-]", "-", label).encode()[:_MAX_NAME].decode(errors="ignore").strip(".") or "all"
        yield name if name not in used_names else f"{name}~{i}"
        used_names.add(name)
