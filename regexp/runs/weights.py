"""The files of weights in a run's directory: its best weights, and its checkpoints. Imports no torch.

The checkpoint of a run that has ended leaves out what nobody needs any more, or what best.safetensors holds as well.
That is up to three quarters of it.
"""

import json
from collections.abc import Iterable, Mapping
from pathlib import Path
from typing import TYPE_CHECKING, Any

from regexp.config.metric_registry import COLUMNS
from regexp.errors import RunError
from regexp.runs.appended_file import AppendedFile
from regexp.runs.tensor_file import decode_tensors, join_files, read_content, read_tensors

if TYPE_CHECKING:
    from torch import Tensor

BEST, LAST, PREVIOUS = "best.safetensors", "checkpoint.safetensors", "checkpoint.previous.safetensors"
# The files by the word that chooses the weights.
WEIGHT_FILES = {"best": BEST, "last": LAST}
# Entries of a checkpoint's metadata: the checksum of the best.safetensors that it needs, and the prefixes under which
# the tensors there belong to the checkpoint, separated by blanks.
BEST_CHECKSUM, BEST_PREFIXES = "best_checksum", "best_prefixes"


def read_weights(directory: Path, weights: str) -> "tuple[dict[str, Tensor], dict[str, str]]":
    """Return the weights of a run by name, and the metadata that say what the model has to be made for.

    Args:
        directory: the directory of the run.
        weights: one of WEIGHT_FILES.

    Raises:
        RunError: their file cannot be read, or a byte of it has changed.
    """
    if weights == "best":
        return read_tensors(directory / BEST)
    content, metadata = read_checkpoint(directory / LAST)
    tensors = decode_tensors(content, directory / LAST)
    prefix = evaluated_prefix(tensors)
    return {name.removeprefix(prefix): value for name, value in tensors.items() if name.startswith(prefix)}, metadata


def evaluated_prefix(names: Iterable[str]) -> str:
    """Return the prefix, among names of a checkpoint's tensors, of the weights with which the run was evaluated last.

    These are the averages of a run that averages its weights, or the snapshots of its ensemble.
    """
    return "average/" if any(name.startswith("average/") for name in names) else "model/"


def read_checkpoint(path: Path) -> tuple[bytes, dict[str, str]]:
    """Return the content of a checkpoint, with the weights in best.safetensors that belong to it, and its metadata.

    Args:
        path: the file of the checkpoint.

    Raises:
        RunError: the file, or best.safetensors, cannot be read, or a byte of it has changed.
    """
    content, metadata = read_content(path)
    checksum = metadata.pop(BEST_CHECKSUM, None)
    if checksum is None:
        return content, metadata
    prefixes = metadata.pop(BEST_PREFIXES, "").split()
    best_content, best_metadata = read_content(path.with_name(BEST))
    if best_metadata.get("checksum") != checksum:
        raise RunError(f"{path} does not belong to {BEST} beside it")
    joined = join_files([("", content), *((f"{prefix}/", best_content) for prefix in prefixes)], metadata)
    return joined, metadata


def read_state(path: Path, metadata: Mapping[str, str]) -> dict[str, Any]:
    """Return the state of the run in the metadata of a checkpoint.

    Args:
        path: the file of the checkpoint.
        metadata: its metadata.

    Raises:
        RunError: the state is of another version, or the run's other files do not fit it.
    """
    try:
        state: dict[str, Any] = json.loads(metadata["state"])
        AppendedFile.at_checkpoint(path.parent, state["events"])
        metrics = AppendedFile.at_checkpoint(path.parent, state["metrics"])
        with metrics.path.open(encoding="utf-8") as file:
            columns = file.readline().rstrip("\n").split(",")
            # Those of metrics of the user's own are those of the run's configuration.
            if not set(COLUMNS) <= set(columns):
                raise ValueError(f"{metrics.path.name} has columns of another version")
        return state
    except KeyError as error:
        raise RunError(f"{path} is of another version: it lacks {error}") from error
    except (OSError, TypeError, ValueError) as error:
        raise RunError(f"{path} cannot be used: {error}") from error


def explain_missing_checkpoint(record: Mapping[str, Any]) -> str:
    """Return why a run that has ended has no checkpoint, or a part of one only; "" if nobody has asked for that.

    Args:
        record: the content of its run.json.
    """
    if (cleared := record.get("checkpoint_cleared")) is not None:
        return f"cleared on {str(cleared)[:10]}"
    return "" if record["config"].get("keep_checkpoints", True) else "trained with keep_checkpoints=false"
