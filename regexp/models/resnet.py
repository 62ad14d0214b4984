"""A residual network for small images, of torch's own layers."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from functools import cached_property
from typing import Any, Self, final

from torch import Tensor, nn

from regexp.models.bound import BoundModel
from regexp.models.costs import ModelCosts, estimate_costs
from regexp.models.initialization import make_modules
from regexp.models.layers import ACTIVATIONS
from regexp.models.normalization import Normalization
from regexp.models.regularizing.random_layers import add_noise_before, name_layers
from regexp.models.residual import Residual, depth_fractions, make_drop_path

NUM_STAGES = 3


@final
@dataclass(frozen=True)
class ResNetArchitecture:
    """The shape of a residual network. Implements models.protocol.Architecture.

    He et al. 2015, "Deep residual learning for image recognition", section 4.2, for images of 32x32 pixels: a
    convolution, three stages of blocks, the mean over all pixels, Linear. The first block of the second and third stage
    halves the image and doubles the channels. A block is

        activation(shortcut(x) + drop_path(norm(Conv(Dropout2d(activation(norm(Conv(x))))))))

    where the shortcut is x, or where the sizes differ a convolution of 1x1 with normalization (the paper's option B).
    Dropout is between the convolutions of a block, where it is in Zagoruyko and Komodakis 2016, "Wide residual
    networks"; it drops whole channels, as in `cnn`, where theirs drops single values. Noise is added before it.

    Attributes:
        in_channels: the number of channels of an image.
        depth: the number of blocks in each stage; the network has 6 * depth + 2 layers with weights.
        width: the number of channels in the first stage.
        num_classes: the number of classes.
        activation: the activation function, a key of layers.ACTIVATIONS.
        normalization: the normalization after convolutions.
        init: the distribution of the initial weights, one of config.schemas.model.INITS.
        input_shape: [C, H, W] of the images.
    """

    in_channels: int
    depth: int
    width: int
    num_classes: int
    activation: str
    normalization: Normalization
    init: str = "torch"
    input_shape: tuple[int, int, int] = field(default=(0, 0, 0), compare=False)

    @classmethod
    def from_options(cls, input_shape: tuple[int, ...], num_classes: int, options: Mapping[str, Any]) -> Self:
        """Return the architecture for images of a shape [C, H, W] and a flat configuration.

        Raises:
            ConfigError: the normalization does not suit the width.
        """
        in_channels, height, width = input_shape
        normalization = Normalization.from_options(options)
        normalization.check_sizes({"model.width": (options["model.width"],)})
        return cls(
            in_channels=in_channels,
            depth=options["model.depth"],
            width=options["model.width"],
            num_classes=num_classes,
            activation=options["model.activation"],
            normalization=normalization,
            init=options["model.init"],
            input_shape=(in_channels, height, width),
        )

    @cached_property
    def costs(self) -> ModelCosts:
        """What a run's model costs."""
        return estimate_costs(self.make_module, self.input_shape)

    def describe(self) -> str:
        """Return depth, sizes, normalization and activation: "ResNet-8, conv 1-16-32-64, dense 64-10, relu"."""
        channels = "-".join(map(str, (self.in_channels, *self._stage_channels())))
        sizes = f"conv {channels}, dense {self._stage_channels()[-1]}-{self.num_classes}"
        num_layers = 2 * NUM_STAGES * self.depth + 2
        return ", ".join([f"ResNet-{num_layers}", sizes, *self.normalization.describe(), self.activation])

    def make_model(self, seeds: Sequence[int], rates: Sequence[Mapping[str, float]]) -> BoundModel:
        """Return K networks with initial weights, on the CPU and in float32; `seeds` and `rates` are [K]."""
        return BoundModel(self, make_modules(self, seeds, rates, self.init))

    def make_module(self, rates: Mapping[str, float] = {}) -> nn.Sequential:
        """Return one run's model."""
        layers = [*self._convolve(self.in_channels, self.width, 3), ACTIVATIONS[self.activation]()]
        in_channels = self.width
        for i, fraction in enumerate(depth_fractions(NUM_STAGES * self.depth)):
            channels = self._stage_channels()[i // self.depth]
            drop_path = rates.get("drop_path", 0.0) * fraction
            dropout = add_noise_before(nn.Dropout2d(rates.get("dropout", 0.0)), rates.get("noise", 0.0))
            layers += self._make_block(in_channels, channels, dropout, drop_path)
            in_channels = channels
        layers += [nn.AdaptiveAvgPool2d(1), nn.Flatten(), nn.Linear(in_channels, self.num_classes)]
        return name_layers(layers, rates.get("input_dropout", 0.0))

    def first_layer_weight(self, state: Mapping[str, Tensor]) -> None:
        """Return None: the kernels are not of the images' size."""

    def _stage_channels(self) -> list[int]:
        """Return the number of channels of each stage."""
        return [self.width * 2**stage for stage in range(NUM_STAGES)]

    def _make_block(self, in_channels: int, channels: int, dropout: nn.Module, drop_path: float) -> list[nn.Module]:
        """Return a block, which halves the image where the number of channels changes."""
        stride = 1 if in_channels == channels else 2
        layers = [
            *self._convolve(in_channels, channels, 3, stride),
            ACTIVATIONS[self.activation](),
            dropout,
            *self._convolve(channels, channels, 3),
        ]
        shortcut = None if stride == 1 else nn.Sequential(*self._convolve(in_channels, channels, 1, stride))
        residual = Residual(nn.Sequential(*layers), make_drop_path(drop_path), shortcut)
        return [residual, ACTIVATIONS[self.activation]()]

    def _convolve(self, in_channels: int, channels: int, kernel_size: int, stride: int = 1) -> list[nn.Module]:
        """Return a convolution and its normalization. The convolution has biases where its normalization has none."""
        bias = not self.normalization.shifts
        convolution = nn.Conv2d(in_channels, channels, kernel_size, stride, kernel_size // 2, bias=bias)
        return [convolution, *self.normalization.for_channels(channels)]
