"""Batched forms of torchvision's transforms that change brightness and leave pixels where they are."""

from collections.abc import Mapping
from dataclasses import dataclass
from functools import lru_cache
from math import log
from typing import Protocol, final, runtime_checkable

import torch
from torch import Generator, Tensor

from regexp.augmentation.geometry import RandomDraws, draw_uniform, keep_size
from regexp.errors import ConfigError

_ERASING_TRIES = 10  # rectangles drawn per image, of which the first that fits is erased


@runtime_checkable
class Operation(RandomDraws, Protocol):
    """One operation of a pipeline on a batch of images."""

    def apply(self, images: Tensor, parameters: Mapping[str, Tensor]) -> Tensor:
        """Transform images.

        Args:
            images: [n, C, H, W], in [0, 1].
            parameters: what was drawn for these images, by name, [n, ...].

        Returns:
            [n, C, *output_size(H, W)].
        """
        ...


@runtime_checkable
class PixelDraws(Protocol):
    """An operation that needs draws for every pixel: `apply` gets them among the parameters.

    They are `draws` [n, at least draws_per_image], each uniform over the 16-bit numbers from -32768 to 32767.
    """

    @property
    def kind(self) -> str:
        """The name of the random streams from which the images' keys are drawn."""

    def draws_per_image(self, channels: int, height: int, width: int) -> int:
        """Return the number of draws for an image of this size."""
        ...


@final
@dataclass(frozen=True)
class RandomErasing:
    """Erasing of a random rectangle, with probability p.

    Its area is uniform in `scale` times the image's area, and the logarithm of its height over its width is uniform
    between the logarithms of `ratio`. Both are drawn up to ten times, until the rectangle fits into the image (Zhong et
    al. 2020, "Random erasing data augmentation", algorithm 1). Counterpart: torchvision.transforms.RandomErasing.

    Attributes:
        p: the probability.
        scale: the smallest and the largest area, as fractions of the image's.
        ratio: the smallest and the largest height over width.
        fill: brightness of the rectangle, in [0, 1].
    """

    p: float = 0.5
    scale: tuple[float, float] = (0.02, 0.33)
    ratio: tuple[float, float] = (0.3, 3.3)
    fill: float = 0.0
    output_size = staticmethod(keep_size)

    def draw(self, count: int, height: int, width: int, generator: Generator) -> dict[str, Tensor]:
        """Draw the rectangles. Arguments as in Operation.draw.

        Returns:
            `i` and `j`: first row and column; `h` and `w`: height and width, 0 where nothing is erased; each [count],
            in whole pixels.
        """
        applied = torch.rand(count, generator=generator) < self.p
        area = height * width * draw_uniform(count * _ERASING_TRIES, *self.scale, generator)
        ratio = draw_uniform(count * _ERASING_TRIES, log(self.ratio[0]), log(self.ratio[1]), generator).exp()
        sizes = torch.stack([(area * ratio).sqrt().round(), (area / ratio).sqrt().round()])
        sizes = sizes.view(2, count, _ERASING_TRIES)
        fits = (sizes[0] < height) & (sizes[1] < width)
        first_fit = fits.int().argmax(1)  # [count]
        erased = applied & fits.any(1)
        h, w = sizes[:, torch.arange(count), first_fit].where(erased, 0.0)
        i = _draw_starts(height, h, generator)
        j = _draw_starts(width, w, generator)
        return {"i": i, "j": j, "h": h, "w": w}

    def apply(self, images: Tensor, parameters: Mapping[str, Tensor]) -> Tensor:
        """Paint the rectangles of `parameters` over images [n, C, H, W]."""
        height, width = images.shape[2:]
        i, j, h, w = (parameters[name].unsqueeze(1) for name in "ijhw")
        y, x = _float_range(height, images.device), _float_range(width, images.device)
        rows, columns = (y >= i) & (y < i + h), (x >= j) & (x < j + w)  # [n, H], [n, W]
        return images.masked_fill((rows.unsqueeze(2) & columns.unsqueeze(1)).unsqueeze(1), self.fill)

    def describe(self) -> str:
        """Return the transform's name and strength, in words."""
        return f"erasing {self.scale[0]:g} to {self.scale[1]:g} of the area with p {self.p:g}"


@final
@dataclass(frozen=True)
class GaussianBlur:
    """Blur by a Gaussian kernel, whose standard deviation is uniform in `sigma`; the borders are reflected.

    A standard deviation of 0 changes nothing. Counterpart: torchvision.transforms.GaussianBlur.

    Attributes:
        kernel_size: side of the kernel, in pixels, odd.
        sigma: the smallest and the largest standard deviation, in pixels.
    """

    kernel_size: int = 5
    sigma: tuple[float, float] = (0.1, 1.0)

    def output_size(self, height: int, width: int) -> tuple[int, int]:
        """Return the size unchanged.

        Raises:
            ConfigError: half the kernel is as large as the images, so that a border cannot be reflected.
        """
        side = min(height, width)
        if self.kernel_size // 2 >= side:
            raise ConfigError(
                f"kernel_size={self.kernel_size}: is too large for images of {height}x{width}; "
                f"use at most {2 * side - 1}"
            )
        return height, width

    def draw(self, count: int, height: int, width: int, generator: Generator) -> dict[str, Tensor]:
        """Draw `sigma` [count], in pixels. Arguments as in Operation.draw."""
        return {"sigma": draw_uniform(count, *self.sigma, generator)}

    def apply(self, images: Tensor, parameters: Mapping[str, Tensor]) -> Tensor:
        """Blur images [n, C, H, W] by `sigma` [n] of `parameters`."""
        reach = self.kernel_size // 2
        sigma = parameters["sigma"].to(images.dtype).unsqueeze(1)
        distances = _float_range(reach + 1, images.device).to(images.dtype)
        # The kernel is symmetric: weights [n, reach + 1] are those of the centre and of one side.
        weights = torch.where(distances > 0, (-0.5 * (distances / sigma) ** 2).exp(), 1.0)
        weights = weights / (2 * weights.sum(1, keepdim=True) - 1)
        # Each image's kernel as one matrix for its rows and one for its columns: [n, 1, H, H] and [n, 1, W, W].
        rows, columns = (
            (weights @ _neighbour_matrices(side, reach, images.dtype, images.device)).view(-1, 1, side, side)
            for side in images.shape[2:]
        )
        return rows @ images @ columns.transpose(2, 3)

    def describe(self) -> str:
        """Return the transform's name and strength, in words."""
        return f"blur of {self.sigma[0]:g} to {self.sigma[1]:g} pixels"


@final
@dataclass(frozen=True)
class ColorJitter:
    """Brightness and contrast multiplied by factors uniform in [1 - x, 1 + x], in random order.

    Factors are never negative. Counterpart: torchvision.transforms.ColorJitter(brightness, contrast).

    Attributes:
        brightness: the x of the brightness factor.
        contrast: the x of the contrast factor.
    """

    brightness: float = 0.2
    contrast: float = 0.2
    output_size = staticmethod(keep_size)

    def draw(self, count: int, height: int, width: int, generator: Generator) -> dict[str, Tensor]:
        """Draw the factors and their order. Arguments as in Operation.draw.

        Returns:
            `brightness` and `contrast`: the factors; `contrast_first`: 0 or 1; each [count].
        """
        return {
            "brightness": draw_uniform(count, max(0.0, 1 - self.brightness), 1 + self.brightness, generator),
            "contrast": draw_uniform(count, max(0.0, 1 - self.contrast), 1 + self.contrast, generator),
            "contrast_first": (torch.rand(count, generator=generator) < 0.5).float(),
        }

    def apply(self, images: Tensor, parameters: Mapping[str, Tensor]) -> Tensor:
        """Change brightness and contrast of images [n, C, H, W] as `parameters` say."""
        brightness, contrast, contrast_first = (
            parameters[name].to(images.dtype).view(-1, 1, 1, 1) for name in ("brightness", "contrast", "contrast_first")
        )
        images = _adjust(images, brightness.lerp(contrast, contrast_first), contrast_first)
        return _adjust(images, contrast.lerp(brightness, contrast_first), 1 - contrast_first)

    def describe(self) -> str:
        """Return the transform's name and strength, in words."""
        return f"brightness by {self.brightness:g}, contrast by {self.contrast:g}"


def adjust_contrast(images: Tensor, factor: float) -> Tensor:
    """Return images [n, C, H, W] whose differences from their mean gray are multiplied by a factor, clipped to [0, 1].

    Counterpart: torchvision.transforms.functional.adjust_contrast.
    """
    factors = images.new_full((1, 1, 1, 1), factor)
    return _adjust(images, factors, torch.ones_like(factors))


def _draw_starts(side: int, lengths: Tensor, generator: Generator) -> Tensor:
    """Draw where intervals of `lengths` [count] begin on a side of this many pixels, [count]."""
    starts = (torch.rand(len(lengths), generator=generator) * (side - lengths + 1)).floor()
    return starts.clamp(max=side - 1)


def _adjust(images: Tensor, factor: Tensor, is_contrast: Tensor) -> Tensor:
    """Adjust the brightness or the contrast of each image by a factor, and clip the result to [0, 1].

    Args:
        images: [n, C, H, W].
        factor: [n, 1, 1, 1].
        is_contrast: [n, 1, 1, 1]: 1 to scale an image's difference from its mean gray (contrast), 0 from black
            (brightness).
    """
    means = images.mean((2, 3), keepdim=True)  # [n, C, 1, 1]
    if images.shape[1] == 3:
        red, green, blue = means.split(1, 1)
        means = 0.2989 * red + 0.587 * green + 0.114 * blue  # ITU-R BT.601, as torchvision rounds it
    else:
        means = means.mean(1, keepdim=True)
    return torch.addcmul((1 - factor) * is_contrast * means, images, factor).clamp_(0, 1)


@lru_cache(maxsize=16)
def _float_range(count: int, device: torch.device) -> Tensor:
    """Return 0, 1, ... as float32 [count]. Cached, because making it costs time on a GPU."""
    return torch.arange(count, dtype=torch.float32).to(device)


@lru_cache(maxsize=16)
def _neighbour_matrices(side: int, reach: int, dtype: torch.dtype, device: torch.device) -> Tensor:
    """Return for each distance the matrix that adds up the two pixels at this distance from every pixel.

    Beyond the borders pixels are reflected: d c b | a b c d | c b a.

    Args:
        side: number of pixels of a row or column.
        reach: the largest distance.
        dtype: the type of the images.
        device: the device of the images.

    Returns:
        [reach + 1, side * side]; at distance 0 the identity.
    """
    matrices = torch.zeros(reach + 1, side, side)
    for distance in range(reach + 1):
        for pixel in range(side):
            for source in {pixel - distance, pixel + distance}:  # a set, so that the pixel itself is added once
                reflected = (side - 1) - abs((side - 1) - abs(source))
                matrices[distance, pixel, reflected] += 1
    return matrices.flatten(1).to(device, dtype)
