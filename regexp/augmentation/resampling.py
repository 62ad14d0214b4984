"""The merging of neighbouring geometric transforms into one resampling.

Resampling after each of them would blur more, and would cut off the parts that leave the image in between.
"""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from functools import lru_cache
from typing import ClassVar, final

import torch
import torch.nn.functional as F
from torch import Generator, Tensor

from regexp.augmentation.elastic import ElasticTransform
from regexp.augmentation.geometry import GeometricTransform

# A coordinate outside of every image, in grid_sample's units.
_OUTSIDE = 4.0


@final
@dataclass(frozen=True)
class Resampling:
    """Geometric transforms, applied in order by a single resampling of the image.

    Attributes:
        transforms: the transforms; only the last can be an elastic one.
    """

    transforms: tuple[GeometricTransform, ...]
    kind: ClassVar[str] = "elastic"  # only an elastic transform needs draws for every pixel

    def can_append(self, transform: GeometricTransform) -> bool:
        """Return whether one more transform can be merged into this resampling.

        Nothing can follow an elastic transform: its displacements are known for whole pixels, and a further transform
        would need them in between. Otherwise interpolation and fill must agree with those of the other transforms.
        """
        if isinstance(self.transforms[-1], ElasticTransform):
            return False
        return all(
            _agree(other.interpolation, transform.interpolation) and _agree(other.fill, transform.fill)
            for other in self.transforms
        )

    def output_size(self, height: int, width: int) -> tuple[int, int]:
        """Return height and width after the last transform for images of this size.

        Raises:
            ConfigError: a transform cannot be applied to images of this size.
        """
        for transform in self.transforms:
            height, width = transform.output_size(height, width)
        return height, width

    def draw(self, count: int, height: int, width: int, generator: Generator) -> dict[str, Tensor]:
        """Draw the parameters of all transforms, and compose their matrices. Arguments as in Operation.draw.

        Returns:
            `matrix` [count, 2 or 3, 3]: maps pixels of the result, counted from the centre, to points of the source in
            grid_sample's units, which are half the sides.
        """
        matrices = []
        half_sides = torch.tensor([[width / 2], [height / 2], [1.0]])
        for transform in self.transforms:
            parameters = transform.draw(count, height, width, generator)
            matrices.append(transform.matrix(parameters, height, width))
            height, width = transform.output_size(height, width)
        composed = _compose(matrices)
        return {"matrix": (composed / half_sides[: composed.shape[1]]).expand(count, -1, -1)}

    def draws_per_image(self, channels: int, height: int, width: int) -> int:
        """Return two draws for every pixel of the result, or none without an elastic transform."""
        height, width = self.output_size(height, width)
        return 2 * height * width if isinstance(self.transforms[-1], ElasticTransform) else 0

    def apply(self, images: Tensor, parameters: Mapping[str, Tensor]) -> Tensor:
        """Resample images [n, C, H, W] at the points that the `matrix` in `parameters` maps their pixels to.

        The displacements of an elastic transform are made from the `draws` in `parameters`. Points outside of the image
        have the value `fill`.
        """
        count, device = len(images), images.device
        height, width = self.output_size(*images.shape[2:])
        matrix = parameters["matrix"].to(images.dtype)
        rows = matrix.shape[1]
        # One product for all images, with x and y in planes of their own: 20 times faster than affine_grid.
        points = (matrix.flatten(0, 1) @ _pixel_positions(height, width, images.dtype, device)).view(count, rows, -1)
        last_transform = self.transforms[-1]
        if isinstance(last_transform, ElasticTransform):
            field = last_transform.displacements(parameters["draws"], height, width).to(images.dtype)
            points = points.baddbmm_(matrix[..., :2], field.flatten(2))
        if rows == 3:
            # Beyond the horizon of a plane seen from an angle the quotient is infinite or NaN: that is outside.
            points = (points[:, :2] / points[:, 2:]).nan_to_num_(_OUTSIDE).clamp_(-_OUTSIDE, _OUTSIDE)
        grid = points.view(count, 2, height, width).permute(0, 2, 3, 1)
        interpolations = [
            transform.interpolation for transform in self.transforms if transform.interpolation is not None
        ]
        fills = [transform.fill for transform in self.transforms if transform.fill is not None]
        interpolation = interpolations[0] if interpolations else "nearest"
        fill = fills[0] if fills else 0.0
        return _sample(images, grid, interpolation, fill)


def resample(images: Tensor, matrix: Tensor, interpolation: str, fill: float) -> Tensor:
    """Resample images at the points that matrices map their pixels to.

    Args:
        images: [n, C, H, W].
        matrix: [n, 2, 3], as that of `Resampling.draw`.
        interpolation: "nearest" or "bilinear".
        fill: value of points outside of the image.

    Returns:
        [n, C, H, W].
    """
    count, _, height, width = images.shape
    points = matrix.flatten(0, 1) @ _pixel_positions(height, width, images.dtype, images.device)
    return _sample(images, points.view(count, 2, height, width).permute(0, 2, 3, 1), interpolation, fill)


def _agree(a: str | float | None, b: str | float | None) -> bool:
    """Return whether two options are equal, or one of them is None, which agrees with any."""
    return a is None or b is None or a == b


def _compose(matrices: Sequence[Tensor]) -> Tensor:
    """Return the matrix [n, 2 or 3, 3] of several transforms, the first of which is applied first.

    A pixel of the result is traced back through the last transform first.
    """
    if any(matrix.shape[1] == 3 for matrix in matrices):
        matrices = [_to_homography(matrix) for matrix in matrices]
    composed = matrices[0]
    for matrix in matrices[1:]:
        if composed.shape[1] == 3:
            composed = composed @ matrix
            continue
        linear, offset = composed[..., :2], composed[..., 2:]
        composed = linear @ matrix
        composed[..., 2:] += offset
    return composed


def _to_homography(matrix: Tensor) -> Tensor:
    """Return matrices [n, 2, 3] or [n, 3, 3] as [n, 3, 3]."""
    if matrix.shape[1] == 3:
        return matrix
    last_row = torch.tensor([0.0, 0.0, 1.0]).expand(len(matrix), 1, 3)
    return torch.cat([matrix, last_row], 1)


def _sample(images: Tensor, grid: Tensor, interpolation: str, fill: float) -> Tensor:
    """Read images at the points of a grid.

    Args:
        images: [n, C, H, W].
        grid: [n, h, w, 2], in grid_sample's units.
        interpolation: "nearest" or "bilinear".
        fill: brightness of points outside of the image.

    Returns:
        [n, C, h, w].
    """
    # grid_sample can only fill with zero. Interpolation is linear in the brightness, so the zero can be shifted.
    shifted = images - fill if fill else images
    samples = F.grid_sample(shifted, grid, interpolation, "zeros", align_corners=False)
    return samples + fill if fill else samples


@lru_cache(maxsize=16)
def _pixel_positions(height: int, width: int, dtype: torch.dtype, device: torch.device) -> Tensor:
    """Return the positions of all pixels of an image. Cached, because making them costs time on a GPU.

    Args:
        height: height of the image, in pixels.
        width: width of the image, in pixels.
        dtype: the type of the result.
        device: the device of the result.

    Returns:
        [3, height * width]: x and y, counted from the centre, and 1.
    """
    y, x = torch.meshgrid(torch.arange(height) - (height - 1) / 2, torch.arange(width) - (width - 1) / 2, indexing="ij")
    return torch.stack([x.flatten(), y.flatten(), torch.ones(height * width)]).to(device, dtype)
