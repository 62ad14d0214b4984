"""Batched augmentation: torchvision's transforms, drawn anew for every image, on the device.

Geometric transforms only move the sampling grid. Neighbours are composed and the image is resampled once; resampling
after every step instead blurs more, and cuts off what leaves the frame in between. Images are in [0, 1].

A transform becomes a matrix [2, 3] an image: it maps a pixel of the result to the place in the source that it is read
from, both counted in pixels from the image's centre, x to the right and y down.
"""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Protocol, final

import torch
import torch.nn.functional as F
from torch import Generator, Tensor


class Transform(Protocol):
    """A geometric transform. `interpolation` and `fill` are None where the transform is content with any."""

    @property
    def interpolation(self) -> str | None:
        """Nearest or bilinear."""

    @property
    def fill(self) -> float | None:
        """Brightness of what comes from outside the image."""

    def draw(self, count: int, height: int, width: int, generator: Generator) -> dict[str, Tensor]:
        """torchvision's parameters for `count` images, each [count]."""
        ...

    def matrix(self, parameters: Mapping[str, Tensor]) -> Tensor:
        """[count, 2, 3] from what was drawn."""
        ...

    def describe(self) -> str:
        """Name and numbers, in words."""
        ...


@final
@dataclass(frozen=True)
class RandomRotation:
    """Rotation by an angle uniform in [-degrees, degrees]; torchvision.transforms.RandomRotation."""

    degrees: float
    interpolation: str | None = "nearest"
    fill: float | None = 0.0

    def draw(self, count: int, height: int, width: int, generator: Generator) -> dict[str, Tensor]:
        """`angle` in degrees, counter-clockwise."""
        return {"angle": _uniform(count, -self.degrees, self.degrees, generator)}

    def matrix(self, parameters: Mapping[str, Tensor]) -> Tensor:
        """See Transform."""
        angle = torch.deg2rad(parameters["angle"])
        cos, sin = angle.cos(), angle.sin()
        return _matrix(cos, -sin, 0, sin, cos, 0)

    def describe(self) -> str:
        """See Transform."""
        return f"rotation by {self.degrees:g} degrees"


@final
@dataclass(frozen=True)
class RandomHorizontalFlip:
    """Mirror with probability p; torchvision.transforms.RandomHorizontalFlip."""

    p: float = 0.5
    interpolation: str | None = None
    fill: float | None = None

    def draw(self, count: int, height: int, width: int, generator: Generator) -> dict[str, Tensor]:
        """`flipped` 0 or 1."""
        return {"flipped": (torch.rand(count, generator=generator) < self.p).float()}

    def matrix(self, parameters: Mapping[str, Tensor]) -> Tensor:
        """See Transform."""
        return _matrix(1 - 2 * parameters["flipped"], 0, 0, 0, 1, 0)

    def describe(self) -> str:
        """See Transform."""
        return f"flip with p {self.p:g}"


@final
@dataclass(frozen=True)
class RandomShift:
    """A crop of the padded image, of its own size; torchvision.transforms.RandomCrop(size, padding).

    `padding` is in pixels, or below 1 a fraction of the side.
    """

    padding: float
    fill: float | None = 0.0
    interpolation: str | None = None

    def draw(self, count: int, height: int, width: int, generator: Generator) -> dict[str, Tensor]:
        """`i` and `j`: row and column of the padded image at which the crop begins, less the padding."""
        pads = {"i": self.pixels(height), "j": self.pixels(width)}
        return {name: torch.randint(-pad, pad + 1, (count,), generator=generator).float() for name, pad in pads.items()}

    def matrix(self, parameters: Mapping[str, Tensor]) -> Tensor:
        """See Transform."""
        return _matrix(1, 0, parameters["j"], 0, 1, parameters["i"])

    def pixels(self, side: int) -> int:
        """The padding of one side."""
        return round(self.padding * side if self.padding < 1 else self.padding)

    def describe(self) -> str:
        """See Transform."""
        return f"shift by {self.padding:g} {'of the side' if self.padding < 1 else 'pixels'}"


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
    interpolation: str | None = "nearest"
    fill: float | None = 0.0

    def draw(self, count: int, height: int, width: int, generator: Generator) -> dict[str, Tensor]:
        """`angle` in degrees, clockwise; `tx`, `ty` in pixels; `scale`; `shear` in degrees."""
        right, down = self.translate[0] * width, self.translate[1] * height
        return {
            "angle": _uniform(count, -self.degrees, self.degrees, generator),
            "tx": _uniform(count, -right, right, generator).round(),
            "ty": _uniform(count, -down, down, generator).round(),
            "scale": _uniform(count, *self.scale, generator),
            "shear": _uniform(count, -self.shear, self.shear, generator),
        }

    def matrix(self, parameters: Mapping[str, Tensor]) -> Tensor:
        """The inverse of shift . rotation . scale . shear, where shear is [[1, -tan], [0, 1]]."""
        angle = torch.deg2rad(parameters["angle"])
        cos, sin, tan = angle.cos(), angle.sin(), torch.deg2rad(parameters["shear"]).tan()
        a, b, c, d = (entry / parameters["scale"] for entry in (cos - tan * sin, sin + tan * cos, -sin, cos))
        tx, ty = parameters["tx"], parameters["ty"]
        return _matrix(a, b, -(a * tx + b * ty), c, d, -(c * tx + d * ty))

    def describe(self) -> str:
        """See Transform."""
        return (
            f"affine (rotation {self.degrees:g} degrees, shift {max(self.translate):g}, "
            f"scale {self.scale[0]:g} to {self.scale[1]:g}, shear {self.shear:g} degrees)"
        )


@final
class Pipeline:
    """Transforms applied in order to images [n, C, height, width]."""

    def __init__(self, steps: Sequence[Transform], height: int, width: int) -> None:
        self.steps, self.height, self.width = tuple(steps), height, width
        self.resamplings = _resamplings(steps)
        y, x = torch.meshgrid(
            torch.arange(height) - (height - 1) / 2, torch.arange(width) - (width - 1) / 2, indexing="ij"
        )
        self.pixels = torch.stack([x.flatten(), y.flatten(), torch.ones(height * width)])  # [3, H*W]

    def draw(self, count: int, generator: Generator) -> Tensor:
        """Fresh draws for `count` images: [count, R, 2, 3], a matrix for each of the R resamplings.

        Their results are in grid_sample's units, half the image's sides.
        """
        drawn = [
            _compose([step.matrix(step.draw(count, self.height, self.width, generator)) for step in group])
            for group in self.resamplings
        ]
        half = torch.tensor([[self.width / 2], [self.height / 2]])
        return torch.stack(drawn, 1) / half if drawn else torch.empty(count, 0, 2, 3)

    def __call__(self, images: Tensor, drawn: Tensor) -> Tensor:
        """images [n, C, H, W] in [0, 1], drawn [n, R, 2, 3] on the same device -> [n, C, H, W]."""
        self.pixels = self.pixels.to(images)
        for group, matrix in zip(self.resamplings, drawn.unbind(1), strict=True):
            interpolation = next((step.interpolation for step in group if step.interpolation), "nearest")
            fill = next((step.fill for step in group if step.fill is not None), 0.0)
            images = _resample(images, matrix, self.pixels, interpolation, fill)
        return images

    def describe(self) -> str:
        """The steps in words."""
        return ", ".join(step.describe() for step in self.steps) or "none"


def _resamplings(steps: Sequence[Transform]) -> list[list[Transform]]:
    """Neighbouring steps that can share a resampling: those whose interpolation and fill do not contradict."""
    groups: list[list[Transform]] = []
    for step in steps:
        wishes = [(other.interpolation, step.interpolation) for other in (groups[-1] if groups else [])]
        wishes += [(other.fill, step.fill) for other in (groups[-1] if groups else [])]  # type: ignore[misc]
        if groups and all(mine is None or theirs is None or mine == theirs for theirs, mine in wishes):
            groups[-1].append(step)
        else:
            groups.append([step])
    return groups


def _compose(matrices: Sequence[Tensor]) -> Tensor:
    """The matrix [n, 2, 3] that stands for all, the first applied first.

    A pixel of the result is traced back through the last step, then through the one before.
    """
    whole = matrices[0]
    for matrix in matrices[1:]:
        linear, offset = whole[..., :2], whole[..., 2:]
        whole = linear @ matrix
        whole[..., 2:] += offset
    return whole


def _resample(images: Tensor, matrix: Tensor, pixels: Tensor, interpolation: str, fill: float) -> Tensor:
    """Read images [n, C, H, W] where matrix [n, 2, 3] says, at pixels [3, H*W]; what lies outside is `fill`."""
    height, width = images.shape[2:]
    # One product for all images, with x and y in planes of their own: 20 times faster than affine_grid.
    grid = (matrix.flatten(0, 1).to(images.dtype) @ pixels).view(-1, 2, height, width).permute(0, 2, 3, 1)
    # grid_sample knows no fill but zero; the interpolation is linear, so the zero can be moved.
    moved = images - fill if fill else images
    result = F.grid_sample(moved, grid, interpolation, "zeros", align_corners=False)
    return result + fill if fill else result


def _uniform(count: int, low: float, high: float, generator: Generator) -> Tensor:
    return torch.rand(count, generator=generator) * (high - low) + low


def _matrix(*entries: Tensor | float) -> Tensor:
    """[count, 2, 3] from six entries in row-major order, each [count] or one number for all."""
    columns = torch.broadcast_tensors(*(torch.as_tensor(entry).float() for entry in entries))
    return torch.stack(list(columns), -1).view(-1, 2, 3)
