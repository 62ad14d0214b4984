"""Functions that all stacked models share: keeping some rows of the run axis, and reading one of them."""

from collections.abc import Iterable

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
