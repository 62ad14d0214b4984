"""The multi-layer perceptron, for K runs at once and for one."""

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import Any

import torch
from torch import Tensor, nn

from regexp.models.layers import ACTIVATIONS, BatchNorm, Dropout, LayerNorm, Linear
from regexp.utils.rng import random_stream


@dataclass(frozen=True)
class Architecture:
    """What shapes an MLP: all that is needed, beside the weights, to rebuild a run's model."""

    in_features: int
    hidden_sizes: tuple[int, ...]
    classes: int
    activation: str
    normalization: str
    eps: float = 1e-5
    momentum: float = 0.1

    def describe(self) -> str:
        """Sizes, normalization and activation, in words."""
        sizes = "-".join(str(size) for size in (self.in_features, *self.hidden_sizes, self.classes))
        parts = [{"none": "", "batch": "BatchNorm", "layer": "LayerNorm"}[self.normalization], self.activation]
        return ", ".join([sizes, *(part for part in parts if part and self.hidden_sizes)])


class MLP(nn.Module):
    """K MLPs: Flatten, (Linear, norm?, activation, Dropout)*, Linear.

    Parameters and buffers have the names they have in `plain`, with a leading run axis.
    """

    def __init__(self, architecture: Architecture, dropout: Tensor) -> None:
        """`dropout` [K], float64 on the CPU: each run's probability."""
        runs = len(dropout)
        super().__init__()
        self.architecture, self.dropout = architecture, dropout
        self.layers = _layers(
            architecture,
            flatten=nn.Flatten(2),
            linear=lambda inputs, outputs: Linear(runs, inputs, outputs),
            batch=lambda size: BatchNorm(runs, size, architecture.eps, architecture.momentum),
            layer=lambda size: LayerNorm(runs, size, architecture.eps),
            dropout=lambda: Dropout(dropout),
        )
        for i, layer in enumerate(self.layers):
            self.add_module(str(i), layer)  # the names that nn.Sequential gives

    def forward(self, images: Tensor, sharing: Sequence[int]) -> Tensor:
        """images [S, B, C, H, W] -> logits [K, B, classes]; `sharing` [S]: consecutive runs that read each slice."""
        flatten, first, *rest = self.layers
        x: Tensor = first(flatten(images), sharing)  # [K, B, out]
        for layer in rest:
            x = layer(x)
        return x

    def dropouts(self) -> list[Dropout]:
        """The dropout layers, in order."""
        return [layer for layer in self.layers if isinstance(layer, Dropout)]

    def take(self, rows: Tensor) -> "MLP":
        """The runs at `rows` [K'] alone, on the same device; copies."""
        state = {name: tensor[rows] for name, tensor in self.state_dict().items()}
        taken = MLP(self.architecture, self.dropout[rows.cpu()])
        taken.load_state_dict(state, assign=True)
        return taken.to(rows.device, state["1.weight"].dtype)

    def keep(self, rows: Tensor) -> None:
        """Remove all runs but those at `rows` [K'], tensor by tensor: no more than one is held twice."""
        for layer in self.layers:
            for name, parameter in list(layer.named_parameters(recurse=False)):
                setattr(layer, name, nn.Parameter(parameter.detach()[rows]))
            for name, buffer in list(layer.named_buffers(recurse=False)):
                setattr(layer, name, buffer[rows])
        self.dropout = self.dropout[rows.cpu()]
        for dropout in self.dropouts():
            dropout.probabilities = self.dropout.tolist()

    def row(self, k: int) -> dict[str, Tensor]:
        """Run k's state, which `plain` loads; views, no copies."""
        return {name: tensor[k] for name, tensor in self.state_dict().items()}


def as_sequential(architecture: Architecture, dropout: float = 0.0) -> nn.Sequential:
    """The same model for one run, of torch's own layers."""
    return nn.Sequential(
        *_layers(
            architecture,
            flatten=nn.Flatten(),
            linear=nn.Linear,
            batch=lambda size: nn.BatchNorm1d(size, architecture.eps, architecture.momentum),
            layer=lambda size: nn.LayerNorm(size, architecture.eps),
            dropout=lambda: nn.Dropout(dropout),
        )
    )


def _layers(
    architecture: Architecture,
    flatten: nn.Module,
    linear: Callable[[int, int], nn.Module],
    batch: Callable[[int], nn.Module],
    layer: Callable[[int], nn.Module],
    dropout: Callable[[], nn.Module],
) -> list[nn.Module]:
    """The one description of an MLP's order of layers."""
    layers, inputs = [flatten], architecture.in_features
    for size in architecture.hidden_sizes:
        layers.append(linear(inputs, size))
        if architecture.normalization == "batch":
            layers.append(batch(size))
        if architecture.normalization == "layer":
            layers.append(layer(size))
        layers += [ACTIVATIONS[architecture.activation](), dropout()]
        inputs = size
    return [*layers, linear(inputs, architecture.classes)]


@torch.no_grad()
def initialize(model: MLP, seeds: Sequence[int], init: str) -> None:
    """Draw each run's initial weights from its own stream, layer by layer.

    On the CPU and in float32, so that they depend neither on the device nor on the precision. With "torch" they are
    distributed as nn.Linear's (He et al. 2015 with a = sqrt(5)); otherwise as torch.nn.init's function of that name
    gives them, with biases of zero.
    """
    generators = [random_stream(seed, "initialization") for seed in seeds]
    for layer in model.layers:
        if isinstance(layer, Linear):
            for k, generator in enumerate(generators):
                weight, bias = torch.empty(layer.weight.shape[1:]), torch.zeros(layer.bias.shape[1:])
                _draw(weight, bias, init, generator)
                layer.weight[k].copy_(weight)
                layer.bias[k].copy_(bias)


def _draw(weight: Tensor, bias: Tensor, init: str, generator: torch.Generator) -> None:
    if init == "torch":
        nn.init.kaiming_uniform_(weight, a=5**0.5, generator=generator)
        bound = weight.shape[1] ** -0.5
        bias.uniform_(-bound, bound, generator=generator)
    else:
        fill: Callable[..., Any] = getattr(nn.init, f"{init}_")
        options = {"nonlinearity": "relu"} if init.startswith("kaiming") else {}
        fill(weight, generator=generator, **options)
