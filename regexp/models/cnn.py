"""A convolutional network of torch's own layers."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from functools import cached_property
from typing import Any, Self, final

from torch import Tensor, nn

from regexp.errors import ConfigError
from regexp.models.bound import BoundModel
from regexp.models.costs import ModelCosts, estimate_costs
from regexp.models.initialization import make_modules
from regexp.models.layers import ACTIVATIONS
from regexp.models.normalization import Normalization
from regexp.models.regularizing.random_layers import add_noise_before, name_layers

POOLING_LAYERS = {"max": nn.MaxPool2d, "avg": nn.AvgPool2d}


@final
@dataclass(frozen=True)
class CNNArchitecture:
    """The shape of a convolutional network. Implements models.protocol.Architecture.

    (Conv, norm?, activation, pooling, Dropout2d)*, Flatten, (Linear, norm?, activation, Dropout)*, Linear. Each pooling
    halves height and width. Dropout drops whole channels after convolutions, because neighbouring pixels of a channel
    are alike (Tompson et al. 2015, "Efficient object localization using convolutional networks"), and units after dense
    layers.

    Attributes:
        in_channels: the number of channels of an image.
        flat_features: the number of values after the last pooling.
        channels: the number of channels of each convolution.
        kernel_size: the height and width of each convolution's kernel, in pixels.
        pooling: "max" or "avg".
        hidden_sizes: the number of units of each hidden dense layer.
        num_classes: the number of classes.
        activation: the activation function, a key of layers.ACTIVATIONS.
        normalization: the normalization after convolutions and hidden dense layers.
        init: the distribution of the initial weights, one of config.schemas.model.INITS.
        input_shape: [C, H, W] of the images.
    """

    in_channels: int
    flat_features: int
    channels: tuple[int, ...]
    kernel_size: int
    pooling: str
    hidden_sizes: tuple[int, ...]
    num_classes: int
    activation: str
    normalization: Normalization
    init: str = "torch"
    input_shape: tuple[int, int, int] = field(default=(0, 0, 0), compare=False)

    @classmethod
    def from_options(cls, input_shape: tuple[int, ...], num_classes: int, options: Mapping[str, Any]) -> Self:
        """Return the architecture for images of a shape [C, H, W] and a flat configuration.

        Raises:
            ConfigError: the images are too small for so many halvings, or the normalization does not suit the sizes.
        """
        in_channels, height, width = input_shape
        channels = options["model.channels"]
        max_blocks = min(height, width).bit_length() - 1
        if len(channels) > max_blocks:
            raise ConfigError(
                f"model.channels={channels}: each of these {len(channels)} convolutions halves the image, and one of "
                f"{height}x{width} can be halved {max_blocks} times; use at most {max_blocks} numbers"
            )
        flat_features = channels[-1] * (height >> len(channels)) * (width >> len(channels))
        shape = (in_channels, height, width)
        return cls._from_sizes(in_channels, flat_features, num_classes, options, shape)

    @classmethod
    def _from_sizes(
        cls,
        in_channels: int,
        flat_features: int,
        num_classes: int,
        options: Mapping[str, Any],
        input_shape: tuple[int, int, int],
    ) -> Self:
        channels, hidden_sizes = tuple(options["model.channels"]), tuple(options["model.hidden_sizes"])
        normalization = Normalization.from_options(options)
        normalization.check_sizes({"model.channels": channels, "model.hidden_sizes": hidden_sizes})
        return cls(
            in_channels=in_channels,
            flat_features=flat_features,
            channels=channels,
            kernel_size=options["model.kernel_size"],
            pooling=options["model.pooling"],
            hidden_sizes=hidden_sizes,
            num_classes=num_classes,
            activation=options["model.activation"],
            normalization=normalization,
            init=options["model.init"],
            input_shape=input_shape,
        )

    @cached_property
    def costs(self) -> ModelCosts:
        """What a run's model costs."""
        return estimate_costs(self.make_module, self.input_shape)

    def describe(self) -> str:
        """Return sizes, normalization and activation in words: "conv 32-64 (3x3), dense 3136-128-10, relu"."""
        channels = "-".join(map(str, (self.in_channels, *self.channels)))
        sizes = "-".join(map(str, (self.flat_features, *self.hidden_sizes, self.num_classes)))
        convolutions = f"conv {channels} ({self.kernel_size}x{self.kernel_size}, {self.pooling} pooling)"
        return ", ".join([convolutions, f"dense {sizes}", *self.normalization.describe(), self.activation])

    def make_model(self, seeds: Sequence[int], rates: Sequence[Mapping[str, float]]) -> BoundModel:
        """Return K networks with initial weights, on the CPU and in float32; `seeds` and `rates` are [K]."""
        return BoundModel(self, make_modules(self, seeds, rates, self.init))

    def make_module(self, rates: Mapping[str, float] = {}) -> nn.Sequential:
        """Return one run's model."""
        dropout, noise = rates.get("dropout", 0.0), rates.get("noise", 0.0)
        layers: list[nn.Module] = []
        in_channels = self.in_channels
        for channels in self.channels:
            layers += self._convolve(in_channels, channels)
            layers += self.normalization.for_channels(channels)
            layers += [ACTIVATIONS[self.activation](), POOLING_LAYERS[self.pooling](2)]
            layers.append(add_noise_before(nn.Dropout2d(dropout), noise))
            in_channels = channels
        layers.append(nn.Flatten())
        in_features = self.flat_features
        for size in self.hidden_sizes:
            layers.append(nn.Linear(in_features, size))
            layers += self.normalization.for_units(size)
            layers += [ACTIVATIONS[self.activation](), add_noise_before(nn.Dropout(dropout), noise)]
            in_features = size
        layers.append(nn.Linear(in_features, self.num_classes))
        return name_layers(layers, rates.get("input_dropout", 0.0))

    def first_layer_weight(self, state: Mapping[str, Tensor]) -> None:
        """Return None: the kernels are not of the images' size."""

    def _convolve(self, in_channels: int, channels: int) -> list[nn.Module]:
        """Return a convolution that keeps height and width."""
        before, after = (self.kernel_size - 1) // 2, self.kernel_size // 2
        bias = not self.normalization.shifts
        if before == after:
            return [nn.Conv2d(in_channels, channels, self.kernel_size, padding=before, bias=bias)]
        padding = nn.ZeroPad2d((before, after, before, after))
        return [padding, nn.Conv2d(in_channels, channels, self.kernel_size, bias=bias)]
