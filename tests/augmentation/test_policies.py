"""TrivialAugment and RandAugment: every operation and strength against torchvision's own, and their draws."""

from typing import Any

import pytest
import torch
from helpers.transforms import SEED
from scipy import stats
from torch import Generator, Tensor
from torchvision.transforms import v2

from regexp.augmentation import RandAugment, TrivialAugment, policies
from regexp.augmentation.policies import NUM_MAGNITUDES, OPERATIONS, apply_operations, place_operations
from regexp.config.compose import compose_job
from regexp.config.schemas.augmentation import STEPS

POLICIES: dict[str, tuple[Any, Any]] = {
    "trivial": (TrivialAugment, v2.TrivialAugmentWide),
    "randaugment": (RandAugment, v2.RandAugment),
}
MAGNITUDES = sorted({*range(0, NUM_MAGNITUDES, 4), 1, NUM_MAGNITUDES - 1})
SHAPES = [(1, 28, 28), (3, 17, 22), (3, 2, 2)]
NUM_DRAWS = 20_000


def make_levels(shape: tuple[int, ...], count: int) -> Tensor:
    """Return images of 256 levels: of full range, of a narrow one, and of a single level in two channels."""
    levels = torch.randint(256, (count, *shape), generator=Generator().manual_seed(1), dtype=torch.uint8)
    levels[1::3] = levels[1::3] // 5 + 90
    levels[2::3, :2] = 77
    return levels


def test_operations_are_those_of_torchvision() -> None:
    assert {name for name in STEPS if STEPS[name].transform.startswith("augmentation.policies.")} == set(POLICIES)
    for _, policy in POLICIES.values():
        assert tuple(policy._AUGMENTATION_SPACE) == OPERATIONS


@pytest.mark.parametrize("shape", SHAPES, ids=str)
@pytest.mark.parametrize("name", OPERATIONS)
@pytest.mark.parametrize("kind", POLICIES)
def test_every_operation_and_magnitude_is_torchvisions(kind: str, name: str, shape: tuple[int, int, int]) -> None:
    step, policy, code = POLICIES[kind][0](), POLICIES[kind][1](), OPERATIONS.index(name)
    make_magnitudes, is_signed = policy._AUGMENTATION_SPACE[name]
    expected_magnitudes = make_magnitudes(NUM_MAGNITUDES, *shape[1:])
    cases = [(i, sign) for i in MAGNITUDES for sign in ((1, -1) if is_signed else (1,))]
    levels, expected, magnitudes = make_levels(shape, len(cases)), [], []
    for image, (i, sign) in zip(levels, cases, strict=True):
        value = 0.0 if expected_magnitudes is None else sign * float(expected_magnitudes[i])
        expected.append(policy._apply_image_or_video_transform(image, name, value, policy.interpolation, policy._fill))
        magnitudes.append(sign * step.magnitudes(*shape[1:])[code, i])
    parameters = place_operations(torch.full((len(cases), 1), code), torch.stack(magnitudes).unsqueeze(1), shape[1:])
    result = apply_operations(levels.double() / 255, parameters, "nearest", 0.0)
    wrong_pixels = ((result * 255).round() != torch.stack(expected)).double().mean()
    assert wrong_pixels <= (0.004 if name in ("ShearX", "ShearY", "Rotate") else 0)  # between two pixels


@pytest.mark.parametrize("shape", SHAPES, ids=str)
def test_a_gpu_computes_what_a_cpu_computes(shape: tuple[int, ...], monkeypatch: pytest.MonkeyPatch) -> None:
    """There each operation is applied to all images, and the result taken for those that have drawn it."""
    levels = make_levels(shape, 300).float() / 255
    step = RandAugment(3, 20)
    parameters = step.draw(300, *shape[1:], Generator().manual_seed(SEED))

    def apply_to_all(is_chosen: Tensor, function: Any, levels: Tensor, argument: Tensor) -> Tensor:
        return torch.where(is_chosen.view(-1, 1, 1, 1), function(levels, argument), levels)

    expected = step.apply(levels, parameters)
    monkeypatch.setattr(policies, "_apply_where", apply_to_all)
    assert torch.equal(step.apply(levels, parameters), expected)


@pytest.mark.parametrize(("step", "num_operations"), [(TrivialAugment(0.6), 1), (RandAugment(2, 9), 2)], ids=str)
def test_operations_and_strengths_are_uniform(step: Any, num_operations: int) -> None:
    drawn = step.draw(NUM_DRAWS, 28, 28, Generator().manual_seed(SEED))
    operation, magnitude = drawn["operation"].T, drawn["magnitude"].T
    assert len(operation) == num_operations
    for codes in operation:
        counts = torch.bincount(codes, minlength=len(OPERATIONS)).double()
        expected = torch.full_like(counts, NUM_DRAWS / len(OPERATIONS))
        if isinstance(step, TrivialAugment):
            expected *= step.p
            expected[0] += (1 - step.p) * NUM_DRAWS
        assert stats.chisquare(counts.numpy(), expected.numpy()).pvalue > 1e-3
    is_signed = (operation > 0) & (operation <= OPERATIONS.index("Sharpness"))
    signs = magnitude[is_signed & (magnitude != 0)].sign()
    assert abs(float(signs.mean())) < 5 / len(signs) ** 0.5
    if isinstance(step, TrivialAugment):
        strengths = (magnitude[operation == OPERATIONS.index("Solarize")] * (NUM_MAGNITUDES - 1)).round().long()
        assert stats.chisquare(torch.bincount(strengths, minlength=NUM_MAGNITUDES).numpy()).pvalue > 1e-3


def test_images_without_an_operation_keep_their_bits() -> None:
    images = torch.rand(40, 1, 8, 8, generator=Generator().manual_seed(1))
    step = TrivialAugment(0.3)
    parameters = step.draw(40, 8, 8, Generator().manual_seed(SEED))
    result, is_kept = step.apply(images, parameters), parameters["operation"][:, 0] == 0
    assert torch.equal(result[is_kept], images[is_kept])
    assert 10 < int(is_kept.sum()) < 40
    levels = result[~is_kept] * 255
    assert (levels - levels.round()).abs().max() < 1e-4


def test_shifts_beyond_small_images_get_a_warning() -> None:
    [warning] = compose_job(["augmentation=trivial"]).warnings  # digits
    assert warning == (
        "augmentation.trivial shifts by up to 32 pixels, and often leaves nothing of an image of 8x8 pixels; "
        "augmentation=randaugment shifts by a part of the side"
    )
    for words in (["augmentation=randaugment"], ["augmentation=trivial", "data=mnist", "data.root=x"]):
        assert compose_job(words).warnings == ()
