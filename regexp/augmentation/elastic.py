"""Elastic distortion: every pixel is read from a little beside its place, neighbours from about the same side."""

from collections.abc import Mapping
from dataclasses import dataclass
from functools import lru_cache
from math import ceil
from typing import final

import torch
from torch import Generator, Tensor

from regexp.augmentation.geometry import keep_size

# The side that `alpha` and `sigma` are given for.
_SIDE = 28
# Images smoothed at a time on a processor: a field and what becomes of it stay within its cache.
_BLOCK = 64


@final
@dataclass(frozen=True)
class ElasticTransform:
    """Displacements uniform in [-1, 1], smoothed by a Gaussian and multiplied by `alpha`.

    Simard, Steinkraus and Platt 2003, "Best practices for convolutional neural networks applied to visual document
    analysis"; torchvision.transforms.ElasticTransform with twice this alpha. Both numbers are in pixels of an image of
    28x28. On one of s times that side the Gaussian is s times as wide, and alpha counts s * s times: once because its
    pixels are smaller, and once because the mean of s * s times as many draws is s times as close to zero. So an image
    is bent alike at any size.
    """

    alpha: float = 34.0
    sigma: float = 4.0
    interpolation: str = "bilinear"
    fill: float = 0.0
    output_size = staticmethod(keep_size)

    def draw(self, count: int, height: int, width: int, generator: Generator) -> dict[str, Tensor]:
        """Nothing: see displacements."""
        return {}

    def matrix(self, parameters: Mapping[str, Tensor], height: int, width: int) -> Tensor:
        """[1, 2, 3]: the pixels' own places."""
        return torch.eye(2, 3).unsqueeze(0)

    def displacements(self, count: int, height: int, width: int, generator: Generator, device: torch.device) -> Tensor:
        """[count, 2, height, width]: how far along x and along y from its place each pixel is read, in pixels."""
        rows, columns = (_smoothing(self.sigma * side / _SIDE, side, device) for side in (height, width))
        finer = self.alpha * (height * width) ** 0.5 / _SIDE**2
        rows = torch.stack([rows * (finer * width), rows * (finer * height)])  # for x and for y: [2, H, H]
        # float32 whatever the images' precision, so that both see the same draws
        field = torch.empty(count, 2, height, width, device=device).uniform_(-1, 1, generator=generator)
        for block in field.split(_BLOCK if device.type == "cpu" else count):
            block.copy_(rows @ block @ columns.T)
        return field

    def describe(self) -> str:
        """See Geometric."""
        return f"elastic (alpha {self.alpha:g}, sigma {self.sigma:g})"


@lru_cache(maxsize=256)  # the runs of a cohort may differ in sigma
def _smoothing(sigma: float, side: int, device: torch.device) -> Tensor:
    """[side, side]: multiplies a column of `side` pixels by a Gaussian whose borders reflect (d c b a | a b c d)."""
    reach = ceil(6 * sigma)  # what lies further out weighs less than float32 resolves
    offsets = torch.arange(-reach, reach + 1)
    weights = (-0.5 * (offsets.double() / sigma) ** 2).exp()
    sources = (torch.arange(side).unsqueeze(1) + offsets) % (2 * side)  # [side, 2 * reach + 1]
    sources = torch.where(sources < side, sources, 2 * side - 1 - sources)
    matrix = torch.zeros(side, side, dtype=torch.float64)
    matrix.scatter_add_(1, sources, (weights / weights.sum()).expand_as(sources))
    return matrix.float().to(device)
