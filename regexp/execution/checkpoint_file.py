"""The checkpoints of a run on the disk: the last one, and the one before it in case the last one is damaged."""

import json
import os
from collections.abc import Mapping
from contextlib import suppress
from pathlib import Path
from typing import Any

from regexp.config.metric_registry import COLUMNS
from regexp.errors import RunError
from regexp.runs.appended_file import AppendedFile
from regexp.runs.tensor_file import encode_tensors, read_tensors
from regexp.training.member import Checkpoint
from regexp.utils.atomic_io import sync_directory, write_beside

LAST, PREVIOUS = "checkpoint.safetensors", "checkpoint.previous.safetensors"


def save_checkpoint(
    directory: Path, checkpoint: Checkpoint, files: Mapping[str, AppendedFile], description: Mapping[str, str]
) -> None:
    """Make a checkpoint the last one of a run, and the last one the previous one.

    Args:
        directory: the directory of the run.
        checkpoint: the checkpoint.
        files: the files that grow while the run trains; the checkpoint records their states.
        description: further metadata of the file: what the model is made for.
    """
    state = {**checkpoint.metadata, **{name: file.state() for name, file in files.items()}}
    metadata = {**description, "state": json.dumps(state)}
    temporary = write_beside(directory / LAST, encode_tensors(checkpoint.tensors, metadata))
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
    tensors, metadata = read_tensors(path)
    try:
        state: dict[str, Any] = json.loads(metadata["state"])
        AppendedFile.at_checkpoint(directory, state["events"])
        metrics = AppendedFile.at_checkpoint(directory, state["metrics"])
        with metrics.path.open(encoding="utf-8") as file:
            columns = file.readline().rstrip("\n").split(",")
            # Those of metrics of the user's own are those of the run's configuration.
            if not set(COLUMNS) <= set(columns):
                raise ValueError(f"{metrics.path.name} has columns of another version")
        return Checkpoint(tensors, {**state, "file": name})
    except KeyError as error:
        raise RunError(f"{path} is of another version: it lacks {error}") from error
    except (OSError, TypeError, ValueError) as error:
        raise RunError(f"{path} cannot be used: {error}") from error
