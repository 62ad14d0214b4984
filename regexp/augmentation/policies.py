"""TrivialAugment and RandAugment: random operations of random strength, drawn for every image.

They work on images of 256 levels (see levels), since operations such as equalization need whole numbers. Images that
other steps have changed are rounded to the nearest levels.
"""

from collections.abc import Callable, Mapping
from dataclasses import dataclass
from typing import final

import torch
from torch import Generator, Tensor

from regexp.augmentation.geometry import keep_size
from regexp.augmentation.levels import (
    adjust_brightness,
    adjust_color,
    adjust_contrast,
    adjust_sharpness,
    equalize,
    from_levels,
    posterize,
    solarize,
    stretch_contrast,
    to_levels,
)
from regexp.augmentation.resampling import resample

# torchvision's operations, in its order: none, five that move pixels, and others. The first nine after none have signs.
OPERATIONS = (
    "Identity",
    "ShearX",
    "ShearY",
    "TranslateX",
    "TranslateY",
    "Rotate",
    "Brightness",
    "Color",
    "Contrast",
    "Sharpness",
    "Posterize",
    "Solarize",
    "AutoContrast",
    "Equalize",
)
NUM_MAGNITUDES = 31  # torchvision's default
_LAST_GEOMETRIC, _LAST_SIGNED = OPERATIONS.index("Rotate"), OPERATIONS.index("Sharpness")
_LEVEL_OPERATIONS: dict[str, Callable[[Tensor, Tensor], Tensor]] = {
    "Brightness": adjust_brightness,
    "Color": adjust_color,
    "Contrast": adjust_contrast,
    "Sharpness": adjust_sharpness,
    "Posterize": posterize,
    "Solarize": solarize,
    "AutoContrast": stretch_contrast,
    "Equalize": equalize,
}


@final
@dataclass(frozen=True)
class TrivialAugment:
    """One operation for each image, of a strength that is drawn as well.

    From Mueller and Hutter 2021, "TrivialAugment: Tuning-free yet state-of-the-art data augmentation", with its wide
    ranges. Counterpart: torchvision.transforms.TrivialAugmentWide.

    Attributes:
        p: probability that an image gets an operation, which may be to leave it as it is.
        interpolation: "nearest" or "bilinear".
        fill: brightness of pixels read from outside the image, in [0, 1].
    """

    p: float = 1.0
    interpolation: str = "nearest"
    fill: float = 0.0
    output_size = staticmethod(keep_size)

    def draw(self, count: int, height: int, width: int, generator: Generator) -> dict[str, Tensor]:
        """Draw an operation for each image; see `draw_operations`. Arguments as in Operation.draw."""
        strengths = torch.randint(NUM_MAGNITUDES, (count, 1), generator=generator)
        is_applied = torch.rand(count, 1, generator=generator) < self.p
        parameters = draw_operations(self.magnitudes(height, width), strengths, (height, width), generator)
        parameters["operation"] *= is_applied
        return parameters

    def magnitudes(self, height: int, width: int) -> Tensor:
        """Return the magnitudes of the operations on images of a size; see `tabulate_magnitudes`."""
        return tabulate_magnitudes((0.99, 32.0, 32.0, 135.0, 0.99), lost_bits=6)

    def apply(self, images: Tensor, parameters: Mapping[str, Tensor]) -> Tensor:
        """Apply the operations in `parameters` to images [n, C, H, W]."""
        return apply_operations(images, parameters, self.interpolation, self.fill)

    def describe(self) -> str:
        """Return the transform's name and strength, in words."""
        return "TrivialAugment" if self.p == 1 else f"TrivialAugment with p {self.p:g}"


@final
@dataclass(frozen=True)
class RandAugment:
    """A number of operations for each image, all of the same strength.

    From Cubuk et al. 2020, "RandAugment: Practical automated data augmentation with a reduced search space".
    Counterpart: torchvision.transforms.RandAugment.

    Attributes:
        num_ops: the number of operations, which may be to leave the image as it is.
        magnitude: their strength, from 0 to 30.
        interpolation: "nearest" or "bilinear".
        fill: brightness of pixels read from outside the image, in [0, 1].
    """

    num_ops: int = 2
    magnitude: int = 9
    interpolation: str = "nearest"
    fill: float = 0.0
    output_size = staticmethod(keep_size)

    def draw(self, count: int, height: int, width: int, generator: Generator) -> dict[str, Tensor]:
        """Draw operations for each image; see `draw_operations`. Arguments as in Operation.draw."""
        strengths = torch.full((count, self.num_ops), self.magnitude)
        return draw_operations(self.magnitudes(height, width), strengths, (height, width), generator)

    def magnitudes(self, height: int, width: int) -> Tensor:
        """Return the magnitudes of the operations on images of a size; see `tabulate_magnitudes`."""
        return tabulate_magnitudes((0.3, 150.0 / 331.0 * width, 150.0 / 331.0 * height, 30.0, 0.9), lost_bits=4)

    def apply(self, images: Tensor, parameters: Mapping[str, Tensor]) -> Tensor:
        """Apply the operations in `parameters` to images [n, C, H, W]."""
        return apply_operations(images, parameters, self.interpolation, self.fill)

    def describe(self) -> str:
        """Return the transform's name and strength, in words."""
        return f"RandAugment of {self.num_ops} operations of magnitude {self.magnitude}"


def tabulate_magnitudes(ranges: tuple[float, float, float, float, float], lost_bits: int) -> Tensor:
    """Return the magnitude of each operation by its strength, [operations, NUM_MAGNITUDES]; 0 where it has none.

    Args:
        ranges: the largest shear, shifts along x and y in pixels, angle in degrees, and change of a factor.
        lost_bits: the largest number of bits that posterizing takes.
    """
    shear, shift_x, shift_y, angle, factor = ranges
    table = torch.zeros(len(OPERATIONS), NUM_MAGNITUDES)
    largest = (shear, shear, shift_x, shift_y, angle, factor, factor, factor, factor)
    for row, value in zip(table[1 : 1 + len(largest)], largest, strict=True):
        row.copy_(torch.linspace(0.0, value, NUM_MAGNITUDES))
    for name in ("TranslateX", "TranslateY"):
        table[OPERATIONS.index(name)].trunc_()
    bits = 8 - torch.arange(NUM_MAGNITUDES) / ((NUM_MAGNITUDES - 1) / lost_bits)
    table[OPERATIONS.index("Posterize")] = bits.round()
    table[OPERATIONS.index("Solarize")] = torch.linspace(1.0, 0.0, NUM_MAGNITUDES)
    return table


def draw_operations(table: Tensor, strengths: Tensor, size: tuple[int, int], generator: Generator) -> dict[str, Tensor]:
    """Draw operations, all equally likely, and the signs of their magnitudes.

    Args:
        table: the magnitudes, from `tabulate_magnitudes`.
        strengths: [count, operations of an image], from 0 to NUM_MAGNITUDES - 1.
        size: height and width of the images, in pixels.
        generator: random generator on the CPU.

    Returns:
        The parameters of `place_operations`.
    """
    operation = torch.randint(len(OPERATIONS), strengths.shape, generator=generator)
    is_negative = torch.rand(strengths.shape, generator=generator) <= 0.5
    magnitude = table[operation, strengths]
    magnitude = torch.where(is_negative & (operation <= _LAST_SIGNED), -magnitude, magnitude)
    return place_operations(operation, magnitude, size)


def place_operations(operation: Tensor, magnitude: Tensor, size: tuple[int, int]) -> dict[str, Tensor]:
    """Return the parameters of operations on images of a size.

    Args:
        operation: [count, operations of an image], numbers of OPERATIONS.
        magnitude: their magnitudes, of the same shape.
        size: height and width of the images, in pixels.

    Returns:
        `operation`, `magnitude` and `matrix` [count, operations of an image, 2, 3], which maps pixels to points of the
        source as that of a Resampling does.
    """
    return {"operation": operation, "magnitude": magnitude, "matrix": _make_matrices(operation, magnitude, size)}


def apply_operations(images: Tensor, parameters: Mapping[str, Tensor], interpolation: str, fill: float) -> Tensor:
    """Apply each image's operations, one after the other.

    Args:
        images: [n, C, H, W], in [0, 1].
        parameters: the parameters of these images, from `place_operations`.
        interpolation: "nearest" or "bilinear".
        fill: brightness of pixels read from outside the image, in [0, 1].

    Returns:
        [n, C, H, W]. Images whose operations are all Identity are not even rounded.
    """
    levels, fill_level = to_levels(images), round(255 * fill)

    def move(moved_levels: Tensor, matrix: Tensor) -> Tensor:
        return resample(moved_levels, matrix, interpolation, fill_level).round_()

    columns = zip(*(parameters[name].unbind(1) for name in ("operation", "magnitude", "matrix")), strict=True)
    for operation, magnitude, matrix in columns:
        is_moved = (operation > 0) & (operation <= _LAST_GEOMETRIC)
        levels = _apply_where(is_moved, move, levels, matrix)
        for name, function in _LEVEL_OPERATIONS.items():
            is_chosen = operation == OPERATIONS.index(name)
            levels = _apply_where(is_chosen, function, levels, magnitude.view(-1, 1, 1, 1))
    is_changed = (parameters["operation"] > 0).any(1)
    return torch.where(is_changed.view(-1, 1, 1, 1), from_levels(levels, images.dtype), images)


def _apply_where(
    is_chosen: Tensor, function: Callable[[Tensor, Tensor], Tensor], levels: Tensor, argument: Tensor
) -> Tensor:
    """Apply a function to the chosen images, and return all of them.

    On a CPU it is applied to these only. A GPU would have to tell the host how many there are, and a CUDA graph needs
    the same number in every epoch: there it is applied to all images, which takes a GPU hardly longer.

    Args:
        is_chosen: [n], which images.
        function: the function of levels [m, C, H, W] and of their arguments [m, ...].
        levels: [n, C, H, W]; on a CPU they are overwritten.
        argument: [n, ...], the argument of each image.
    """
    if levels.device.type == "cpu":
        rows = is_chosen.nonzero().flatten()
        return levels.index_copy_(0, rows, function(levels.index_select(0, rows), argument.index_select(0, rows)))
    return torch.where(is_chosen.view(-1, 1, 1, 1), function(levels, argument), levels)


def _make_matrices(operation: Tensor, magnitude: Tensor, size: tuple[int, int]) -> Tensor:
    """Return the matrices [..., 2, 3] of operations [...]; the identity for those that move no pixels.

    Shears leave the upper left corner where it is, as torchvision's do.
    """
    height, width = size
    magnitude = magnitude.double()  # as torchvision computes them, so that points between two pixels round alike
    angle = torch.deg2rad(magnitude.where(operation == OPERATIONS.index("Rotate"), 0.0))
    zero = torch.zeros_like(magnitude)
    shear_x, shear_y, shift_x, shift_y = (
        magnitude.where(operation == OPERATIONS.index(name), zero)
        for name in ("ShearX", "ShearY", "TranslateX", "TranslateY")
    )
    rows = [
        [angle.cos(), shear_x - angle.sin(), shear_x * (height / 2) - shift_x],
        [shear_y + angle.sin(), angle.cos(), shear_y * (width / 2) - shift_y],
    ]
    matrix = torch.stack([torch.stack(row, -1) for row in rows], -2)
    return matrix.float() / torch.tensor([[width / 2], [height / 2]])  # in grid_sample's units
