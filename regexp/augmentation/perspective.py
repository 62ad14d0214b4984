"""Random perspective: a homography that moves the corners of an image."""

from collections.abc import Mapping
from dataclasses import dataclass
from typing import final

import torch
from torch import Generator, Tensor

from regexp.augmentation.geometry import keep_size


@final
@dataclass(frozen=True)
class RandomPerspective:
    """A view of the image from an angle, with probability p: its corners move inwards.

    Each corner moves by whole pixels, uniform up to `distortion_scale` times half the side, along x and along y.
    Counterpart: torchvision.transforms.RandomPerspective.

    Attributes:
        distortion_scale: the largest move of a corner, as a fraction of half the side.
        p: the probability.
        interpolation: "nearest" or "bilinear".
        fill: brightness of pixels read from outside the image, in [0, 1].
    """

    distortion_scale: float = 0.5
    p: float = 0.5
    interpolation: str = "bilinear"
    fill: float = 0.0
    output_size = staticmethod(keep_size)

    def draw(self, count: int, height: int, width: int, generator: Generator) -> dict[str, Tensor]:
        """Draw where the corners go. Arguments as in GeometricTransform.draw.

        Returns:
            `corners` [count, 4, 2]: pixel indices (x, y) that the image's corners move to, clockwise from the top
            left; `applied` [count], 0 or 1.
        """
        applied = (torch.rand(count, generator=generator) < self.p).float()
        # int, as in torchvision: a corner does not move if half the side times the scale is below one pixel.
        max_moves = [int(self.distortion_scale * (side // 2)) for side in (width, height)]
        moves = [torch.randint(0, max_move + 1, (count, 4), generator=generator).float() for max_move in max_moves]
        x, y = (move * sign for move, sign in zip(moves, _INWARD_SIGNS, strict=True))
        return {"corners": torch.stack([x, y], -1) + _corner_pixels(height, width).float(), "applied": applied}

    def matrix(self, parameters: Mapping[str, Tensor], height: int, width: int) -> Tensor:
        """Return the homographies [count, 3, 3] from the moved corners back to the image's own, about its centre.

        torchvision computes the homography between pixel indices, but applies it to indices half a pixel further.
        Therefore the centre is half the side here, and not (side - 1) / 2.
        """
        to_own_corners = _homography_to_own_corners(parameters["corners"].double(), height, width)
        centre = torch.eye(3, dtype=torch.float64)
        centre[:2, 2] = torch.tensor([width / 2, height / 2])
        centred = torch.linalg.inv(centre) @ to_own_corners @ centre
        # The scale of a homography has no meaning; with entries up to one, float32 holds it well. Corners that enclose
        # no area may give only zeros, and NaN from here on, which resampling takes for points outside the image.
        centred = centred / centred.abs().amax((1, 2), keepdim=True)
        applied = parameters["applied"].view(-1, 1, 1) > 0
        return torch.where(applied, centred, torch.eye(3, dtype=torch.float64)).float()

    def describe(self) -> str:
        """Return the transform's name and strength, in words."""
        return f"perspective by {self.distortion_scale:g} with p {self.p:g}"


# Signs of x and of y of an inward move of each corner, clockwise from the top left.
_INWARD_SIGNS = torch.tensor([[1.0, -1.0, -1.0, 1.0], [1.0, 1.0, -1.0, -1.0]])


def _corner_pixels(height: int, width: int) -> Tensor:
    """Return the indices (x, y) of an image's corner pixels, clockwise from the top left, [4, 2]."""
    return torch.tensor([[0, 0], [width - 1, 0], [width - 1, height - 1], [0, height - 1]], dtype=torch.float64)


def _homography_to_own_corners(corners: Tensor, height: int, width: int) -> Tensor:
    """Return the homographies that map `corners` [n, 4, 2] to the corner pixels of an image of this size.

    In closed form: from the unit square to a quadrilateral (Heckbert 1989, "Fundamentals of texture mapping and image
    warping", 2.2.3), inverted by its adjugate. There is no division, so the result is exact, up to a scale.

    Returns:
        [n, 3, 3].
    """
    (x0, y0), (x1, y1), (x2, y2), (x3, y3) = (corner.unbind(1) for corner in corners.unbind(1))
    sx, sy = x0 - x1 + x2 - x3, y0 - y1 + y2 - y3
    dx1, dy1, dx2, dy2 = x1 - x2, y1 - y2, x3 - x2, y3 - y2
    i, g, h = dx1 * dy2 - dx2 * dy1, sx * dy2 - dx2 * sy, dx1 * sy - sx * dy1
    a, b, c = (x1 - x0) * i + g * x1, (x3 - x0) * i + h * x3, x0 * i
    d, e, f = (y1 - y0) * i + g * y1, (y3 - y0) * i + h * y3, y0 * i
    adjugate = [
        [e * i - f * h, c * h - b * i, b * f - c * e],
        [f * g - d * i, a * i - c * g, c * d - a * f],
        [d * h - e * g, b * g - a * h, a * e - b * d],
    ]
    sides = torch.tensor([[width - 1.0], [height - 1.0], [1.0]], dtype=torch.float64)
    return torch.stack([torch.stack(row, -1) for row in adjugate], 1) * sides
