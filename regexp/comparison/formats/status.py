"""What `regexp-compare --status` shows: folders of runs, and runs that have not finished. Imports no torch."""

import os
import time
from collections.abc import Iterator, Sequence
from contextlib import suppress
from pathlib import Path

from regexp.comparison.compare import Comparison
from regexp.comparison.formats.text_table import TextTable
from regexp.comparison.missing_runs import UnfinishedGroup
from regexp.errors import RunError
from regexp.runs.run import Run
from regexp.runs.run_record import RunRecord
from regexp.utils.messages import format_age, format_bytes
from regexp.utils.next_commands import relative_path

# So many runs of a group are named, and so many groups are listed.
_MAX_NAMES, _MAX_GROUPS = 5, 20


def tabulate_folders(comparison: Comparison) -> TextTable:
    """Return a row for each folder of runs: how many there are, how old and large they are, and their tags."""
    folders: dict[Path, list[RunRecord]] = {}
    for record in comparison.records:
        folders.setdefault(record.directory.parent, []).append(record)
    rows = []
    for folder, records in folders.items():
        sizes, times = zip(*(_measure_directory(record.directory) for record in records), strict=True)
        finished = sum(record.finished for record in records)
        age = f"{format_age(max(0.0, time.time() - max(times)))} ago"
        tags = dict.fromkeys(tag for record in records for tag in _read_tags(record.directory))
        cells = [relative_path(folder), f"{len(records):,}", f"{finished:,}", age, format_bytes(sum(sizes))]
        rows.append([*cells, ", ".join(tags) or "-"])
    return TextTable("Folders", ["folder", "runs", "finished", "last change", "size", "tags"], rows, wraps_last=True)


def describe_groups(groups: Sequence[UnfinishedGroup]) -> Iterator[str]:
    """Yield the lines on the runs that have not finished. They are not to be wrapped, so that they can be copied.

    Args:
        groups: the runs, by what is to be typed.
    """
    for group in groups[:_MAX_GROUPS]:
        states = ", ".join(f"{count:,} {state}" for state, count in group.states.items())
        is_one_missing = list(group.states) == ["missing"]
        yield f"{states}: {group.names[0]}" if is_one_missing else states
        for name in [] if is_one_missing else group.names[:_MAX_NAMES]:
            yield f"  {name}"
        if len(group.names) > _MAX_NAMES:
            yield f"  and {len(group.names) - _MAX_NAMES:,} more"
        if group.command:
            yield f"  {group.purpose}{group.command}"
    if len(groups) > _MAX_GROUPS:
        yield f"and {len(groups) - _MAX_GROUPS:,} more configurations"


def _measure_directory(directory: Path) -> tuple[int, float]:
    """Return the size of a run's files in bytes, and when the last of them was changed, in seconds since 1970."""
    size, last_change = 0, 0.0
    for path, _, files in os.walk(directory):
        for file in files:
            with suppress(OSError):  # it was just replaced
                stat = os.stat(os.path.join(path, file))
                size, last_change = size + stat.st_size, max(last_change, stat.st_mtime)
    return size, last_change


def _read_tags(directory: Path) -> list[str]:
    """Return the tags of a run; none if they cannot be read."""
    try:
        return [str(tag) for tag in Run(directory).record.get("tags") or ()]
    except (RunError, TypeError):
        return []
