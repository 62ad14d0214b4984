"""Transforms that leave pixels where they are and change their brightness: torchvision's, batched."""

from collections.abc import Mapping
from dataclasses import dataclass
from functools import lru_cache
from math import log
from typing import ClassVar, Protocol, final

import torch
from torch import Generator, Tensor

from regexp.augmentation.geometry import keep_size, draw_uniform
from regexp.errors import ConfigError

_TRIES = 10  # that RandomErasing gives a rectangle to fit


class Transformation(Protocol):
    """What a pipeline does in one go. `kind` names the random stream of what is drawn pixel by pixel."""

    @property
    def kind(self) -> str:
        """Noise, erase, ..."""

    def output_size(self, height: int, width: int) -> tuple[int, int]:
        """Height and width of the result for images of these. Raises ConfigError if they do not suit."""
        ...

    def draw(self, count: int, height: int, width: int, generator: Generator) -> dict[str, Tensor]:
        """torchvision's parameters for `count` images of this size, each [count, ...]."""
        ...

    def apply(self, images: Tensor, parameters: Mapping[str, Tensor], generator: Generator) -> Tensor:
        """images [n, C, H, W] in [0, 1] and their parameters -> [n, C, h, w].

        `generator`, on the images' device, gives what is drawn for every pixel.
        """
        ...


@final
@dataclass(frozen=True)
class GaussianNoise:
    """A normal number for every pixel, then clipped to [0, 1]; torchvision.transforms.v2.GaussianNoise."""

    std: float = 0.1
    kind: ClassVar[str] = "noise"
    output_size = staticmethod(keep_size)

    def draw(self, count: int, height: int, width: int, generator: Generator) -> dict[str, Tensor]:
        """Nothing: see apply."""
        return {}

    def apply(self, images: Tensor, parameters: Mapping[str, Tensor], generator: Generator) -> Tensor:
        """See Stage."""
        # float32 whatever the images' precision, so that both see the same draws
        noise = torch.randn(images.shape, generator=generator, device=images.device)
        return noise.to(images.dtype).mul_(self.std).add_(images).clamp_(0, 1)

    def describe(self) -> str:
        """See Geometric."""
        return f"noise of {self.std:g}"


@final
@dataclass(frozen=True)
class RandomErasing:
    """A rectangle painted over, with probability p; torchvision.transforms.RandomErasing.

    Its area is uniform in `scale` times the image's, and the logarithm of its height over its width uniform in
    `ratio`'s, tried ten times until it fits (Zhong et al. 2020, "Random erasing data augmentation", algorithm 1).
    """

    p: float = 0.5
    scale: tuple[float, float] = (0.02, 0.33)
    ratio: tuple[float, float] = (0.3, 3.3)
    fill: float = 0.0
    kind: ClassVar[str] = "erase"
    output_size = staticmethod(keep_size)

    def draw(self, count: int, height: int, width: int, generator: Generator) -> dict[str, Tensor]:
        """Rows `i` up to `i + h`, columns `j` up to `j + w`; `h` and `w` are 0 where nothing is erased."""
        applied = torch.rand(count, generator=generator) < self.p
        area = height * width * draw_uniform(count * _TRIES, *self.scale, generator)
        ratio = draw_uniform(count * _TRIES, log(self.ratio[0]), log(self.ratio[1]), generator).exp()
        sizes = torch.stack([(area * ratio).sqrt().round(), (area / ratio).sqrt().round()]).view(2, count, _TRIES)
        fits = (sizes[0] < height) & (sizes[1] < width)
        first = fits.int().argmax(1)  # [count], of the tries that fit
        h, w = sizes[:, torch.arange(count), first] * (applied & fits.any(1))
        i, j = (
            (torch.rand(count, generator=generator) * (side - own + 1)).floor().clamp(max=side - 1)
            for side, own in ((height, h), (width, w))
        )
        return {"i": i, "j": j, "h": h, "w": w}

    def apply(self, images: Tensor, parameters: Mapping[str, Tensor], generator: Generator) -> Tensor:
        """See Stage."""
        height, width = images.shape[2:]
        i, j, h, w = (parameters[name].unsqueeze(1) for name in "ijhw")
        y, x = _counted(height, images.device), _counted(width, images.device)
        rows, columns = (y >= i) & (y < i + h), (x >= j) & (x < j + w)  # [n, H], [n, W]
        return images.masked_fill((rows.unsqueeze(2) & columns.unsqueeze(1)).unsqueeze(1), self.fill)

    def describe(self) -> str:
        """See Geometric."""
        return f"erasing {self.scale[0]:g} to {self.scale[1]:g} of the area with p {self.p:g}"


@final
@dataclass(frozen=True)
class GaussianBlur:
    """Blur by a Gaussian cut off at `kernel_size`, of a standard deviation uniform in `sigma`, the borders reflected.

    torchvision.transforms.GaussianBlur; a standard deviation of 0 changes nothing.
    """

    kernel_size: int = 5
    sigma: tuple[float, float] = (0.1, 1.0)
    kind: ClassVar[str] = "blur"

    def output_size(self, height: int, width: int) -> tuple[int, int]:
        """See Stage."""
        side = min(height, width)
        if self.kernel_size // 2 >= side:
            raise ConfigError(
                f"kernel_size={self.kernel_size}: reaches over images of {height}x{width}; use at most {2 * side - 1}"
            )
        return height, width

    def draw(self, count: int, height: int, width: int, generator: Generator) -> dict[str, Tensor]:
        """`sigma` in pixels."""
        return {"sigma": draw_uniform(count, *self.sigma, generator)}

    def apply(self, images: Tensor, parameters: Mapping[str, Tensor], generator: Generator) -> Tensor:
        """See Stage."""
        reach, sigma = self.kernel_size // 2, parameters["sigma"].to(images.dtype).unsqueeze(1)
        taps = _counted(reach + 1, images.device).to(images.dtype)
        weights = torch.where(taps > 0, (-0.5 * (taps / sigma) ** 2).exp(), 1.0)  # [n, reach + 1], one side and centre
        weights = weights / (2 * weights.sum(1, keepdim=True) - 1)
        # An image's kernel as a matrix for its rows and one for its columns: [n, H, H] and [n, W, W].
        rows, columns = (
            (weights @ _reflecting(side, reach, images.dtype, images.device)).view(-1, 1, side, side)
            for side in images.shape[2:]
        )
        return rows @ images @ columns.transpose(2, 3)

    def describe(self) -> str:
        """See Geometric."""
        return f"blur of {self.sigma[0]:g} to {self.sigma[1]:g} pixels"


@final
@dataclass(frozen=True)
class ColorJitter:
    """Brightness and contrast times factors uniform in [1 - x, 1 + x], in random order; torchvision's ColorJitter."""

    brightness: float = 0.2
    contrast: float = 0.2
    kind: ClassVar[str] = "jitter"
    output_size = staticmethod(keep_size)

    def draw(self, count: int, height: int, width: int, generator: Generator) -> dict[str, Tensor]:
        """The factors, and `contrast_first` 0 or 1."""
        return {
            "brightness": draw_uniform(count, max(0.0, 1 - self.brightness), 1 + self.brightness, generator),
            "contrast": draw_uniform(count, max(0.0, 1 - self.contrast), 1 + self.contrast, generator),
            "contrast_first": (torch.rand(count, generator=generator) < 0.5).float(),
        }

    def apply(self, images: Tensor, parameters: Mapping[str, Tensor], generator: Generator) -> Tensor:
        """See Stage."""
        brightness, contrast, first = (
            parameters[name].to(images.dtype).view(-1, 1, 1, 1) for name in ("brightness", "contrast", "contrast_first")
        )
        images = _blend(images, brightness.lerp(contrast, first), first)
        return _blend(images, contrast.lerp(brightness, first), 1 - first)

    def describe(self) -> str:
        """See Geometric."""
        return f"brightness by {self.brightness:g}, contrast by {self.contrast:g}"


def _blend(images: Tensor, factor: Tensor, contrast: Tensor) -> Tensor:
    """Images times `factor` [n, 1, 1, 1] about black, or where `contrast` is 1 about their mean gray; clamped."""
    means = images.mean((2, 3), keepdim=True)  # [n, C, 1, 1]
    if images.shape[1] == 3:
        red, green, blue = means.split(1, 1)
        means = 0.2989 * red + 0.587 * green + 0.114 * blue  # ITU-R BT.601, as torchvision rounds it
    else:
        means = means.mean(1, keepdim=True)
    return torch.addcmul((1 - factor) * contrast * means, images, factor).clamp_(0, 1)


@lru_cache(maxsize=16)
def _counted(count: int, device: torch.device) -> Tensor:
    """0, 1, ... as float32. Kept, because making it costs a GPU."""
    return torch.arange(count, dtype=torch.float32).to(device)


@lru_cache(maxsize=16)
def _reflecting(side: int, reach: int, dtype: torch.dtype, device: torch.device) -> Tensor:
    """[reach + 1, side * side]: row k's matrix adds the pixels k before and k after (d c b | a b c d | c b a)."""
    matrices = torch.zeros(reach + 1, side, side)
    for k in range(reach + 1):
        for pixel in range(side):
            for source in {pixel - k, pixel + k}:  # a set: the centre is added once
                inside = (side - 1) - abs((side - 1) - abs(source))
                matrices[k, pixel, inside] += 1
    return matrices.flatten(1).to(device, dtype)
