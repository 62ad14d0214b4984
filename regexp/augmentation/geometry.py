"""Transforms that move the sampling grid: torchvision's, with a matrix an image instead of a resampling each.

A matrix [2, 3] (affine) or [3, 3] (a homography) maps a pixel of the result to the place in the source that it is read
from, both counted in pixels from the image's centre, x to the right and y down.
"""

from collections.abc import Mapping
from dataclasses import dataclass
from typing import ClassVar, Protocol, final

import torch
from torch import Generator, Tensor

from regexp.errors import ConfigError


class GeometricTransform(Protocol):
    """A geometric transform. `interpolation` and `fill` are None where the transform is content with any."""

    @property
    def interpolation(self) -> str | None:
        """Nearest or bilinear."""

    @property
    def fill(self) -> float | None:
        """Brightness of what comes from outside the image."""

    def output_size(self, height: int, width: int) -> tuple[int, int]:
        """Height and width of the result for images of these. Raises ConfigError if they do not suit."""
        ...

    def draw(self, count: int, height: int, width: int, generator: Generator) -> dict[str, Tensor]:
        """torchvision's parameters for `count` images of this size, each [count, ...]."""
        ...

    def matrix(self, parameters: Mapping[str, Tensor], height: int, width: int) -> Tensor:
        """[count, 2, 3] or [count, 3, 3] from what was drawn."""
        ...

    def describe(self) -> str:
        """Name and numbers, in words."""
        ...


def keep_size(height: int, width: int) -> tuple[int, int]:
    """The `fit` of a transform that suits all images and keeps their size."""
    return height, width


@final
@dataclass(frozen=True)
class RandomRotation:
    """Rotation by an angle uniform in [-degrees, degrees]; torchvision.transforms.RandomRotation."""

    degrees: float
    interpolation: str = "nearest"
    fill: float = 0.0
    output_size = staticmethod(keep_size)

    def draw(self, count: int, height: int, width: int, generator: Generator) -> dict[str, Tensor]:
        """`angle` in degrees, counter-clockwise."""
        return {"angle": draw_uniform(count, -self.degrees, self.degrees, generator)}

    def matrix(self, parameters: Mapping[str, Tensor], height: int, width: int) -> Tensor:
        """See Geometric."""
        angle = torch.deg2rad(parameters["angle"])
        cos, sin = angle.cos(), angle.sin()
        return _matrix(cos, -sin, 0, sin, cos, 0)

    def describe(self) -> str:
        """See Geometric."""
        return f"rotation by {self.degrees:g} degrees"


@final
@dataclass(frozen=True)
class RandomHorizontalFlip:
    """Mirror with probability p; torchvision.transforms.RandomHorizontalFlip."""

    p: float = 0.5
    interpolation: ClassVar[None] = None
    fill: ClassVar[None] = None
    output_size = staticmethod(keep_size)

    def draw(self, count: int, height: int, width: int, generator: Generator) -> dict[str, Tensor]:
        """`flipped` 0 or 1."""
        return {"flipped": (torch.rand(count, generator=generator) < self.p).float()}

    def matrix(self, parameters: Mapping[str, Tensor], height: int, width: int) -> Tensor:
        """See Geometric."""
        return _matrix(1 - 2 * parameters["flipped"], 0, 0, 0, 1, 0)

    def describe(self) -> str:
        """See Geometric."""
        return f"flip with p {self.p:g}"


@final
@dataclass(frozen=True)
class RandomShift:
    """A crop of the padded image, of its own size; torchvision.transforms.RandomCrop(size, padding).

    `padding` is in pixels, or below 1 a fraction of the side.
    """

    padding: float
    fill: float = 0.0
    interpolation: ClassVar[None] = None
    output_size = staticmethod(keep_size)

    def draw(self, count: int, height: int, width: int, generator: Generator) -> dict[str, Tensor]:
        """`i` and `j`: row and column of the padded image at which the crop begins, less the padding."""
        pads = {"i": self.pixels(height), "j": self.pixels(width)}
        return {name: torch.randint(-pad, pad + 1, (count,), generator=generator).float() for name, pad in pads.items()}

    def matrix(self, parameters: Mapping[str, Tensor], height: int, width: int) -> Tensor:
        """See Geometric."""
        return _matrix(1, 0, parameters["j"], 0, 1, parameters["i"])

    def pixels(self, side: int) -> int:
        """The padding of one side."""
        return round(self.padding * side if self.padding < 1 else self.padding)

    def describe(self) -> str:
        """See Geometric."""
        return f"shift by {self.padding:g} {'of the side' if self.padding < 1 else 'pixels'}"


@final
@dataclass(frozen=True)
class RandomCrop:
    """A square cut out of the image; torchvision.transforms.RandomCrop(size).

    `size` is in pixels, or up to 1 a fraction of the side, so that the result is as wide and high as the image is.
    """

    size: float
    interpolation: ClassVar[None] = None
    fill: ClassVar[None] = None

    def output_size(self, height: int, width: int) -> tuple[int, int]:
        """See Geometric."""
        kept = self.pixels(height), self.pixels(width)
        if kept[0] > height or kept[1] > width:
            raise ConfigError(
                f"size={self.size:g}: the images are {height}x{width}; use at most {min(height, width)}, "
                "or up to 1 a fraction of the side"
            )
        return kept

    def draw(self, count: int, height: int, width: int, generator: Generator) -> dict[str, Tensor]:
        """`i` and `j`: row and column of the image at which the crop begins."""
        free = {"i": height - self.pixels(height), "j": width - self.pixels(width)}
        return {name: torch.randint(0, most + 1, (count,), generator=generator).float() for name, most in free.items()}

    def matrix(self, parameters: Mapping[str, Tensor], height: int, width: int) -> Tensor:
        """See Geometric."""
        # What the crop is away from where a crop of the centre would begin.
        right = parameters["j"] - (width - self.pixels(width)) / 2
        down = parameters["i"] - (height - self.pixels(height)) / 2
        return _matrix(1, 0, right, 0, 1, down)

    def pixels(self, side: int) -> int:
        """What is kept of one side."""
        return max(1, round(self.size * side)) if self.size <= 1 else round(self.size)

    def describe(self) -> str:
        """See Geometric."""
        return f"crop to {self.size:.3g} {'of the side' if self.size <= 1 else 'pixels'}"


@final
@dataclass(frozen=True)
class RandomAffine:
    """Rotation, whole-pixel shift, scale and shear along x; torchvision.transforms.RandomAffine.

    `translate` holds the largest shifts as fractions of width and height, `scale` the smallest and largest factor.
    """

    degrees: float
    translate: tuple[float, float]
    scale: tuple[float, float]
    shear: float
    interpolation: str = "nearest"
    fill: float = 0.0
    output_size = staticmethod(keep_size)

    def draw(self, count: int, height: int, width: int, generator: Generator) -> dict[str, Tensor]:
        """`angle` in degrees, clockwise; `tx`, `ty` in pixels; `scale`; `shear` in degrees."""
        right, down = self.translate[0] * width, self.translate[1] * height
        return {
            "angle": draw_uniform(count, -self.degrees, self.degrees, generator),
            "tx": draw_uniform(count, -right, right, generator).round(),
            "ty": draw_uniform(count, -down, down, generator).round(),
            "scale": draw_uniform(count, *self.scale, generator),
            "shear": draw_uniform(count, -self.shear, self.shear, generator),
        }

    def matrix(self, parameters: Mapping[str, Tensor], height: int, width: int) -> Tensor:
        """The inverse of shift . rotation . scale . shear, where shear is [[1, -tan], [0, 1]]."""
        angle = torch.deg2rad(parameters["angle"])
        cos, sin, tan = angle.cos(), angle.sin(), torch.deg2rad(parameters["shear"]).tan()
        a, b, c, d = (entry / parameters["scale"] for entry in (cos - tan * sin, sin + tan * cos, -sin, cos))
        tx, ty = parameters["tx"], parameters["ty"]
        return _matrix(a, b, -(a * tx + b * ty), c, d, -(c * tx + d * ty))

    def describe(self) -> str:
        """See Geometric."""
        return (
            f"affine (rotation {self.degrees:g} degrees, shift {max(self.translate):g}, "
            f"scale {self.scale[0]:g} to {self.scale[1]:g}, shear {self.shear:g} degrees)"
        )


def draw_uniform(count: int, low: float, high: float, generator: Generator) -> Tensor:
    """[count] in [low, high]."""
    return torch.rand(count, generator=generator) * (high - low) + low


def _matrix(*entries: Tensor | float) -> Tensor:
    """[count, 2, 3] from six entries in row-major order, each [count] or one number for all."""
    columns = torch.broadcast_tensors(*(torch.as_tensor(entry).float() for entry in entries))
    return torch.stack(list(columns), -1).view(-1, 2, 3)
