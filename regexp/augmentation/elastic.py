"""Elastic distortion: every pixel is read from a point near it, and neighbouring pixels move in similar ways."""

from collections.abc import Mapping
from dataclasses import dataclass
from functools import lru_cache
from math import ceil
from typing import final

import torch
from torch import Generator, Tensor

from regexp.augmentation.geometry import keep_size

# Side in pixels of the images that `alpha` and `sigma` are given for.
_REFERENCE_SIDE = 28
# Images smoothed at a time on a CPU, so that a displacement field and its smoothed form stay within the cache.
_CPU_BLOCK = 64


@final
@dataclass(frozen=True)
class ElasticTransform:
    """Elastic distortion by displacements that are uniform in [-1, 1], smoothed by a Gaussian and scaled by `alpha`.

    From Simard, Steinkraus and Platt 2003, "Best practices for convolutional neural networks applied to visual
    document analysis". Counterpart: torchvision.transforms.ElasticTransform with twice this alpha.

    `alpha` and `sigma` are in pixels of an image of 28x28. On an image of s times that side the Gaussian is s times as
    wide, and alpha is multiplied by s * s: by s because the pixels are smaller, and by s because the mean of s * s
    times as many draws is s times as close to zero. So images of any size are distorted alike.

    Attributes:
        alpha: factor on the smoothed displacements, in pixels of a 28-pixel image.
        sigma: standard deviation of the Gaussian, in pixels of a 28-pixel image.
        interpolation: "nearest" or "bilinear".
        fill: brightness of pixels read from outside the image, in [0, 1].
    """

    alpha: float = 34.0
    sigma: float = 4.0
    interpolation: str = "bilinear"
    fill: float = 0.0
    output_size = staticmethod(keep_size)

    def draw(self, count: int, height: int, width: int, generator: Generator) -> dict[str, Tensor]:
        """Draw nothing: the draws are for every pixel. Arguments as in GeometricTransform.draw."""
        return {}

    def matrix(self, parameters: Mapping[str, Tensor], height: int, width: int) -> Tensor:
        """Return the identity matrix [1, 2, 3], to whose points the `displacements` are added."""
        return torch.eye(2, 3).unsqueeze(0)

    def displacements(self, draws: Tensor, height: int, width: int) -> Tensor:
        """Return how far from its own position each pixel is read.

        Args:
            draws: [count, 2 * height * width], uniform over the 16-bit numbers from -32768 to 32767.
            height: height of the images, in pixels.
            width: width of the images, in pixels.

        Returns:
            [count, 2, height, width]: the displacements along x and along y, in pixels.
        """
        device = draws.device
        rows = _smoothing_matrix(self.sigma * height / _REFERENCE_SIDE, height, device)
        columns = _smoothing_matrix(self.sigma * width / _REFERENCE_SIDE, width, device)
        factor = self.alpha * (height * width) ** 0.5 / _REFERENCE_SIDE**2
        rows = torch.stack([rows * (factor * width), rows * (factor * height)])  # for x and for y: [2, H, H]
        # float32 whatever the images' precision, so that both precisions see the same displacements.
        field = draws.view(-1, 2, height, width).float().mul_(2.0**-15)
        for block in field.split(_CPU_BLOCK if device.type == "cpu" else len(field)):
            block.copy_(rows @ block @ columns.T)
        return field

    def describe(self) -> str:
        """Return the transform's name and strength, in words."""
        return f"elastic (alpha {self.alpha:g}, sigma {self.sigma:g})"


@lru_cache(maxsize=256)  # the runs of a cohort may differ in sigma
def _smoothing_matrix(sigma: float, side: int, device: torch.device) -> Tensor:
    """Return the matrix that smooths a column of pixels by a Gaussian.

    Beyond the borders the column is reflected: d c b a | a b c d.

    Args:
        sigma: standard deviation of the Gaussian, in pixels.
        side: number of pixels of the column.
        device: where the matrix is used.

    Returns:
        [side, side].
    """
    reach = ceil(6 * sigma)  # weights further out are below float32's resolution
    offsets = torch.arange(-reach, reach + 1)
    weights = (-0.5 * (offsets.double() / sigma) ** 2).exp()
    sources = (torch.arange(side).unsqueeze(1) + offsets) % (2 * side)  # [side, 2 * reach + 1]
    sources = torch.where(sources < side, sources, 2 * side - 1 - sources)
    matrix = torch.zeros(side, side, dtype=torch.float64)
    matrix.scatter_add_(1, sources, (weights / weights.sum()).expand_as(sources))
    return matrix.float().to(device)
