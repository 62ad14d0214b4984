"""Corruptions of test images, which measure how robust a network is: five kinds in five strengths.

After Hendrycks and Dietterich 2019, "Benchmarking neural network robustness to common corruptions and perturbations",
with strengths for small images. Each image has draws of its own: its noise, which way it is turned and where it is
shifted. They are the same in all strengths and for all runs, on every device, so that comparisons of runs are paired.
"""

import math
from collections.abc import Mapping
from dataclasses import dataclass

import torch
from torch import Tensor

from regexp.augmentation.geometry import RandomRotation, RandomShift
from regexp.augmentation.noise import add_noise
from regexp.augmentation.pixels import GaussianBlur, adjust_contrast
from regexp.augmentation.resampling import resample
from regexp.utils.device import move_together
from regexp.utils.keyed_draws import draw_keys, draw_table, keyed_draws
from regexp.utils.rng import random_stream

# The strengths of each corruption, the weakest first: the standard deviation of noise, where white is 1; that of a
# Gaussian blur, as a fraction of the shorter side; the angle of a rotation, in degrees; the length of a shift, as a
# fraction of the side; and the factor of the contrast.
CORRUPTIONS: Mapping[str, tuple[float, ...]] = {
    "noise": (0.08, 0.12, 0.18, 0.26, 0.38),
    "blur": (0.02, 0.035, 0.05, 0.065, 0.08),
    "rotation": (8, 16, 24, 32, 40),
    "shift": (0.03, 0.06, 0.09, 0.12, 0.15),
    "contrast": (0.75, 0.5, 0.4, 0.3, 0.15),
}
NUM_STRENGTHS = 5
# Weights further from the centre of a Gaussian blur, in standard deviations, are left out.
_BLUR_REACH = 3


@dataclass(frozen=True)
class CorruptionDraws:
    """The random draws with which images are corrupted.

    Attributes:
        table: the table to which the keys belong (see utils.keyed_draws).
        keys: [N, 2], the key of each image's noise.
        rotations, shifts: [N, NUM_STRENGTHS, 2, 3] each, the matrices of each image as `resample` takes them.
        sigmas: [NUM_STRENGTHS], the standard deviations of the blur, in pixels.
    """

    table: Tensor
    keys: Tensor
    rotations: Tensor
    shifts: Tensor
    sigmas: Tensor

    def __getitem__(self, images: slice) -> "CorruptionDraws":
        """Return the draws of some images."""
        return CorruptionDraws(self.table, self.keys[images], self.rotations[images], self.shifts[images], self.sigmas)

    def to(self, device: torch.device) -> "CorruptionDraws":
        """Return the draws on a device."""
        tensors = [self.table, self.keys, self.rotations, self.shifts, self.sigmas]
        return CorruptionDraws(*move_together(tensors, device))


def draw_corruptions(count: int, channels: int, height: int, width: int) -> CorruptionDraws:
    """Draw what decides how images are corrupted, on the CPU. It depends on these numbers alone.

    Args:
        count: the number of images, N.
        channels: their channels.
        height: their height, in pixels.
        width: their width, in pixels.
    """
    strengths = torch.tensor(list(CORRUPTIONS.values()))  # [corruptions, NUM_STRENGTHS]
    _, blur, rotation, shift, _ = strengths
    turns = torch.rand(count, generator=random_stream(0, "corruptions/rotation"))
    angles = torch.where(turns < 0.5, -1.0, 1.0).unsqueeze(1) * rotation  # [N, NUM_STRENGTHS], either way
    directions = torch.rand(count, generator=random_stream(0, "corruptions/shift")) * 2 * math.pi
    right, down = (part.unsqueeze(1) * shift for part in (directions.cos(), directions.sin()))
    rotations = RandomRotation(0).matrix({"angle": angles.flatten()}, height, width)
    shifts = RandomShift(0).matrix({"j": (right * width).flatten(), "i": (down * height).flatten()}, height, width)
    half_sides = torch.tensor([[width / 2], [height / 2]])
    return CorruptionDraws(
        table=draw_table("corruptions/noise", 0, channels * height * width),
        keys=draw_keys(count, random_stream(0, "corruptions/noise")),
        rotations=(rotations / half_sides).view(count, NUM_STRENGTHS, 2, 3),
        shifts=(shifts / half_sides).view(count, NUM_STRENGTHS, 2, 3),
        sigmas=blur * min(height, width),
    )


def corrupt(images: Tensor, corruption: str, level: int, draws: CorruptionDraws) -> Tensor:
    """Return corrupted images.

    Args:
        images: [n, C, H, W], in [0, 1].
        corruption: one of CORRUPTIONS.
        level: the place of the strength among those of the corruption, from 0.
        draws: the draws of these images, on their device.

    Returns:
        [n, C, H, W], in [0, 1]. What a rotation or a shift brings in from outside is black.
    """
    strength = CORRUPTIONS[corruption][level]
    if corruption == "noise":
        return add_noise(images, strength, keyed_draws(draws.table, draws.keys)).clamp_(0, 1)
    if corruption == "blur":
        side = min(images.shape[2:])
        reach = min(math.ceil(_BLUR_REACH * strength * side), side - 1)  # a border is reflected once
        return GaussianBlur(2 * reach + 1).apply(images, {"sigma": draws.sigmas[level : level + 1]})
    if corruption == "contrast":
        return adjust_contrast(images, strength)
    matrices = draws.rotations if corruption == "rotation" else draws.shifts
    return resample(images, matrices[:, level].to(images.dtype), "bilinear", 0.0)
