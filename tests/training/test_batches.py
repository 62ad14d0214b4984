"""Image streams: which images a run sees, in which order, with which augmentation."""

from collections.abc import Sequence

import pytest
import torch
from torch import Tensor

from regexp.augmentation import RandomHorizontalFlip, RandomRotation
from regexp.augmentation.pipeline import Pipeline
from regexp.data.dataset import Images, scale
from regexp.training.batches import Batch, ImageStream, batch_sizes, batches

COUNT = 1203
PLAIN = Pipeline([], 2, 2)
ROTATED = Pipeline([RandomRotation(30.0, "bilinear"), RandomHorizontalFlip()], 2, 2)


def numbered(count: int = COUNT) -> Images:
    """Each image holds its own number, and the label is a function of it."""
    number = torch.arange(count)
    pixels = torch.stack([number % 256, number // 256], 1).to(torch.uint8).view(-1, 2, 1, 1).expand(-1, -1, 2, 2)
    return Images(pixels.clone(), number % 7)


def numbers(images: Tensor) -> Tensor:
    """What `numbered` images [..., C, H, W] hold."""
    low, high = (images[..., 0, 0] * 255).round().long().unbind(-1)
    return low + 256 * high


def epoch(streams: Sequence[ImageStream], sharing: Sequence[int], batch_size: int = 100, epoch: int = 1) -> list[Batch]:
    made = batches(numbered(), streams, sharing, batch_size, epoch, torch.float64)
    return [Batch(batch.images.clone(), batch.labels) for batch in made]  # whose room is used again


def order(seed: int, batch_size: int = 100, of_epoch: int = 1) -> list[int]:
    seen = epoch([ImageStream(seed, PLAIN)], [1], batch_size, of_epoch)
    return [number for batch in seen for number in numbers(batch.images)[0].tolist()]


@pytest.mark.parametrize(
    ("count", "batch_size", "sizes"),
    [
        (10, 5, [5, 5]),
        (12, 5, [5, 5, 2]),
        (11, 5, [5, 6]),  # BatchNorm refuses a single image
        (6, 5, [6]),
        (3, 5, [3]),
        (5, 5, [5]),
        (1, 5, [1]),
        (1, 1, [1]),
        (3, 1, [1, 1, 1]),
        (3, 2, [3]),
    ],
)
def test_batches_hold_every_image_once_and_the_last_is_not_a_single_one(
    count: int, batch_size: int, sizes: list[int]
) -> None:
    assert batch_sizes(count, batch_size) == sizes


# IMAGES_AT_ONCE images are augmented together: batches that divide it, that do not, and that are larger than it.
@pytest.mark.parametrize("batch_size", [1, 64, 100, 300, 601, 1000, 5000])
@pytest.mark.parametrize("pipeline", [PLAIN, ROTATED], ids=["plain", "rotated"])
def test_an_epoch_shows_every_image_once_to_every_stream(batch_size: int, pipeline: Pipeline) -> None:
    seen = epoch([ImageStream(3, PLAIN), ImageStream(4, pipeline)], [1, 2], batch_size)
    assert [len(batch.labels[0]) for batch in seen] == batch_sizes(COUNT, batch_size)
    shown, labels = torch.cat([batch.images for batch in seen], 1), torch.cat([batch.labels for batch in seen], 1)
    assert shown.shape == (2, COUNT, 2, 2, 2)
    assert shown.dtype == torch.float64
    found = numbers(shown[0])
    assert found.sort().values.tolist() == list(range(COUNT))
    assert torch.equal(labels[0], found % 7)
    assert torch.bincount(labels[1]).tolist() == torch.bincount(found % 7).tolist()


def test_images_match_labels_in_every_stream_and_row() -> None:
    for batch in epoch([ImageStream(seed, PLAIN) for seed in (3, 4, 5)], [2, 1, 3]):
        expected = numbers(batch.images) % 7
        assert torch.equal(batch.labels, expected[[0, 0, 1, 2, 2, 2]])


def test_every_epoch_and_every_seed_has_an_order_of_its_own() -> None:
    orders = [order(seed, of_epoch=epoch) for seed in (3, 4) for epoch in (1, 2)]
    assert len({tuple(each) for each in orders}) == 4
    assert order(3, of_epoch=2) == orders[1]


def test_the_order_does_not_depend_on_the_batch_size() -> None:
    assert order(3, 100) == order(3, 300)


@pytest.mark.parametrize("batch_size", [100, 300, 1000])
def test_a_streams_images_are_the_same_bits_alone_and_beside_another(batch_size: int) -> None:
    streams = [ImageStream(3, ROTATED), ImageStream(4, PLAIN), ImageStream(5, ROTATED)]
    together = epoch(streams, [1, 2, 1], batch_size)
    for s, run in ((0, 0), (1, 1), (2, 3)):
        alone = epoch(streams[s : s + 1], [1], batch_size)
        for batch, own in zip(together, alone, strict=True):
            assert torch.equal(batch.images[s], own.images[0])
            assert torch.equal(batch.labels[run], own.labels[0])


def test_augmentation_does_not_change_the_order() -> None:
    plain, rotated = (epoch([ImageStream(3, pipeline)], [1]) for pipeline in (PLAIN, ROTATED))
    for one, other in zip(plain, rotated, strict=True):
        assert torch.equal(one.labels, other.labels)
        assert not torch.equal(one.images, other.images)


def test_augmentation_is_drawn_anew_every_epoch_and_for_every_image(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("regexp.training.batches.IMAGES_AT_ONCE", 12)  # several times an epoch
    same = Images(torch.randint(256, (1, 1, 8, 8), dtype=torch.uint8).expand(20, -1, -1, -1), torch.zeros(20).long())
    pipeline = Pipeline([RandomRotation(90.0, "bilinear")], 8, 8)
    shown = [
        image.numpy().tobytes()
        for epoch in (1, 2)
        for batch in batches(same, [ImageStream(3, pipeline)], [1], 6, epoch, torch.float32)
        for image in batch.images[0]
    ]
    assert len(set(shown)) == 40


def test_images_are_scaled_as_torchvision_scales_them() -> None:
    images = numbered(5).images
    assert torch.equal(scale(images, torch.float64), images.double() / 255)
    assert images.dtype == torch.uint8
