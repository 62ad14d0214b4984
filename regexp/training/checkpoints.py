"""Checkpoints: the state of a run at the end of an epoch, taken out of the tensors of its cohort."""

from collections.abc import Collection, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import torch
from torch import Tensor


@dataclass(frozen=True)
class Checkpoint:
    """The state of a run at the end of an epoch, from which it can resume.

    Attributes:
        tensors: "model/...", "best/...", "optimizer/..." and, where the run averages its weights or takes
            snapshots of them, "average/...", as they are for a run alone.
        metadata: JSON: epoch, status, best and last metrics, the state of early stopping and of the schedule, seconds.
    """

    tensors: Mapping[str, Tensor]
    metadata: Mapping[str, Any]

    def tensors_of(self, prefix: str) -> dict[str, Tensor]:
        """Return the tensors whose names begin with "PREFIX/", by the rest of their names."""
        return {
            name.removeprefix(f"{prefix}/"): tensor
            for name, tensor in self.tensors.items()
            if name.startswith(f"{prefix}/")
        }

    @property
    def last_weights(self) -> dict[str, Tensor]:
        """The weights that were evaluated last: the averages or snapshots where the run has some."""
        return self.tensors_of("average") or self.tensors_of("model")


def take_rows(
    stacked: Mapping[str, Tensor], rows: Sequence[int], names: Sequence[Collection[str]]
) -> list[dict[str, Tensor]]:
    """Return the tensors of some runs, as views. A GPU's are copied to the host first, each stacked one once for all.

    Args:
        stacked: the stacked tensors by name, each [K, ...].
        rows: the indices of the runs.
        names: for each of these runs, the names of its tensors.
    """
    positions, device = rows, next(iter(stacked.values())).device
    if device.type != "cpu":
        index = torch.tensor(rows, dtype=torch.long, device=device)
        stacked = {name: tensor.index_select(0, index).cpu() for name, tensor in stacked.items()}
        positions = range(len(rows))
    return [
        {name: stacked[name][position] for name in run_names}
        for position, run_names in zip(positions, names, strict=True)
    ]
