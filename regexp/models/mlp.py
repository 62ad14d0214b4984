"""The multi-layer perceptron, for K runs at once and for one."""

from collections import Counter
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from functools import cached_property
from itertools import pairwise
from math import prod
from typing import Any, Self, final

import torch
from torch import Tensor, nn

from regexp.models.costs import ModelCosts, count_parameters
from regexp.models.initialization import initialize_stacked
from regexp.models.layers import ACTIVATIONS, Linear
from regexp.models.normalization import BatchNorm, Normalization
from regexp.models.regularizing.random_layers import Dropout, Noise, StepDraws, add_noise_before, name_layers
from regexp.models.residual import Residual, depth_fractions, make_drop_path
from regexp.models.stacking import keep_rows, row_state, slice_of_run
from regexp.utils.device import move_together
from regexp.utils.keyed_draws import draw_keys, draw_table
from regexp.utils.rng import random_stream

# The rates of random layers: keys of config.schemas.model.
RATES = ("dropout", "drop_path", "input_dropout", "noise")


@final
@dataclass(frozen=True)
class MLPArchitecture:
    """The shape of an MLP. Implements models.protocol.Architecture.

    Attributes:
        in_features: the number of values in an image, C*H*W.
        hidden_sizes: the number of units in each hidden layer.
        num_classes: the number of classes.
        activation: the activation function, a key of layers.ACTIVATIONS.
        normalization: the normalization of hidden layers.
        init: the distribution of the initial weights, one of config.schemas.model.INITS.
        residual: whether hidden layers have residual connections.
    """

    in_features: int
    hidden_sizes: tuple[int, ...]
    num_classes: int
    activation: str
    normalization: Normalization
    init: str = "torch"
    residual: bool = False

    @classmethod
    def from_options(cls, input_shape: tuple[int, ...], num_classes: int, options: Mapping[str, Any]) -> Self:
        """Return the architecture for images of a shape [C, H, W] and a flat configuration.

        Raises:
            ConfigError: the normalization does not suit the sizes.
        """
        normalization, hidden_sizes = Normalization.from_options(options), tuple(options["model.hidden_sizes"])
        normalization.check_sizes({"model.hidden_sizes": hidden_sizes})
        return cls(
            in_features=prod(input_shape),
            hidden_sizes=hidden_sizes,
            num_classes=num_classes,
            activation=options["model.activation"],
            normalization=normalization,
            init=options["model.init"],
            residual=options.get("model.residual", False),
        )

    @cached_property
    def costs(self) -> ModelCosts:
        """What a run's model costs."""
        with torch.device("meta"):
            num_parameters = count_parameters(self.make_module())
        sizes = (self.in_features, *self.hidden_sizes, self.num_classes)
        return ModelCosts(num_parameters, sum(sizes[1:]), flop=2 * sum(a * b for a, b in pairwise(sizes)))

    def describe(self) -> str:
        """Return sizes, normalization and activation in words: "784-128-10, BatchNorm, relu"."""
        sizes = "-".join(str(size) for size in (self.in_features, *self.hidden_sizes, self.num_classes))
        if not self.hidden_sizes:
            return sizes
        residual = ["residual"] if any(self.residual_layers) else []
        return ", ".join([sizes, *residual, *self.normalization.describe(), self.activation])

    @property
    def residual_layers(self) -> list[bool]:
        """For each hidden layer, whether its input is added to its output.

        It is where both have the same size, as in He et al. 2015, without a projection where they have not. The first
        hidden layer's input is an image: its size says nothing.
        """
        sizes = (None, *self.hidden_sizes)
        return [self.residual and before == size for before, size in pairwise(sizes)]

    def make_model(self, seeds: Sequence[int], rates: Sequence[Mapping[str, float]]) -> "MLP":
        """Return K MLPs with initial weights, on the CPU and in float32; `seeds` and `rates` are [K]."""
        rows = [[run_rates.get(name, 0.0) for name in RATES] for run_rates in rates]
        columns = torch.tensor(rows, dtype=torch.float64).view(-1, len(RATES)).unbind(1)
        model = MLP(self, dict(zip(RATES, columns, strict=True)))
        initialize_stacked(model, self.init, seeds)
        return model

    def make_module(self, rates: Mapping[str, float] = {}) -> nn.Sequential:
        """Return one run's model, of torch's own layers."""
        rates = {**dict.fromkeys(RATES, 0.0), **rates}
        layers = _make_layers(
            self,
            flatten=nn.Flatten(),
            linear=nn.Linear,
            normalize=self.normalization.for_units,
            dropout=lambda size: add_noise_before(nn.Dropout(rates["dropout"]), rates["noise"]),
            drop_path=lambda fraction: make_drop_path(rates["drop_path"] * fraction),
        )
        return name_layers(layers, rates["input_dropout"])

    def first_layer_weight(self, state: Mapping[str, Tensor]) -> Tensor | None:
        """Return the weight of one run's first layer, [units, in_features]: an image for each unit."""
        return state["1.weight"]


@final
class MLP(nn.Module):
    """K MLPs: Flatten, (Linear, norm?, activation, Dropout)*, Linear. Implements models.protocol.Model.

    Parameters and buffers have the names that they have in MLPArchitecture.make_module, with a leading run axis.

    Attributes:
        rates: the rates of each run's random layers by name, [K], float64 on the CPU.
    """

    def __init__(self, architecture: MLPArchitecture, rates: Mapping[str, Tensor]) -> None:
        """Make K MLPs with uninitialized weights.

        Args:
            architecture: the shape of each MLP.
            rates: some of RATES, at least one, [K], float64 on the CPU; the others are 0.
        """
        zeros = torch.zeros_like(next(iter(rates.values())))
        num_runs = len(zeros)
        super().__init__()
        self.architecture, self.rates = architecture, {name: rates.get(name, zeros) for name in RATES}
        self.input_dropout = Dropout(architecture.in_features, self.rates["input_dropout"], of_images=True)
        # A layer with one feature for an image drops the image.
        self.layers = _make_layers(
            architecture,
            flatten=nn.Flatten(2),
            linear=lambda in_features, out_features: Linear(num_runs, in_features, out_features),
            normalize=lambda size: architecture.normalization.for_stacked_units(num_runs, size),
            dropout=self._make_dropout,
            drop_path=lambda fraction: Dropout(1, self.rates["drop_path"] * fraction),
        )
        for i, layer in enumerate(self.layers):
            self.add_module(str(i), layer)  # the names that nn.Sequential gives

    def _make_dropout(self, size: int) -> nn.Module:
        """Return the layer of dropout after `size` units, with noise before it if any run has some."""
        dropout, stds = Dropout(size, self.rates["dropout"]), self.rates["noise"]
        return nn.Sequential(Noise(size, stds), dropout) if stds.any() else dropout

    @property
    def activations_per_image(self) -> int:
        """The number of values that the layers of all networks produce for one image."""
        return len(self.rates["dropout"]) * self.architecture.costs.num_activations

    def forward(self, images: Tensor, runs_per_stream: Sequence[int]) -> Tensor:
        """Return the logits [K, B, classes] of images [S, B, ...]; runs_per_stream[s] runs read slice s."""
        flatten, first, *rest = self.layers
        x: Tensor = flatten(images)  # [S, B, in]
        if self.training and any(self.input_dropout.rates):
            if 1 < len(x) < len(self.input_dropout.rates):
                x = x.index_select(0, slice_of_run(tuple(runs_per_stream), x.device))
            x = self.input_dropout(x)  # [K, B, in]
        x = first(x, runs_per_stream)  # [K, B, out]
        for layer in rest:
            x = layer(x)
        return x

    @property
    def overwritten_gradients(self) -> list[str]:
        """The names of the parameters of Linear."""
        names = [name for name, layer in self.named_modules() if isinstance(layer, Linear)]
        return [f"{name}.{parameter}" for name in names for parameter in ("weight", "bias")]

    def begin_epoch(self, seeds: Sequence[int], epoch: int, batch_sizes: Sequence[int]) -> None:
        """Tell the layers that an epoch begins, and give those of dropout its draws. Arguments as in protocol.Model.

        A step of a run has one key for all layers: they differ in their tables.
        """
        for layer in self.modules():
            if isinstance(layer, BatchNorm):
                layer.begin_epoch(batch_sizes)
        layers = {name: layer for name, layer in self._random_layers().items() if any(layer.rates)}
        if not layers:
            return
        streams = [random_stream(seed, "dropout", epoch) for seed in seeds]
        keys = torch.stack([draw_keys(len(batch_sizes), stream) for stream in streams])  # [K, steps, 2]
        tables = [draw_table(name, epoch, max(batch_sizes) * layer.features) for name, layer in layers.items()]
        device = next(iter(layers.values())).draws.keys.device
        keys, *tables = move_together([keys, *tables], device)
        for layer, table in zip(layers.values(), tables, strict=True):
            layer.begin_epoch(table, keys)

    @contextmanager
    def extra_pass(self, repeats: bool) -> Iterator[None]:
        """Let the forward pass in the `with` statement be no step of its own. Arguments as in protocol.Model."""
        steps = {layer: layer.step for layer in self.modules() if isinstance(layer, StepDraws)}
        batch_norms = self.batch_norms()
        for batch_norm in batch_norms:
            batch_norm.keeps_statistics = False
        for draws in steps:
            draws.step -= int(repeats)
        yield
        for draws, step in steps.items():
            draws.step = step
        for batch_norm in batch_norms:
            batch_norm.keeps_statistics = True

    def batch_norms(self) -> list[BatchNorm]:
        """Return the layers of batch normalization."""
        return [layer for layer in self.modules() if isinstance(layer, BatchNorm)]

    def select_runs(self, rows: Tensor) -> "MLP":
        """Return a copy with the runs at `rows` [K'] alone, on the same device."""
        state = {name: tensor[rows] for name, tensor in self.state_dict().items()}
        host_rows = rows.cpu()
        selected = MLP(self.architecture, {name: values[host_rows] for name, values in self.rates.items()})
        selected.load_state_dict(state, assign=True)
        return selected.to(rows.device, state["1.weight"].dtype)

    def keep_runs(self, rows: Tensor) -> None:
        """Remove all runs but those at `rows` [K']."""
        keep_rows(self.modules(), rows)
        host_rows = rows.cpu()
        self.rates = {name: values[host_rows] for name, values in self.rates.items()}
        for layer in self._random_layers().values():
            layer.rates = [layer.rates[k] for k in host_rows.tolist()]

    def run_state(self, k: int) -> dict[str, Tensor]:
        """Return run k's parameters and buffers, which `make_module` loads; views, not copies."""
        return row_state(self, k)

    def _random_layers(self) -> dict[str, Dropout | Noise]:
        """Return the layers that draw, by the names of their tables of draws."""
        layers: dict[str, Dropout | Noise] = {}
        counts = Counter[str]()
        for path, layer in self.named_modules():
            if isinstance(layer, Dropout | Noise):
                name = path.rpartition(".")[2]
                kind = name if name in RATES else "noise" if isinstance(layer, Noise) else "dropout"
                layers[f"{kind}/{counts[kind]}"] = layer
                counts[kind] += 1
        return layers


def _make_layers(
    architecture: MLPArchitecture,
    flatten: nn.Module,
    linear: Callable[[int, int], nn.Module],
    normalize: Callable[[int], list[nn.Module]],
    dropout: Callable[[int], nn.Module],
    drop_path: Callable[[float], nn.Module],
) -> list[nn.Module]:
    """Return the layers of an MLP in order. Both the stacked and the plain MLP are made here.

    Args:
        architecture: the shape of the MLP.
        flatten: the first layer.
        linear: makes a linear layer, given in_features and out_features.
        normalize: makes the normalization layer in a list, given the number of features.
        dropout: makes a dropout layer, given the number of features.
        drop_path: makes a layer of stochastic depth, given the fraction of the rate that its depth calls for.
    """
    layers = [flatten]
    in_features = architecture.in_features
    fractions = iter(depth_fractions(sum(architecture.residual_layers)))
    for size, is_residual in zip(architecture.hidden_sizes, architecture.residual_layers, strict=True):
        hidden_layer = [linear(in_features, size), *normalize(size)]
        hidden_layer += [ACTIVATIONS[architecture.activation](), dropout(size)]
        if is_residual:
            hidden_layer = [Residual(nn.Sequential(*hidden_layer), drop_path(next(fractions)))]
        layers += hidden_layer
        in_features = size
    return [*layers, linear(in_features, architecture.num_classes)]
