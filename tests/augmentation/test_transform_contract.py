"""The contract that every transform in TRANSFORMS_BY_STEP keeps, new ones included."""

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
    apply_torchvision,
    drawn_for_image,
    field_names,
    kind_of,
    make_transform,
    random_images,
)
from torch import Tensor
from torch.testing import assert_close

import regexp.augmentation
from regexp.augmentation.pipeline import TRANSFORMS_BY_STEP, Pipeline
from regexp.config.compose import compose_job
from regexp.config.schemas.augmentation import STEPS, STEPS_BY_TARGET
from regexp.data.dataset import Images
from regexp.execution.builders import load_dataset
from regexp.execution.building.stream_builders import make_stream
from regexp.execution.images import draw_augmentation_grid
from regexp.training.batches import draw_epoch
from regexp.training.streams import ImageStream

KINDS = pytest.mark.parametrize("kind", TRANSFORMS_BY_STEP)
SHAPES = pytest.mark.parametrize("shape", [(1, 28, 28), (3, 28, 28), (1, 8, 8), (3, 8, 8), (3, 10, 14)], ids=str)
DTYPES = pytest.mark.parametrize("dtype", [torch.float32, torch.float64], ids=str)


def test_schema_transforms_targets_and_test_tables_have_the_same_entries() -> None:
    assert list(TRANSFORMS_BY_STEP) == list(STEPS)
    assert {transform.__name__: kind for kind, transform in TRANSFORMS_BY_STEP.items()} == STEPS_BY_TARGET
    for name, kind in STEPS_BY_TARGET.items():
        assert getattr(regexp.augmentation, name) is TRANSFORMS_BY_STEP[kind]
    assert set(STRONG_ARGUMENTS) == set(NEUTRAL_ARGUMENTS) == set(ORACLES) == set(TRANSFORMS_BY_STEP)


@KINDS
def test_a_transform_has_the_fields_and_defaults_of_its_schema(kind: str) -> None:
    schema = STEPS[kind]()
    assert field_names(kind) == [field.name for field in fields(STEPS[kind])]
    for field in fields(TRANSFORMS_BY_STEP[kind]):
        schema_default = getattr(schema, field.name)
        if field.default is not MISSING and (kind, field.name) != ("rotate", "interpolation"):
            assert field.default == (tuple(schema_default) if isinstance(schema_default, list) else schema_default)


@KINDS
@SHAPES
@DTYPES
def test_a_transform_keeps_dtype_and_range_and_does_not_change_its_input(
    kind: str, shape: Sequence[int], dtype: torch.dtype
) -> None:
    images = random_images(shape).to(dtype)
    original = images.clone()
    step = make_transform(kind)
    result, _ = apply_steps([step], images)
    assert result.shape == (COUNT, shape[0], *step.output_size(*shape[1:]))
    assert result.dtype == dtype
    assert result.min() >= -1e-6
    assert result.max() <= 1 + 1e-6
    assert torch.equal(images, original)
    assert result.shape != images.shape or not torch.equal(result, images)


@KINDS
@SHAPES
def test_both_precisions_see_the_same_draws(kind: str, shape: Sequence[int]) -> None:
    images = random_images(shape)
    step = make_transform(kind, "bilinear")
    single, _ = apply_steps([step], images)
    double, _ = apply_steps([step], images.double())
    assert_close(single.double(), double, rtol=0, atol=1e-4)


@KINDS
@SHAPES
@pytest.mark.parametrize("mode", ["nearest", "bilinear"])
def test_the_result_is_that_of_torchvisions_functional_form(kind: str, shape: Sequence[int], mode: str) -> None:
    step, images = make_transform(kind, mode, None if kind == "erase" else 0.0), random_images(shape).double()
    result, (drawn,) = apply_steps([step], images)
    expected = torch.stack(
        [apply_torchvision(step, image, drawn_for_image(drawn, n)) for n, image in enumerate(images)]
    )
    difference = (result - expected).abs()
    if kind in ("trivial", "randaugment"):
        # A half is rounded up or down, and a later operation may enlarge the difference. See test_policies for each.
        assert (difference > 1e-6).double().mean() <= 0.02
    elif getattr(step, "interpolation", None) == "nearest":
        # On the border between two pixels rounding decides. Perspective moves corners by whole pixels, and so puts many
        # points there.
        assert (difference > 1e-6).double().mean() <= (0.02 if kind == "perspective" else 0.002)
    else:
        assert difference.max() < 2e-5


@KINDS
@SHAPES
@DTYPES
@pytest.mark.parametrize("mode", ["nearest", "bilinear"])
def test_neutral_arguments_change_nothing(kind: str, shape: Sequence[int], dtype: torch.dtype, mode: str) -> None:
    images = random_images(shape).to(dtype)
    options = {"interpolation": mode} if "interpolation" in field_names(kind) else {}
    result, _ = apply_steps([TRANSFORMS_BY_STEP[kind](**NEUTRAL_ARGUMENTS[kind], **options)], images)
    assert_close(result, images, rtol=0, atol=1e-5 if options.get("interpolation") == "bilinear" else 1e-7)


def repeated_image(count: int) -> Tensor:
    return random_images((1, 28, 28), 1).expand(count, -1, -1, -1)


@KINDS
def test_draws_differ_by_image_epoch_seed_and_purpose_and_are_reproducible(kind: str) -> None:
    pipeline, images = Pipeline([make_transform(kind)], 28, 28), repeated_image(20)
    first, repeated, other_epoch, other_seed, other_purpose = (
        pipeline(images, pipeline.draw(20, *arguments))
        for arguments in ((SEED, 1), (SEED, 1), (SEED, 2), (SEED + 1, 1), (SEED, 1, "preview"))
    )
    num_distinct = len(first.flatten(1).unique(dim=0))
    assert num_distinct == 2 if kind == "flip" else num_distinct > 10
    assert torch.equal(first, repeated)
    for other in (other_epoch, other_seed, other_purpose):
        assert not torch.equal(first, other)


@KINDS
def test_two_steps_of_one_kind_draw_differently(kind: str) -> None:
    images, step = repeated_image(40), make_transform(kind)
    both = Pipeline([step, step], 28, 28)
    result = both(images, both.draw(40, SEED, EPOCH))
    # The step applied twice with the draws of the first gives another result.
    first = Pipeline([step], 28, 28)
    second = Pipeline([step], *first.output_size)
    applied_once = first(images, first.draw(40, SEED, EPOCH))
    assert not torch.equal(result, second(applied_once, second.draw(40, SEED, EPOCH)))


@KINDS
def test_a_streams_draws_do_not_depend_on_other_streams(kind: str) -> None:
    train = Images((repeated_image(300) * 255).byte(), torch.zeros(300).long())
    # All pipelines give images of one size, as those of a cohort do.
    stream = ImageStream(3, Pipeline([make_transform(kind)], 28, 28))
    other_seed = ImageStream(5, stream.pipeline)
    other_pipeline = ImageStream(4, Pipeline([make_transform(kind), make_transform("noise")], 28, 28))
    alone, together = (
        list(draw_epoch(train, dict(enumerate(streams)), 100, 1, torch.float32).batches([1] * len(streams)))
        for streams in ([stream], [other_pipeline, stream, other_seed])
    )
    for batch_alone, batch_together in zip(alone, together, strict=True):
        assert torch.equal(batch_alone.images[0], batch_together.images[1])
        assert not torch.equal(batch_alone.images[0], batch_together.images[2])


@KINDS
def test_adding_a_step_of_another_kind_changes_no_draw_for_pixels(kind: str) -> None:
    """Comparisons with and without the added step stay paired."""
    for step in (make_transform("noise"), make_transform("elastic")):
        if kind_of(step) == kind:
            continue
        without, after, before = (
            Pipeline(steps, 28, 28).draw(4, SEED, EPOCH)
            for steps in ([step], [step, make_transform(kind)], [make_transform(kind), step])
        )
        index_before = len(before.tables) - 1  # geometric neighbours are one operation
        for draws, i in ((after, 0), (before, index_before)):
            size = min(len(draws.tables[i]), len(without.tables[0]))  # a crop leaves fewer pixels
            assert torch.equal(draws.parameters[i]["keys"], without.parameters[0]["keys"])
            assert torch.equal(draws.tables[i][:size], without.tables[0][:size])


@KINDS
def test_every_kind_can_be_composed_previewed_and_described(kind: str) -> None:
    config = compose_job([f"+augmentation.{kind}={{}}"]).config
    dataset = load_dataset(config)
    picture = draw_augmentation_grid(dataset, make_stream(config, dataset))
    assert picture.width > 8 * 84
    assert 5 < len(make_stream(config, dataset).pipeline.describe()) < 90


def test_every_augmentation_option_can_be_previewed() -> None:
    directory = Path(__file__).resolve().parents[2] / "conf" / "augmentation"
    for file in sorted(directory.glob("*.yaml")):
        config = compose_job([f"augmentation={file.stem}"]).config
        dataset = load_dataset(config)
        assert draw_augmentation_grid(dataset, make_stream(config, dataset)).height > 5 * 84
