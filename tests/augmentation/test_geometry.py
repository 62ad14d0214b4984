"""Geometric transforms against torchvision's functional ones with the same drawn parameters, image by image."""

import math
from collections.abc import Mapping, Sequence

import pytest
import torch
import torchvision.transforms.functional as TF
from helpers.transforms import (
    COUNT,
    SEED,
    apply_steps,
    make_transform,
    drawn_for_image,
    random_images,
    apply_torchvision,
)
from scipy import stats
from torch import Generator, Tensor
from torch.testing import assert_close
from torchvision.transforms import RandomCrop as TorchvisionCrop

from regexp.augmentation.pipeline import (
    ElasticTransform,
    Pipeline,
    RandomAffine,
    RandomCrop,
    RandomHorizontalFlip,
    RandomPerspective,
    RandomRotation,
    RandomShift,
    Transform,
)
from regexp.augmentation.resampling import Resampling

DRAWS = 20_000
TIES = 0.002  # share of pixels that may fall on the border of two sources, where rounding decides
SHAPES = pytest.mark.parametrize("shape", [(1, 28, 28), (3, 8, 8), (1, 10, 14), (3, 10, 14)], ids=str)
FILLS = pytest.mark.parametrize("fill", [0.0, 0.5])
MODES = pytest.mark.parametrize("mode", ["nearest", "bilinear"])


def seeded() -> Generator:
    return Generator().manual_seed(SEED)


def on_a_canvas(images: Tensor, steps: Sequence[Transform], drawn: Sequence[Mapping[str, Tensor]]) -> Tensor:
    """torchvision's steps one after the other, on a canvas so large that its own edges never come into the frame."""
    height, width = images.shape[2:]
    border, fill = 2 * max(height, width), next((step.fill for step in steps if step.fill is not None), 0.0)
    results = []
    for n, image in enumerate(images.double()):
        canvas = TF.pad(image - fill, [border])  # so that what lies outside is 0, beyond the canvas too
        for step, parameters in zip(steps, drawn, strict=True):
            canvas = apply_torchvision(step, canvas, drawn_for_image(parameters, n), None, border)
        results.append(TF.crop(canvas, border, border, *(side - 2 * border for side in canvas.shape[1:])))
    return torch.stack(results) + fill


def agree(mine: Tensor, theirs: Tensor, mode: str, ties: float = TIES) -> None:
    difference = (mine.double() - theirs.double()).abs()
    if mode == "bilinear":
        assert difference.max() < 5e-5
    else:
        assert (difference > 1e-6).double().mean() <= ties


@SHAPES
@MODES
@FILLS
@pytest.mark.parametrize("name", ["rotate", "affine", "elastic"])
def test_a_resampling_is_torchvisions(name: str, shape: Sequence[int], mode: str, fill: float) -> None:
    step, images = make_transform(name, mode, fill), random_images(shape)
    mine, (parameters,) = apply_steps([step], images)
    theirs, inside = [], []
    for n, image in enumerate(images.double()):
        theirs.append(apply_torchvision(step, image, drawn_for_image(parameters, n), [fill] * shape[0]))
        inside.append(apply_torchvision(step, torch.ones_like(image), drawn_for_image(parameters, n)))
    # Where a pixel is read half from the frame and half from outside, torchvision weighs the frame's half twice
    # (see the test below, which covers those).
    weight = torch.stack(inside)
    whole = (weight - weight.round()).abs() < 1e-5
    assert whole.double().mean() > 0.6
    agree(mine[whole], torch.stack(theirs)[whole], mode)


@SHAPES
@MODES
@FILLS
@pytest.mark.parametrize("name", ["rotate", "affine", "perspective", "elastic"])
def test_outside_the_frame_is_fill(name: str, shape: Sequence[int], mode: str, fill: float) -> None:
    step, images = make_transform(name, mode, fill), random_images(shape)
    mine, drawn = apply_steps([step], images)
    agree(mine, on_a_canvas(images, [step], drawn), mode, 0.02 if name == "perspective" else TIES)


@SHAPES
def test_a_flip_is_torchvisions(shape: Sequence[int]) -> None:
    images = random_images(shape)
    mine, (parameters,) = apply_steps([RandomHorizontalFlip(0.5)], images)
    assert 0 < parameters["flipped"].sum() < COUNT
    for n, image in enumerate(images):
        assert torch.equal(mine[n], apply_torchvision(RandomHorizontalFlip(), image, drawn_for_image(parameters, n)))


@SHAPES
@FILLS
@pytest.mark.parametrize("padding", [1, 3, 0.25, 20], ids=str)
def test_a_shift_is_torchvisions_padded_crop(shape: Sequence[int], fill: float, padding: float) -> None:
    step, images = RandomShift(padding, fill), random_images(shape)
    mine, (parameters,) = apply_steps([step], images)
    theirs = [apply_torchvision(step, image, drawn_for_image(parameters, n), [fill]) for n, image in enumerate(images)]
    if fill == 0:
        assert torch.equal(mine, torch.stack(theirs))
    else:
        assert_close(mine, torch.stack(theirs), rtol=0, atol=1e-6)


@pytest.mark.parametrize(
    ("padding", "side", "pixels"), [(3, 28, 3), (0, 28, 0), (0.25, 28, 7), (0.125, 8, 1), (0.01, 8, 0), (1, 28, 1)]
)
def test_a_shifts_padding_is_in_pixels_or_below_one_a_fraction(padding: float, side: int, pixels: int) -> None:
    assert RandomShift(padding).padding_pixels(side) == pixels


def uniform(draws: Tensor, low: float, high: float) -> None:
    assert draws.shape == (DRAWS,)
    assert low <= draws.min()
    assert draws.max() <= high
    # One in a thousand good generators fails this; the seed is fixed.
    assert stats.kstest(draws.double().numpy(), "uniform", (low, high - low)).pvalue > 1e-3


def frequencies(draws: Tensor, expected: Mapping[int, float]) -> None:
    values = draws.tolist()
    counts = [values.count(value) for value in expected]
    assert sum(counts) == len(values)
    assert stats.chisquare(counts, [share * len(values) for share in expected.values()]).pvalue > 1e-3


def test_angles_are_uniform() -> None:
    uniform(RandomRotation(15.0).draw(DRAWS, 28, 28, seeded())["angle"], -15, 15)


@pytest.mark.parametrize("p", [0.0, 0.1, 0.5, 1.0])
def test_flips_have_their_frequency(p: float) -> None:
    flipped = RandomHorizontalFlip(p).draw(DRAWS, 28, 28, seeded())["flipped"]
    assert set(flipped.tolist()) <= {0.0, 1.0}
    assert abs(float(flipped.mean()) - p) <= 4 * math.sqrt(p * (1 - p) / DRAWS)


def test_shifts_are_uniform_over_all_whole_pixels() -> None:
    drawn = RandomShift(0.25).draw(DRAWS, 8, 20, seeded())
    frequencies(drawn["i"], dict.fromkeys(range(-2, 3), 1 / 5))
    frequencies(drawn["j"], dict.fromkeys(range(-5, 6), 1 / 11))
    # torchvision's own range, less the padding
    corners = {TorchvisionCrop.get_params(torch.zeros(1, 12, 12), (8, 8))[0] - 2 for _ in range(200)}
    assert corners == set(range(-2, 3))


def test_affine_parameters_have_torchvisions_distributions() -> None:
    drawn = RandomAffine(20.0, (0.3, 0.1), (0.8, 1.5), 7.0).draw(DRAWS, 10, 14, seeded())
    uniform(drawn["angle"], -20, 20)
    uniform(drawn["scale"], 0.8, 1.5)
    uniform(drawn["shear"], -7, 7)
    # int(round(uniform(-largest, largest))): the outermost pixels are rarer
    for name, largest in (("tx", 0.3 * 14), ("ty", 0.1 * 10)):
        outermost = round(largest)
        shares = {
            shift: (min(shift + 0.5, largest) - max(shift - 0.5, -largest)) / (2 * largest)
            for shift in range(-outermost, outermost + 1)
        }
        frequencies(drawn[name], shares)


def test_the_parameters_of_a_draw_are_independent() -> None:
    drawn = RandomAffine(20.0, (0.3, 0.3), (0.8, 1.5), 7.0).draw(DRAWS, 28, 28, seeded())
    correlations = torch.corrcoef(torch.stack(list(drawn.values())).double()) - torch.eye(len(drawn))
    assert correlations.abs().max() < 4 / math.sqrt(DRAWS)


@pytest.mark.parametrize(
    ("steps", "resamplings"),
    [
        ([], 0),
        ([RandomRotation(9.0), RandomAffine(9.0, (0, 0), (1, 1), 0)], 1),
        ([RandomRotation(9.0, "nearest"), RandomAffine(9.0, (0, 0), (1, 1), 0, "bilinear")], 2),
        ([RandomRotation(9.0, fill=0.0), RandomShift(2, fill=0.5)], 2),
        ([RandomRotation(9.0, "bilinear", 0.5), RandomHorizontalFlip(), RandomShift(2, 0.5)], 1),
        ([RandomHorizontalFlip(), RandomShift(2), RandomRotation(9.0, "bilinear")], 1),
        # a flip is content with any, but does not reconcile its neighbours
        ([RandomRotation(9.0), RandomHorizontalFlip(), RandomRotation(9.0, "bilinear")], 2),
        ([RandomShift(2, 0.0), RandomHorizontalFlip(), RandomShift(2, 0.5), RandomShift(2, 0.0)], 3),
        ([RandomRotation(9.0, "bilinear"), RandomCrop(6), RandomPerspective(), RandomHorizontalFlip()], 1),
        ([RandomRotation(9.0, "bilinear"), ElasticTransform()], 1),
        ([RandomRotation(9.0, "nearest"), ElasticTransform()], 2),
        # what follows a distortion would have to distort the displacements
        ([ElasticTransform(), RandomRotation(9.0, "bilinear")], 2),
        ([ElasticTransform(), ElasticTransform()], 2),
    ],
)
def test_neighbours_share_a_resampling_unless_they_contradict(steps: list[Transform], resamplings: int) -> None:
    pipeline = Pipeline(steps, 8, 8)
    groups = [stage.steps for stage in pipeline.transformations if isinstance(stage, Resampling)]
    assert len(groups) == len(pipeline.transformations) == resamplings
    assert [step for group in groups for step in group] == steps


@SHAPES
@pytest.mark.parametrize("names", [["flip", "shift"], ["shift", "flip"]], ids=" ".join)
def test_flip_and_shift_follow_torchvisions_order_to_the_bit(names: list[str], shape: Sequence[int]) -> None:
    steps, images = [make_transform(name) for name in names], random_images(shape)
    mine, (first, second) = apply_steps(steps, images)
    for n, image in enumerate(images):
        expected = apply_torchvision(
            steps[1], apply_torchvision(steps[0], image, drawn_for_image(first, n)), drawn_for_image(second, n)
        )
        assert torch.equal(mine[n], expected)


@MODES
@FILLS
@pytest.mark.parametrize("shape", [(1, 28, 28), (3, 10, 14)], ids=str)
@pytest.mark.parametrize(
    "names",
    [
        ["rotate", "flip"],
        ["flip", "rotate"],
        ["flip", "affine"],
        ["affine", "flip"],
        ["rotate", "shift"],
        ["shift", "rotate"],
        ["shift", "affine", "flip"],
        ["crop", "rotate"],
        ["rotate", "crop", "flip"],
        ["crop", "flip", "crop"],
        ["flip", "perspective", "shift"],
        ["crop", "elastic"],
    ],
    ids=" ".join,
)
def test_one_resampling_is_torchvisions_sequence(
    names: list[str], shape: Sequence[int], mode: str, fill: float
) -> None:
    steps, images = [make_transform(name, mode, fill) for name in names], random_images(shape)
    mine, drawn = apply_steps(steps, images)
    agree(mine, on_a_canvas(images, steps, drawn), mode, 0.02 if "perspective" in names else TIES)


@pytest.mark.parametrize("shape", [(28, 28), (10, 14)], ids=str)
@pytest.mark.parametrize(
    "names",
    [
        ["rotate", "affine"],
        ["affine", "perspective"],
        ["perspective", "flip", "rotate"],
        ["perspective", "crop", "affine"],
        ["rotate", "elastic"],
        ["crop", "affine", "elastic"],
        ["crop", "affine", "perspective", "elastic"],
    ],
    ids=" ".join,
)
def test_what_a_bilinear_resampling_keeps_does_not_tell_one_from_many(names: list[str], shape: Sequence[int]) -> None:
    height, width = shape
    border = 4 * max(shape)
    y, x = torch.meshgrid(
        torch.arange(-border, height + border) - height / 2,
        torch.arange(-border, width + border) - width / 2,
        indexing="ij",
    )
    plane = torch.stack([x, y, torch.ones_like(x)]).double()  # linear in x and in y: interpolated without an error
    images = TF.crop(plane, border, border, height, width).expand(COUNT, -1, -1, -1)
    steps = [make_transform(name, "bilinear", 0.0) for name in names]
    mine, drawn = apply_steps(steps, images)
    assert len(Pipeline(steps, height, width).transformations) == 1
    for n in range(COUNT):
        canvas = plane
        for step, parameters in zip(steps, drawn, strict=True):
            canvas = apply_torchvision(step, canvas, drawn_for_image(parameters, n), None, border)
        theirs = TF.crop(canvas, border, border, *mine.shape[2:])
        inside = mine[n, 2] > 1 - 1e-6
        assert inside.double().mean() > 0.15
        difference = (mine[n] - theirs).abs()[:, inside]
        if "perspective" in names[:-1]:
            # What torchvision makes of a plane is bent then, and what follows reads it with a small error.
            assert difference.mean() < 0.06
        else:
            assert difference.max() < 2e-4


def test_contradicting_neighbours_are_resampled_one_after_the_other() -> None:
    rotate, affine = make_transform("rotate", "nearest", 0.0), make_transform("affine", "bilinear", 0.5)
    images = random_images((1, 10, 14)).double()
    mine, (angles, parameters) = apply_steps([rotate, affine], images)
    turned = torch.stack(
        [apply_torchvision(rotate, image, drawn_for_image(angles, n)) for n, image in enumerate(images)]
    )
    assert_close(mine, on_a_canvas(turned, [affine], [parameters]), rtol=0, atol=1e-5)


@SHAPES
@MODES
@FILLS
def test_nothing_happens_at_zero_strength(shape: Sequence[int], mode: str, fill: float) -> None:
    images = random_images(shape)
    nothing = RandomAffine(0.0, (0.0, 0.0), (1.0, 1.0), 0.0, mode, fill)
    for step in (RandomRotation(0.0, mode, fill), RandomHorizontalFlip(0.0), RandomShift(0, fill), nothing):
        result, _ = apply_steps([step], images)
        assert_close(result, images, rtol=0, atol=1e-5 if step.interpolation == "bilinear" else 1e-7)


def test_no_steps_return_the_images() -> None:
    images = random_images((1, 8, 8))
    assert apply_steps([], images)[0] is images
    assert Pipeline([], 8, 8).describe() == "none"


@pytest.mark.parametrize("dtype", [torch.float32, torch.float64])
@pytest.mark.parametrize("names", ["rotate flip shift", "affine", "flip", "shift"])
@MODES
@FILLS
def test_shape_dtype_and_range_are_kept(names: str, dtype: torch.dtype, mode: str, fill: float) -> None:
    images = random_images((3, 10, 14)).to(dtype)
    before = images.clone()
    result, _ = apply_steps([make_transform(name, mode, fill) for name in names.split()], images)
    assert result.shape == images.shape
    assert result.dtype == dtype
    assert result.min() >= -1e-6
    assert result.max() <= 1 + 1e-6
    assert torch.equal(images, before)


def test_a_pipeline_serves_both_precisions_in_turn() -> None:
    images, pipeline = random_images((1, 10, 14)), Pipeline([make_transform("affine", "bilinear")], 10, 14)
    drawn = pipeline.draw(COUNT, SEED, 1)
    single, double, again = pipeline(images, drawn), pipeline(images.double(), drawn), pipeline(images, drawn)
    assert_close(single.double(), double, rtol=0, atol=1e-5)
    assert torch.equal(single, again)


def test_a_pipeline_describes_its_steps_in_order() -> None:
    words = Pipeline(
        [make_transform("affine"), make_transform("flip"), RandomShift(0.1), RandomRotation(9)], 8, 8
    ).describe()
    assert words == (
        "affine (rotation 30 degrees, shift 0.2, scale 0.7 to 1.4, shear 20 degrees), "
        "flip with p 0.5, shift by 0.1 of the side, rotation by 9 degrees"
    )
