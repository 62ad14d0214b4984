"""Corruptions of test images against torchvision's functions and plain formulas."""

import math

import pytest
import torch
import torchvision.transforms.functional as TF
from torch import Tensor
from torchvision.transforms import InterpolationMode

from regexp.augmentation.corruptions import CORRUPTIONS, NUM_STRENGTHS, CorruptionDraws, corrupt, draw_corruptions
from regexp.utils.device import move_together
from regexp.utils.keyed_draws import keyed_draws, normal_noise

COUNT = 5
# Gray, colours, and sides that differ or are tiny.
SHAPES = [(1, 28, 28), (3, 12, 9), (1, 8, 8), (2, 1, 1)]
LEVELS = range(NUM_STRENGTHS)


def make_images(shape: tuple[int, int, int]) -> tuple[Tensor, CorruptionDraws]:
    return torch.rand(COUNT, *shape, dtype=torch.float64), draw_corruptions(COUNT, *shape)


def assert_close(image: Tensor, expected: Tensor, tolerance: float = 1e-9) -> None:
    assert float((image - expected).abs().max()) <= tolerance


@pytest.mark.parametrize("shape", SHAPES, ids=str)
def test_noise_is_added_to_every_value_and_clipped(shape: tuple[int, int, int]) -> None:
    images, draws = make_images(shape)
    noise = normal_noise(keyed_draws(draws.table, draws.keys), torch.float64)[:, : math.prod(shape)].view(COUNT, *shape)
    for level, std in enumerate(CORRUPTIONS["noise"]):
        assert_close(corrupt(images, "noise", level, draws), (images + std * noise).clamp(0, 1), 1e-12)


def test_noise_has_the_standard_deviation_of_its_strength_and_differs_between_images() -> None:
    images = torch.full((20, 1, 28, 28), 0.5)
    noise = corrupt(images, "noise", 0, draw_corruptions(20, 1, 28, 28)) - 0.5
    assert float(noise.std()) == pytest.approx(CORRUPTIONS["noise"][0], rel=0.02)
    assert float(noise.mean()) == pytest.approx(0, abs=0.003)
    assert float(torch.corrcoef(noise.flatten(1)).fill_diagonal_(0).abs().max()) < 0.15


@pytest.mark.parametrize("shape", SHAPES, ids=str)
def test_blur_is_torchvisions(shape: tuple[int, int, int]) -> None:
    images, draws = make_images(shape)
    side = min(shape[1:])
    for level, strength in enumerate(CORRUPTIONS["blur"]):
        sigma = strength * side
        reach = min(math.ceil(3 * sigma), side - 1)
        expected = TF.gaussian_blur(images, [2 * reach + 1] * 2, [sigma] * 2) if reach else images
        assert_close(corrupt(images, "blur", level, draws), expected, 1e-6)  # sigma is a float32


@pytest.mark.parametrize("shape", SHAPES, ids=str)
def test_rotation_is_torchvisions_either_way(shape: tuple[int, int, int]) -> None:
    images, draws = make_images(shape)
    signs = draws.rotations[:, :, 1, 0].sign()  # those of the angles
    assert (signs == signs[:, :1]).all()  # the same way in all strengths
    for level, angle in enumerate(CORRUPTIONS["rotation"]):
        turned = corrupt(images, "rotation", level, draws)
        for i in range(COUNT):
            expected = TF.rotate(images[i], float(signs[i, level]) * angle, InterpolationMode.BILINEAR)
            assert_close(turned[i], expected, 1e-4)  # a matrix is in float32


@pytest.mark.parametrize("shape", SHAPES, ids=str)
def test_shift_is_torchvisions_in_any_direction(shape: tuple[int, int, int]) -> None:
    images, draws = make_images(shape)
    height, width = shape[1:]
    for level, length in enumerate(CORRUPTIONS["shift"]):
        shifted = corrupt(images, "shift", level, draws)
        for i in range(COUNT):
            right, down = (float(draws.shifts[i, level, row, 2]) / 2 for row in (0, 1))  # as fractions of the sides
            assert math.hypot(right, down) == pytest.approx(length)
            translate = [-right * width, -down * height]
            expected = TF.affine(images[i], 0.0, translate, 1.0, [0.0, 0.0], InterpolationMode.BILINEAR)
            assert_close(shifted[i], expected, 1e-4)


@pytest.mark.parametrize("shape", [shape for shape in SHAPES if shape[0] in (1, 3)], ids=str)
def test_contrast_is_torchvisions(shape: tuple[int, int, int]) -> None:
    images, draws = make_images(shape)
    for level, factor in enumerate(CORRUPTIONS["contrast"]):
        assert_close(corrupt(images, "contrast", level, draws), TF.adjust_contrast(images, factor))


@pytest.mark.parametrize("corruption", CORRUPTIONS)
def test_a_stronger_corruption_changes_an_image_more_and_stays_within_0_and_1(corruption: str) -> None:
    images, draws = make_images((1, 28, 28))
    assert len(CORRUPTIONS[corruption]) == NUM_STRENGTHS
    results = [corrupt(images, corruption, level, draws) for level in LEVELS]
    assert all(float(result.min()) >= 0 and float(result.max()) <= 1 for result in results)
    changes = [float((result - images).square().mean()) for result in results]
    if corruption not in ("rotation", "shift"):  # which change images without structure about alike
        assert changes == sorted(changes)
    assert min(changes) > 0


def test_draws_are_the_same_every_time_whatever_was_drawn_before() -> None:
    torch.rand(3)
    first, second = draw_corruptions(7, 1, 8, 8), draw_corruptions(7, 1, 8, 8)
    for name in ("table", "keys", "rotations", "shifts", "sigmas"):
        assert torch.equal(getattr(first, name), getattr(second, name))
    moved = first.to(torch.device("cpu"))
    assert torch.equal(moved.rotations, first.rotations)
    assert torch.equal(*move_together([moved[2:4].keys, first.keys[2:4]], torch.device("cpu")))
