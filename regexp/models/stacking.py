"""Functions on the run axis, which all stacked models share."""

from collections.abc import Iterable, Sequence
from functools import lru_cache

import torch
from torch import Tensor, nn


def keep_rows(layers: Iterable[nn.Module], rows: Tensor) -> None:
    """Remove all runs but those at `rows` [K'] from the layers' own parameters and buffers, each [K, ...].

    Tensors are replaced one by one, so that no more than one is in memory twice.
    """
    for layer in layers:
        for name, parameter in list(layer.named_parameters(recurse=False)):
            setattr(layer, name, nn.Parameter(parameter.detach()[rows]))
        for name, buffer in list(layer.named_buffers(recurse=False)):
            setattr(layer, name, buffer[rows])


def row_state(model: nn.Module, k: int) -> dict[str, Tensor]:
    """Return run k's parameters and buffers by name; views, not copies."""
    return {name: tensor[k] for name, tensor in model.state_dict().items()}


@lru_cache(maxsize=16)
def slice_of_run(runs_per_slice: tuple[int, ...], device: torch.device) -> Tensor:
    """Return the slice that each run reads, [K]. Cached, because a copy to a GPU would make every step wait.

    Args:
        runs_per_slice: [S], how many consecutive runs read each slice.
        device: where the result is used.
    """
    return torch.arange(len(runs_per_slice)).repeat_interleave(torch.tensor(runs_per_slice)).to(device)


def slices_of_runs(num_slices: int, num_runs: int, runs_per_slice: Sequence[int]) -> list[int]:
    """Return the slice that each run reads, [K]: all the only one, each its own, or as `runs_per_slice` [S] says."""
    if num_slices == 1:
        return [0] * num_runs
    if num_slices == num_runs:
        return list(range(num_runs))
    return [i for i, count in enumerate(runs_per_slice) for _ in range(count)]
