"""The checkpoints of a run on the disk: the last one, and the one before it in case the last one is damaged."""

import json
import os
from collections.abc import Mapping
from contextlib import suppress
from dataclasses import dataclass
from pathlib import Path

from regexp.errors import RunError
from regexp.runs.appended_file import AppendedFile
from regexp.runs.tensor_file import decode_tensors, encode_tensors
from regexp.runs.weights import BEST_CHECKSUM, BEST_PREFIXES, LAST, PREVIOUS, read_checkpoint, read_state
from regexp.training.checkpoints import Checkpoint
from regexp.utils.atomic_io import sync_directory, write_beside


@dataclass(frozen=True)
class FinalParts:
    """What the checkpoint of a run that has ended still has to hold.

    Attributes:
        best_checksum: the checksum of best.safetensors, which the checkpoint then needs no copy of; "" without it.
        goes_on: whether training could go on from it, with more epochs.
    """

    best_checksum: str
    goes_on: bool


def save_checkpoint(
    directory: Path,
    checkpoint: Checkpoint,
    files: Mapping[str, AppendedFile],
    description: Mapping[str, str],
    final_parts: FinalParts | None = None,
) -> None:
    """Make a checkpoint the last one of a run, and the last one the previous one.

    Args:
        directory: the directory of the run.
        checkpoint: the checkpoint.
        files: the files that grow while the run trains; the checkpoint records their states.
        description: further metadata of the file: what the model is made for.
        final_parts: what it has to hold if the run has ended; None while the run trains.
    """
    state = {**checkpoint.metadata, **{name: file.state() for name, file in files.items()}}
    metadata, tensors = dict(description), checkpoint.tensors
    if final_parts is not None:
        state["goes_on"] = final_parts.goes_on
        evaluated = "average" if checkpoint.tensors_of("average") else "model"
        left_out = [] if final_parts.goes_on else [name for name in ("optimizer", "model") if name != evaluated]
        if final_parts.best_checksum:
            # The last weights are the best ones where the last epoch is the best.
            is_last_best = state["best"]["epoch"] == state["epoch"]
            in_best_file = ["best", evaluated] if is_last_best else ["best"]
            metadata |= {BEST_CHECKSUM: final_parts.best_checksum, BEST_PREFIXES: " ".join(in_best_file)}
            left_out += in_best_file
        tensors = {name: tensor for name, tensor in tensors.items() if name.partition("/")[0] not in left_out}
    metadata["state"] = json.dumps(state)
    temporary = write_beside(directory / LAST, encode_tensors(tensors, metadata))
    with suppress(FileNotFoundError):
        os.replace(directory / LAST, directory / PREVIOUS)
    os.replace(temporary, directory / LAST)
    sync_directory(directory)


def load_checkpoint(directory: Path) -> Checkpoint | None:
    """Load the last checkpoint of a run that is whole and that fits its other files; None if there is none.

    The metadata say in `file` which file it was.
    """
    for name in (LAST, PREVIOUS):
        with suppress(RunError):
            return _read(directory, name)
    return None


def describe_damage(directory: Path) -> str | None:
    """Return what is wrong with a run's last checkpoint, and where the run goes on instead; None if nothing is."""
    if not (directory / LAST).exists():
        return None
    try:
        _read(directory, LAST)
    except RunError as error:
        checkpoint = load_checkpoint(directory)
        if checkpoint is None:
            return f"{error}. The run starts from the beginning."
        return f"{error}. The run goes on from the checkpoint before it, after epoch {checkpoint.metadata['epoch']}."
    return None


def _read(directory: Path, name: str) -> Checkpoint:
    """Return the checkpoint in a file; raise RunError if it is damaged, or if the run's other files do not fit it."""
    path = directory / name
    content, metadata = read_checkpoint(path)
    state = read_state(path, metadata)
    return Checkpoint(decode_tensors(content, path), {**state, "file": name})
