"""The multi-layer perceptron, for K runs at once and for one."""

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from math import prod
from typing import Any, Self, final

import torch
from torch import Tensor, nn

from regexp.models.layers import ACTIVATIONS, BatchNorm, Dropout, LayerNorm, Linear
from regexp.models.stacking import keep_rows, row_state
from regexp.utils.rng import random_stream


@final
@dataclass(frozen=True)
class MLPArchitecture:
    """What shapes an MLP. Implements models.protocol.Architecture."""

    in_features: int
    hidden_sizes: tuple[int, ...]
    classes: int
    activation: str
    normalization: str
    eps: float = 1e-5
    momentum: float = 0.1

    @classmethod
    def from_options(cls, input_shape: tuple[int, int, int], classes: int, options: Mapping[str, Any]) -> Self:
        """Return the architecture for images of a shape [C, H, W] and a flat configuration."""
        return cls(
            in_features=prod(input_shape),
            hidden_sizes=tuple(options["model.hidden_sizes"]),
            classes=classes,
            activation=options["model.activation"],
            normalization=options["normalization"],
            eps=options.get("normalization.eps", cls.eps),
            momentum=options.get("normalization.momentum", cls.momentum),
        )

    @classmethod
    def from_state(cls, state: Mapping[str, Tensor], options: Mapping[str, Any]) -> Self:
        """Return the architecture of one run's stored weights and its flat configuration."""
        weights = [name for name in state if name.endswith(".weight")]
        output = max(weights, key=lambda name: int(name.split(".")[0]))
        return cls.from_options((1, 1, state["1.weight"].shape[1]), len(state[output]), options)

    @property
    def activations(self) -> int:
        """The number of units of all layers."""
        return sum(self.hidden_sizes) + self.classes

    def describe(self) -> str:
        """Return sizes, normalization and activation in words: "784-128-10, BatchNorm, relu"."""
        sizes = "-".join(str(size) for size in (self.in_features, *self.hidden_sizes, self.classes))
        if not self.hidden_sizes:
            return sizes
        normalization = {"none": [], "batch": ["BatchNorm"], "layer": ["LayerNorm"]}[self.normalization]
        return ", ".join([sizes, *normalization, self.activation])

    def make_model(self, seeds: Sequence[int], dropout: Sequence[float], init: str) -> "MLP":
        """Return K MLPs with initial weights, on the CPU and in float32; `seeds` and `dropout` are [K]."""
        model = MLP(self, torch.tensor(dropout, dtype=torch.float64))
        initialize(model, seeds, init)
        return model

    def make_module(self, dropout: float = 0.0) -> nn.Sequential:
        """Return one run's model, of torch's own layers."""
        return nn.Sequential(
            *_make_layers(
                self,
                flatten=nn.Flatten(),
                linear=nn.Linear,
                batch_norm=lambda size: nn.BatchNorm1d(size, self.eps, self.momentum),
                layer_norm=lambda size: nn.LayerNorm(size, self.eps),
                dropout=lambda: nn.Dropout(dropout),
            )
        )

    def first_layer_weight(self, state: Mapping[str, Tensor]) -> Tensor | None:
        """Return the weight of one run's first layer, [units, in_features]: an image for each unit."""
        return state["1.weight"]


@final
class MLP(nn.Module):
    """K MLPs: Flatten, (Linear, norm?, activation, Dropout)*, Linear. Implements models.protocol.Model.

    Parameters and buffers have the names that they have in MLPArchitecture.make_module, with a leading run axis.

    Attributes:
        dropout: [K], float64 on the CPU: each run's probability.
    """

    def __init__(self, architecture: MLPArchitecture, dropout: Tensor) -> None:
        """Make K MLPs with uninitialized weights; `dropout` is [K], float64 on the CPU."""
        runs = len(dropout)
        super().__init__()
        self.architecture, self.dropout = architecture, dropout
        self.layers = _make_layers(
            architecture,
            flatten=nn.Flatten(2),
            linear=lambda in_features, out_features: Linear(runs, in_features, out_features),
            batch_norm=lambda size: BatchNorm(runs, size, architecture.eps, architecture.momentum),
            layer_norm=lambda size: LayerNorm(runs, size, architecture.eps),
            dropout=lambda: Dropout(dropout),
        )
        for i, layer in enumerate(self.layers):
            self.add_module(str(i), layer)  # the names that nn.Sequential gives

    def forward(self, images: Tensor, runs_per_stream: Sequence[int]) -> Tensor:
        """Return the logits [K, B, classes] of images [S, B, C, H, W], of which each slice is read by so many runs."""
        flatten, first, *rest = self.layers
        x: Tensor = first(flatten(images), runs_per_stream)  # [K, B, out]
        for layer in rest:
            x = layer(x)
        return x

    def set_generators(self, generators: Sequence[torch.Generator]) -> None:
        """Have the dropout of run k draw from generators[k], layer after layer."""
        for layer in self._dropout_layers():
            layer.generators = generators

    def select_runs(self, rows: Tensor) -> "MLP":
        """Return a copy with the runs at `rows` [K'] alone, on the same device."""
        state = {name: tensor[rows] for name, tensor in self.state_dict().items()}
        selected = MLP(self.architecture, self.dropout[rows.cpu()])
        selected.load_state_dict(state, assign=True)
        return selected.to(rows.device, state["1.weight"].dtype)

    def keep_runs(self, rows: Tensor) -> None:
        """Remove all runs but those at `rows` [K']."""
        keep_rows(self.layers, rows)
        self.dropout = self.dropout[rows.cpu()]
        for dropout in self._dropout_layers():
            dropout.probabilities = self.dropout.tolist()

    def run_state(self, k: int) -> dict[str, Tensor]:
        """Return run k's parameters and buffers, which `make_module` loads; views, not copies."""
        return row_state(self, k)

    def _dropout_layers(self) -> list[Dropout]:
        return [layer for layer in self.layers if isinstance(layer, Dropout)]


def _make_layers(
    architecture: MLPArchitecture,
    flatten: nn.Module,
    linear: Callable[[int, int], nn.Module],
    batch_norm: Callable[[int], nn.Module],
    layer_norm: Callable[[int], nn.Module],
    dropout: Callable[[], nn.Module],
) -> list[nn.Module]:
    """Return the layers of an MLP in order: the one place that knows it, for stacked and for plain layers.

    Args:
        architecture: what shapes the MLP.
        flatten: the first layer.
        linear: makes a layer from in_features and out_features.
        batch_norm: makes a layer from the number of features.
        layer_norm: makes a layer from the number of features.
        dropout: makes a layer.
    """
    layers, in_features = [flatten], architecture.in_features
    for size in architecture.hidden_sizes:
        layers.append(linear(in_features, size))
        if architecture.normalization == "batch":
            layers.append(batch_norm(size))
        if architecture.normalization == "layer":
            layers.append(layer_norm(size))
        layers += [ACTIVATIONS[architecture.activation](), dropout()]
        in_features = size
    return [*layers, linear(in_features, architecture.classes)]


@torch.no_grad()
def initialize(model: MLP, seeds: Sequence[int], init: str) -> None:
    """Draw each run's initial weights from its own random stream, layer by layer.

    They are drawn on the CPU and in float32, so that they depend neither on the device nor on the precision.

    Args:
        model: K runs, on the CPU.
        seeds: [K].
        init: "torch" for the distribution of nn.Linear (He et al. 2015 with a = sqrt(5)); otherwise a function of
            torch.nn.init by its name without the underscore, with biases of zero.
    """
    generators = [random_stream(seed, "initialization") for seed in seeds]
    for layer in model.layers:
        if isinstance(layer, Linear):
            for k, generator in enumerate(generators):
                weight, bias = torch.empty(layer.weight.shape[1:]), torch.zeros(layer.bias.shape[1:])
                _draw_weights(weight, bias, init, generator)
                layer.weight[k].copy_(weight)
                layer.bias[k].copy_(bias)


def _draw_weights(weight: Tensor, bias: Tensor, init: str, generator: torch.Generator) -> None:
    """Fill one layer's weight [out, in] and bias [out] in place."""
    if init == "torch":
        nn.init.kaiming_uniform_(weight, a=5**0.5, generator=generator)
        bound = weight.shape[1] ** -0.5
        bias.uniform_(-bound, bound, generator=generator)
    else:
        fill: Callable[..., Any] = getattr(nn.init, f"{init}_")
        options = {"nonlinearity": "relu"} if init.startswith("kaiming") else {}
        fill(weight, generator=generator, **options)
