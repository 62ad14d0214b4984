"""torchvision's geometric transforms as matrices, so that several of them need only one resampling.

A matrix [2, 3] (affine) or [3, 3] (homography) maps a pixel of the result to the point of the source that it is read
from. Both are in pixels from the centre of their image, x to the right and y down.
"""

from collections.abc import Mapping
from dataclasses import dataclass
from typing import ClassVar, Protocol, final

import torch
from torch import Generator, Tensor

from regexp.errors import ConfigError
from regexp.utils.counts import describe_length, format_size, resolve_count


class RandomDraws(Protocol):
    """What all transforms have in common: the size of their results, and draws for every image."""

    def output_size(self, height: int, width: int) -> tuple[int, int]:
        """Return height and width of the result for images of this size.

        Raises:
            ConfigError: the transform cannot be applied to images of this size.
        """
        ...

    def draw(self, count: int, height: int, width: int, generator: Generator) -> dict[str, Tensor]:
        """Draw the parameters of images, with torchvision's distributions.

        Args:
            count: number of images.
            height: height of the images, in pixels.
            width: width of the images, in pixels.
            generator: random generator on the CPU.

        Returns:
            Each parameter by name, [count, ...].
        """
        ...


class GeometricTransform(RandomDraws, Protocol):
    """A transform that moves pixels. `interpolation` and `fill` are None if any value gives the same result."""

    @property
    def interpolation(self) -> str | None:
        """How values between pixels are read: "nearest" or "bilinear"."""

    @property
    def fill(self) -> float | None:
        """Brightness of pixels read from outside the image, in [0, 1]."""

    def matrix(self, parameters: Mapping[str, Tensor], height: int, width: int) -> Tensor:
        """Return the matrices [count, 2, 3] or [count, 3, 3] of images of this size with these parameters."""
        ...

    def describe(self) -> str:
        """Return the transform's name and strength, in words."""
        ...


def keep_size(height: int, width: int) -> tuple[int, int]:
    """Return a size unchanged: the `output_size` of transforms that keep the size of their images."""
    return height, width


@final
@dataclass(frozen=True)
class RandomRotation:
    """Rotation about the centre by an angle uniform in [-degrees, degrees].

    Counterpart: torchvision.transforms.RandomRotation.

    Attributes:
        degrees: the largest angle, in degrees.
        interpolation: "nearest" or "bilinear".
        fill: brightness of pixels read from outside the image, in [0, 1].
    """

    degrees: float
    interpolation: str = "nearest"
    fill: float = 0.0
    output_size = staticmethod(keep_size)

    def draw(self, count: int, height: int, width: int, generator: Generator) -> dict[str, Tensor]:
        """Draw `angle` [count], in degrees, counter-clockwise. Arguments as in GeometricTransform.draw."""
        return {"angle": draw_uniform(count, -self.degrees, self.degrees, generator)}

    def matrix(self, parameters: Mapping[str, Tensor], height: int, width: int) -> Tensor:
        """Return the rotations by `angle`, [count, 2, 3]."""
        angle = torch.deg2rad(parameters["angle"])
        cos, sin = angle.cos(), angle.sin()
        return _affine_matrices(cos, -sin, 0, sin, cos, 0)

    def describe(self) -> str:
        """Return the transform's name and strength, in words."""
        return f"rotation by {self.degrees:g} degrees"


@final
@dataclass(frozen=True)
class RandomHorizontalFlip:
    """A horizontal flip with probability p.

    Counterpart: torchvision.transforms.RandomHorizontalFlip.

    Attributes:
        p: the probability.
    """

    p: float = 0.5
    interpolation: ClassVar[None] = None
    fill: ClassVar[None] = None
    output_size = staticmethod(keep_size)

    def draw(self, count: int, height: int, width: int, generator: Generator) -> dict[str, Tensor]:
        """Draw `flipped` [count], 0 or 1. Arguments as in GeometricTransform.draw."""
        return {"flipped": (torch.rand(count, generator=generator) < self.p).float()}

    def matrix(self, parameters: Mapping[str, Tensor], height: int, width: int) -> Tensor:
        """Return the reflections, or the identity where `flipped` is 0, [count, 2, 3]."""
        return _affine_matrices(1 - 2 * parameters["flipped"], 0, 0, 0, 1, 0)

    def describe(self) -> str:
        """Return the transform's name and strength, in words."""
        return f"flip with p {self.p:g}"


@final
@dataclass(frozen=True)
class RandomShift:
    """A random shift: the image is padded and cropped to its own size.

    Counterpart: torchvision.transforms.RandomCrop(size, padding).

    Attributes:
        padding: padding on every side: a whole number of pixels, or a float up to 1.0 as a fraction of the side.
        fill: brightness of the padding, in [0, 1].
    """

    padding: int | float
    fill: float = 0.0
    interpolation: ClassVar[None] = None
    output_size = staticmethod(keep_size)

    def draw(self, count: int, height: int, width: int, generator: Generator) -> dict[str, Tensor]:
        """Draw where the crop begins in the padded image. Arguments as in GeometricTransform.draw.

        Returns:
            `i` and `j` [count]: its first row and column, less the padding, in whole pixels.
        """
        max_shifts = {"i": self.padding_pixels(height), "j": self.padding_pixels(width)}
        return {
            name: torch.randint(-max_shift, max_shift + 1, (count,), generator=generator).float()
            for name, max_shift in max_shifts.items()
        }

    def matrix(self, parameters: Mapping[str, Tensor], height: int, width: int) -> Tensor:
        """Return the translations by `j` to the right and `i` down, [count, 2, 3]."""
        return _affine_matrices(1, 0, parameters["j"], 0, 1, parameters["i"])

    def padding_pixels(self, side: int) -> int:
        """Return the padding, in pixels, at either end of a side of this many pixels."""
        return resolve_count(self.padding, side)

    def describe(self) -> str:
        """Return the transform's name and strength, in words."""
        return f"shift by {describe_length(self.padding)}"


@final
@dataclass(frozen=True)
class RandomCrop:
    """A random crop, square if `size` is in pixels.

    Counterpart: torchvision.transforms.RandomCrop(size).

    Attributes:
        size: side of the square, a whole number of pixels; or a float up to 1.0, a fraction of each side, so that the
            proportions are kept.
    """

    size: int | float
    interpolation: ClassVar[None] = None
    fill: ClassVar[None] = None

    def output_size(self, height: int, width: int) -> tuple[int, int]:
        """Return height and width of the crop from images of this size.

        Raises:
            ConfigError: the images are smaller than the crop.
        """
        crop_height, crop_width = self.cropped_side(height), self.cropped_side(width)
        if crop_height > height or crop_width > width:
            raise ConfigError(
                f"size={format_size(self.size)}: the images are {height}x{width}; use at most {min(height, width)} "
                "pixels, or a fraction of the side up to 1.0"
            )
        return crop_height, crop_width

    def draw(self, count: int, height: int, width: int, generator: Generator) -> dict[str, Tensor]:
        """Draw `i` and `j` [count]: first row and column of the crop. Arguments as in GeometricTransform.draw."""
        max_starts = {"i": height - self.cropped_side(height), "j": width - self.cropped_side(width)}
        return {
            name: torch.randint(0, max_start + 1, (count,), generator=generator).float()
            for name, max_start in max_starts.items()
        }

    def matrix(self, parameters: Mapping[str, Tensor], height: int, width: int) -> Tensor:
        """Return the translations from the centre of the image to the centre of the crop, [count, 2, 3]."""
        right = parameters["j"] - (width - self.cropped_side(width)) / 2
        down = parameters["i"] - (height - self.cropped_side(height)) / 2
        return _affine_matrices(1, 0, right, 0, 1, down)

    def cropped_side(self, side: int) -> int:
        """Return the number of pixels of a crop along a side of this many pixels."""
        return max(1, resolve_count(self.size, side))

    def describe(self) -> str:
        """Return the transform's name and strength, in words."""
        return f"crop to {describe_length(self.size)}"


@final
@dataclass(frozen=True)
class RandomAffine:
    """Rotation about the centre, shift by whole pixels, scaling, and shear along x.

    Counterpart: torchvision.transforms.RandomAffine.

    Attributes:
        degrees: the largest angle of rotation, in degrees.
        translate: the largest shifts, as fractions of width and height.
        scale: the smallest and the largest factor.
        shear: the largest angle of shear, in degrees.
        interpolation: "nearest" or "bilinear".
        fill: brightness of pixels read from outside the image, in [0, 1].
    """

    degrees: float
    translate: tuple[float, float]
    scale: tuple[float, float]
    shear: float
    interpolation: str = "nearest"
    fill: float = 0.0
    output_size = staticmethod(keep_size)

    def draw(self, count: int, height: int, width: int, generator: Generator) -> dict[str, Tensor]:
        """Draw rotation, shift, scale and shear. Arguments as in GeometricTransform.draw.

        Returns:
            `angle` in degrees, clockwise; `tx` and `ty` in whole pixels; `scale`; `shear` in degrees; each [count].
        """
        max_tx, max_ty = self.translate[0] * width, self.translate[1] * height
        return {
            "angle": draw_uniform(count, -self.degrees, self.degrees, generator),
            "tx": draw_uniform(count, -max_tx, max_tx, generator).round(),
            "ty": draw_uniform(count, -max_ty, max_ty, generator).round(),
            "scale": draw_uniform(count, *self.scale, generator),
            "shear": draw_uniform(count, -self.shear, self.shear, generator),
        }

    def matrix(self, parameters: Mapping[str, Tensor], height: int, width: int) -> Tensor:
        """Return the inverses [count, 2, 3] of shift . rotation . scale . shear, with shear [[1, -tan], [0, 1]]."""
        angle = torch.deg2rad(parameters["angle"])
        cos, sin, tan = angle.cos(), angle.sin(), torch.deg2rad(parameters["shear"]).tan()
        a, b, c, d = (entry / parameters["scale"] for entry in (cos - tan * sin, sin + tan * cos, -sin, cos))
        tx, ty = parameters["tx"], parameters["ty"]
        return _affine_matrices(a, b, -(a * tx + b * ty), c, d, -(c * tx + d * ty))

    def describe(self) -> str:
        """Return the transform's name and strength, in words."""
        return (
            f"affine (rotation {self.degrees:g} degrees, shift {max(self.translate):g}, "
            f"scale {self.scale[0]:g} to {self.scale[1]:g}, shear {self.shear:g} degrees)"
        )


def draw_uniform(count: int, low: float, high: float, generator: Generator) -> Tensor:
    """Draw values from a uniform distribution.

    Args:
        count: the number of draws.
        low: the smallest value.
        high: the largest value.
        generator: random generator on the CPU.

    Returns:
        [count], in [low, high].
    """
    return torch.rand(count, generator=generator) * (high - low) + low


def _affine_matrices(*entries: Tensor | float) -> Tensor:
    """Return matrices [count, 2, 3] from six entries in row-major order, each [count] or one number for all."""
    columns = torch.broadcast_tensors(*(torch.as_tensor(entry).float() for entry in entries))
    return torch.stack(list(columns), -1).view(-1, 2, 3)
