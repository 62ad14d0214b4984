"""What can be deleted from directories of runs to free space, and its deletion. Imports no torch.

Only files that training has written are deleted. Files of other origin, links and what they lead to stay, and so does
every run that a process trains at present.
"""

import json
import os
import stat
import time
from collections.abc import Iterator, Sequence
from contextlib import nullcontext, suppress
from dataclasses import dataclass
from pathlib import Path

from regexp.errors import RunError
from regexp.runs.files.kept_logits import PREDICTIONS
from regexp.runs.reserving.claims import Claims
from regexp.runs.reserving.run_index import is_finished, is_pruned, is_set_aside, read_run, recorded_identity
from regexp.runs.run import Run
from regexp.runs.tensor_file import join_files, measure_tensors
from regexp.runs.weights import BEST, LAST, PREVIOUS, evaluated_prefix, read_checkpoint
from regexp.utils.atomic_io import append_to_log, write_atomically

# The files that a run leaves, in the order in which they are deleted: without its summary a run has not finished, and
# with run.json its directory is still that of a run.
RUN_FILES = (
    "summary.json",
    "failure.json",
    "*.part",
    "events.out.tfevents.*",
    "metrics.csv",
    LAST,
    PREVIOUS,
    BEST,
    "augmentation.png",
    "confusion.png",
    "confusion.csv",
    "reliability.png",
    "corruptions.png",
    "corruptions.csv",
    PREDICTIONS,
    "run.log",
    ".hydra/*.yaml",
    "run.json",
)
# What can be deleted, and what is lost with it.
KINDS = {
    "failed": "they start from the beginning when their command is typed again",
    "old": "results that newer ones have replaced; neither keep=true nor the old code brings them back",
    "checkpoints": "these runs cannot go on to more epochs, nor give their last weights where others are best",
}


@dataclass(frozen=True)
class Clearable:
    """A directory of a run, of which something can be deleted.

    Attributes:
        directory: the directory.
        kind: one of KINDS: the run failed, it was set aside, or it has finished and has a checkpoint.
        size: how many bytes that frees.
    """

    directory: Path
    kind: str
    size: int


def find_clearables(top: Path) -> Iterator[Clearable]:
    """Yield what can be deleted below a directory, or in the directory of a run, by name."""
    for directory in _find_directories(top):
        run = read_run(directory)
        if is_set_aside(directory):
            if (size := sum(_size(file) for file in _run_files(directory))) > 0:
                yield Clearable(directory, "old", size)
        elif run is None:
            continue
        elif is_finished(run) or is_pruned(run):
            if (size := _measure_checkpoints(run)) > 0:
                yield Clearable(directory, "checkpoints", size)
        elif (directory / "failure.json").exists():
            yield Clearable(directory, "failed", sum(_size(file) for file in _run_files(directory)))


def clear(clearable: Clearable, claims: Claims) -> int:
    """Delete what can be deleted, and return how many bytes that freed; 0 where the run has changed meanwhile.

    Args:
        clearable: what was found.
        claims: the claims of this process.

    Raises:
        RunBusy: another process trains the run, or one of its identity.
        OSError: a file cannot be deleted.
    """
    directory = clearable.directory
    run = read_run(directory)
    identity = None if run is None else recorded_identity(run)
    with nullcontext() if identity is None else claims.hold(directory.parent, identity):
        if clearable not in find_clearables(directory):
            return 0
        if clearable.kind == "checkpoints":
            _clear_checkpoints(Run(directory))
        else:
            for file in _run_files(directory):
                file.unlink(missing_ok=True)
            for emptied in (directory / ".hydra", directory):
                with suppress(OSError):  # it holds files that are not a run's
                    emptied.rmdir()
    return clearable.size


def list_other_files(directory: Path) -> list[str]:
    """Return the names in the directory of a run that was cleared, which are not a run's; none if it is gone."""
    return sorted(os.listdir(directory)) if directory.is_dir() else []


def _find_directories(top: Path) -> Iterator[Path]:
    """Yield the directories of runs, and those that were set aside, without following links below `top`."""
    # os.path says no of what may not be read, where pathlib raises.
    if os.path.isfile(top / "run.json") or is_set_aside(top):
        yield top
        return
    try:
        entries = sorted(os.scandir(top), key=lambda entry: entry.name)
    except OSError:  # it is no directory, or may not be read
        return
    for entry in entries:
        if entry.is_dir(follow_symlinks=False) and not entry.name.startswith("."):
            yield from _find_directories(top / entry.name)


def _run_files(directory: Path) -> list[Path]:
    """Return the files in the directory of a run that training has written, in the order of RUN_FILES."""
    if (directory / ".hydra").is_symlink():
        patterns: Sequence[str] = [pattern for pattern in RUN_FILES if "/" not in pattern]
    else:
        patterns = RUN_FILES
    return [path for pattern in patterns for path in sorted(directory.glob(pattern)) if _size(path) >= 0]


def _size(path: Path) -> int:
    """Return the size of a plain file; -1 for what is none, such as a link."""
    try:
        status = path.lstat()
    except OSError:
        return -1
    return status.st_size if stat.S_ISREG(status.st_mode) else -1


def _measure_checkpoints(run: Run) -> int:
    """Return how many bytes the checkpoints of a finished run take, without the weights that it keeps."""
    size = sum(max(0, _size(run.directory / name)) for name in (LAST, PREVIOUS))
    path = run.directory / LAST
    if not _needs_checkpoint(run):
        return (
            size if (run.directory / BEST).exists() else 0
        )  # where it is lost, a checkpoint may hold all that is left
    if size == 0:
        return 0
    try:
        sizes = measure_tensors(path)
    except RunError:
        return 0
    prefix = evaluated_prefix(sizes)
    return sum(count for name, count in sizes.items() if not name.startswith(prefix))


def _needs_checkpoint(run: Run) -> bool:
    """Return whether the weights that a finished run keeps are in its checkpoint only."""
    return not (run.keeps_best or run.last_is_best)


def _clear_checkpoints(run: Run) -> None:
    """Delete the checkpoints of a finished run, or all of them but the weights that the run keeps.

    Raises:
        OSError: a file cannot be written.
    """
    directory = run.directory
    record = {**run.record, "checkpoint_cleared": time.strftime("%Y-%m-%dT%H:%M:%S%z")}
    write_atomically(directory / "run.json", json.dumps(record, indent=2).encode())
    if _needs_checkpoint(run):
        content, metadata = read_checkpoint(directory / LAST)
        metadata["state"] = json.dumps({**json.loads(metadata["state"]), "goes_on": False})
        names = measure_tensors(directory / LAST)
        left_out = [name for name in names if not name.startswith(evaluated_prefix(names))]
        write_atomically(directory / LAST, join_files([("", content)], metadata, ["best/", *left_out]))
    else:
        (directory / LAST).unlink(missing_ok=True)
    (directory / PREVIOUS).unlink(missing_ok=True)
    append_to_log(directory, "its checkpoint was cleared")
