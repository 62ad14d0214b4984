"""The image seen from an angle: a homography that takes its corners to drawn places."""

from collections.abc import Mapping
from dataclasses import dataclass
from typing import final

import torch
from torch import Generator, Tensor

from regexp.augmentation.geometry import keep_size


@final
@dataclass(frozen=True)
class RandomPerspective:
    """Corners moved inwards, with probability p; torchvision.transforms.RandomPerspective.

    Each corner moves by whole pixels up to `distortion_scale` times half the side, along x and along y.
    """

    distortion_scale: float = 0.5
    p: float = 0.5
    interpolation: str = "bilinear"
    fill: float = 0.0
    output_size = staticmethod(keep_size)

    def draw(self, count: int, height: int, width: int, generator: Generator) -> dict[str, Tensor]:
        """`corners` [count, 4, 2], where the image's go (x, y), clockwise from the top left; `applied` 0 or 1."""
        applied = (torch.rand(count, generator=generator) < self.p).float()
        # int, as torchvision: a corner stays where half the side times the scale is below one pixel
        reach = [int(self.distortion_scale * (side // 2)) for side in (width, height)]
        inwards = [torch.randint(0, most + 1, (count, 4), generator=generator).float() for most in reach]
        x, y = (drawn * sign for drawn, sign in zip(inwards, _INWARDS, strict=True))
        return {"corners": torch.stack([x, y], -1) + _rectangle(height, width).float(), "applied": applied}

    def matrix(self, parameters: Mapping[str, Tensor], height: int, width: int) -> Tensor:
        """[count, 3, 3]: the homography from the moved corners back to the image's, about its centre.

        torchvision finds it between the pixels' indices, and reads at indices half a pixel further: so the centre is
        half the side.
        """
        back = _homography_to_rectangle(parameters["corners"].double(), height, width)
        centre = torch.eye(3, dtype=torch.float64)
        centre[:2, 2] = torch.tensor([width / 2, height / 2])
        centred = torch.linalg.inv(centre) @ back @ centre
        # A homography's scale means nothing: what float32 holds should be near one. Corners without an area may give 0,
        # and no numbers from here on, which resampling takes for outside.
        centred = centred / centred.abs().amax((1, 2), keepdim=True)
        applied = parameters["applied"].view(-1, 1, 1) > 0
        return torch.where(applied, centred, torch.eye(3, dtype=torch.float64)).float()

    def describe(self) -> str:
        """See Geometric."""
        return f"perspective by {self.distortion_scale:g} with p {self.p:g}"


# Signs of x and of y of a move inwards, clockwise from the top left.
_INWARDS = torch.tensor([[1.0, -1.0, -1.0, 1.0], [1.0, 1.0, -1.0, -1.0]])


def _rectangle(height: int, width: int) -> Tensor:
    """[4, 2]: indices (x, y) of an image's corner pixels, clockwise from the top left."""
    return torch.tensor([[0, 0], [width - 1, 0], [width - 1, height - 1], [0, height - 1]], dtype=torch.float64)


def _homography_to_rectangle(corners: Tensor, height: int, width: int) -> Tensor:
    """[n, 3, 3] that takes corners [n, 4, 2] to an image's own.

    In closed form: from the unit square to a quadrilateral (Heckbert 1989, "Fundamentals of texture mapping and image
    warping", 2.2.3), inverted by its adjugate. Nothing is divided, so that it is exact, and a scale is left over.
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
