"""What holds for every augmentation: the contract of all that is in TRANSFORMS, whatever is added to it."""

from collections.abc import Sequence
from dataclasses import MISSING, fields
from pathlib import Path

import pytest
import torch
from helpers.transforms import (
    COUNT,
    EPOCH,
    NEUTRAL_ARGUMENTS,
    ORACLES,
    SEED,
    STRONG_ARGUMENTS,
    apply_steps,
    make_transform,
    drawn_for_image,
    field_names,
    random_images,
    apply_torchvision,
)
from torch import Tensor
from torch.testing import assert_close

import regexp.augmentation
from regexp.augmentation.pipeline import TRANSFORMS, Pipeline
from regexp.config.augmentation_schema import STEPS, TARGETS
from regexp.config.compose import compose_job
from regexp.data.dataset import Images
from regexp.execution.builders import load_dataset, make_stream
from regexp.execution.images import draw_augmentation_grid
from regexp.training.batches import ImageStream, batches

KINDS = pytest.mark.parametrize("kind", TRANSFORMS)
SHAPES = pytest.mark.parametrize("shape", [(1, 28, 28), (3, 28, 28), (1, 8, 8), (3, 8, 8), (3, 10, 14)], ids=str)
DTYPES = pytest.mark.parametrize("dtype", [torch.float32, torch.float64], ids=str)


def test_steps_transforms_targets_and_tables_name_the_same() -> None:
    assert list(TRANSFORMS) == list(STEPS)
    assert {name: kind for kind, found in TRANSFORMS.items() for name in [found.__name__]} == TARGETS
    for name, kind in TARGETS.items():
        assert getattr(regexp.augmentation, name) is TRANSFORMS[kind]
    assert set(STRONG_ARGUMENTS) == set(NEUTRAL_ARGUMENTS) == set(ORACLES) == set(TRANSFORMS)


@KINDS
def test_a_transforms_fields_are_its_steps_with_the_same_defaults(kind: str) -> None:
    schema = STEPS[kind]()
    assert field_names(kind) == [item.name for item in fields(STEPS[kind])]
    for item in fields(TRANSFORMS[kind]):
        given = getattr(schema, item.name)
        if item.default is not MISSING and (kind, item.name) != ("rotate", "interpolation"):
            assert item.default == (tuple(given) if isinstance(given, list) else given)


@KINDS
@SHAPES
@DTYPES
def test_shape_dtype_and_range_are_kept_and_the_images_too(kind: str, shape: Sequence[int], dtype: torch.dtype) -> None:
    images = random_images(shape).to(dtype)
    before = images.clone()
    step = make_transform(kind)
    result, _ = apply_steps([step], images)
    assert result.shape == (COUNT, shape[0], *step.output_size(*shape[1:]))
    assert result.dtype == dtype
    assert result.min() >= -1e-6
    assert result.max() <= 1 + 1e-6
    assert torch.equal(images, before)
    assert result.shape != images.shape or not torch.equal(result, images)


@KINDS
@SHAPES
def test_both_precisions_see_the_same_draws(kind: str, shape: Sequence[int]) -> None:
    images = random_images(shape)
    (single, _), (double, _) = (
        apply_steps([make_transform(kind, "bilinear")], images.to(d)) for d in (torch.float32, torch.float64)
    )
    assert_close(single.double(), double, rtol=0, atol=1e-4)


@KINDS
@SHAPES
@pytest.mark.parametrize("mode", ["nearest", "bilinear"])
def test_torchvisions_functional_form_agrees(kind: str, shape: Sequence[int], mode: str) -> None:
    step, images = make_transform(kind, mode, None if kind == "erase" else 0.0), random_images(shape).double()
    mine, (drawn,) = apply_steps([step], images)
    theirs = torch.stack([apply_torchvision(step, image, drawn_for_image(drawn, n)) for n, image in enumerate(images)])
    difference = (mine - theirs).abs()
    if getattr(step, "interpolation", None) == "nearest":
        # On the border of two pixels rounding decides; perspective's corners are whole pixels, and put many there.
        assert (difference > 1e-6).double().mean() <= (0.02 if kind == "perspective" else 0.002)
    else:
        assert difference.max() < 2e-5


@KINDS
@SHAPES
@DTYPES
@pytest.mark.parametrize("mode", ["nearest", "bilinear"])
def test_nothing_happens_at_zero_strength(kind: str, shape: Sequence[int], dtype: torch.dtype, mode: str) -> None:
    images = random_images(shape).to(dtype)
    options = {"interpolation": mode} if "interpolation" in field_names(kind) else {}
    result, _ = apply_steps([TRANSFORMS[kind](**NEUTRAL_ARGUMENTS[kind], **options)], images)
    assert_close(result, images, rtol=0, atol=1e-5 if options.get("interpolation") == "bilinear" else 1e-7)


def same_image(count: int) -> Tensor:
    return random_images((1, 28, 28), 1).expand(count, -1, -1, -1)


@KINDS
def test_draws_are_new_for_every_image_epoch_and_seed_and_repeat(kind: str) -> None:
    pipeline, images = Pipeline([make_transform(kind)], 28, 28), same_image(20)
    first, again, epoch, seed, purpose = (
        pipeline(images, pipeline.draw(20, *numbers))
        for numbers in ((SEED, 1), (SEED, 1), (SEED, 2), (SEED + 1, 1), (SEED, 1, "cpu", "preview"))
    )
    distinct = len(first.flatten(1).unique(dim=0))
    assert distinct == 2 if kind == "flip" else distinct > 10
    assert torch.equal(first, again)
    for other in (epoch, seed, purpose):
        assert not torch.equal(first, other)


@KINDS
def test_two_of_a_kind_draw_differently(kind: str) -> None:
    images, step = same_image(40), make_transform(kind)
    pipeline = Pipeline([step, step], 28, 28)
    draws = pipeline.draw(40, SEED, EPOCH)
    once = Pipeline([step], 28, 28)
    # What both made is not what one makes twice with the draws of the first.
    repeated = once(images, once.draw(40, SEED, EPOCH))
    again = Pipeline([step], *once.output_size)
    assert not torch.equal(pipeline(images, draws), again(repeated, again.draw(40, SEED, EPOCH)))


@KINDS
def test_what_is_drawn_does_not_depend_on_company(kind: str) -> None:
    train = Images((same_image(300) * 255).byte(), torch.zeros(300).long())
    # Every transform keeps the size here: those of one cohort do.
    own = ImageStream(3, Pipeline([make_transform(kind)], 28, 28))
    other = ImageStream(4, Pipeline([make_transform(kind), make_transform("noise")], 28, 28))
    alone, together = (
        list(batches(train, streams, [1] * len(streams), 100, 1, torch.float32))
        for streams in ([own], [other, own, ImageStream(5, own.pipeline)])
    )
    for one, many in zip(alone, together, strict=True):
        assert torch.equal(one.images[0], many.images[1])
        assert not torch.equal(one.images[0], many.images[2])


@KINDS
def test_a_kind_beside_it_changes_no_pixelwise_draw(kind: str) -> None:
    """Comparisons with and without another step stay paired."""
    alone, beside = (
        Pipeline([make_transform("noise")], 28, 28),
        Pipeline([make_transform("noise"), make_transform(kind)], 28, 28),
    )
    if kind != "noise":
        first, second = (pipeline.draw(4, SEED, EPOCH).generators[0].get_state() for pipeline in (alone, beside))
        assert torch.equal(first, second)


@KINDS
def test_a_kind_can_be_composed_drawn_as_a_picture_and_described(kind: str) -> None:
    config = compose_job([f"+augmentation.{kind}={{}}"]).config
    dataset = load_dataset(config)
    picture = draw_augmentation_grid(dataset, make_stream(config, dataset))
    assert picture.width > 8 * 84
    assert 5 < len(make_stream(config, dataset).pipeline.describe()) < 90


def test_every_file_of_augmentation_makes_a_picture() -> None:
    folder = Path(__file__).resolve().parents[2] / "conf" / "augmentation"
    for file in sorted(folder.glob("*.yaml")):
        config = compose_job([f"augmentation={file.stem}"]).config
        dataset = load_dataset(config)
        assert draw_augmentation_grid(dataset, make_stream(config, dataset)).height > 5 * 84
