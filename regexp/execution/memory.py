"""How many runs of a model find room on a device."""

from collections.abc import Sequence
from math import prod
from pathlib import Path

import torch

from regexp.models.mlp import Architecture, as_sequential
from regexp.training.batches import AT_ONCE

# Of each parameter: itself, its gradient, the best value so far; the optimizer's state comes on top.
COPIES = 3
# Of each hidden unit and image of a batch: what the layers keep for their gradients, and the gradients.
ACTIVATIONS = 8
# Of the free memory that a cohort may take: the rest is the machine's other work, and what is not counted here.
SHARE = 0.5


def parameters(architecture: Architecture) -> int:
    """Of one run."""
    with torch.device("meta"):
        return sum(parameter.numel() for parameter in as_sequential(architecture).parameters())


def bytes_per_run(architecture: Architecture, batch_size: int, entries: int, dtype: torch.dtype) -> int:
    """Bytes that each run of a cohort adds, beside the images; `entries`: of its optimizer's state."""
    units = sum(architecture.hidden_sizes) + architecture.classes
    numbers = parameters(architecture) * (COPIES + entries) + batch_size * units * ACTIVATIONS
    return numbers * dtype.itemsize


def bytes_per_stream(shape: Sequence[int], dtype: torch.dtype) -> int:
    """Bytes that an image stream adds: what is augmented at a time, and its part of the cohort's images."""
    return 2 * AT_ONCE * prod(shape) * dtype.itemsize


def free_bytes(device: torch.device) -> int | None:
    """Bytes; None where nothing tells."""
    if device.type == "cuda":
        return torch.cuda.mem_get_info(device)[0]
    if device.type == "mps":
        return torch.mps.recommended_max_memory() - torch.mps.current_allocated_memory()
    return _free_of_system()


def _free_of_system() -> int | None:
    """What Linux has available, or what a container leaves of it."""
    found = [value for value in (_available(), _left_by_container()) if value is not None]
    return min(found, default=None)


def _available() -> int | None:
    for line in _lines(Path("/proc/meminfo")):
        if line.startswith("MemAvailable:"):
            return 1024 * int(line.split()[1])
    return None


def _left_by_container() -> int | None:
    group = Path("/sys/fs/cgroup")
    most, used = _lines(group / "memory.max"), _lines(group / "memory.current")
    if not (most and used and most[0].isdigit()):
        return None
    # Files that were read are kept while nobody else needs the room.
    cached = [int(line.split()[1]) for line in _lines(group / "memory.stat") if line.startswith("inactive_file ")]
    return int(most[0]) - int(used[0]) + sum(cached)


def _lines(path: Path) -> Sequence[str]:
    try:
        return path.read_text().splitlines()
    except OSError:
        return []
