"""Image streams: which images a run sees, in which order, with which augmentation."""

from collections.abc import Sequence

import pytest
import torch
from torch import Tensor

from regexp.augmentation import RandomHorizontalFlip, RandomRotation
from regexp.augmentation.pipeline import Pipeline
from regexp.data.dataset import Images, scale
from regexp.training.batches import BYTES_AT_ONCE, Batch, draw_epoch
from regexp.training.streams import ImageStream
from regexp.utils.counts import batch_sizes

IMAGE_COUNT = 1203
PLAIN = Pipeline([], 2, 2)
ROTATED = Pipeline([RandomRotation(30.0, "bilinear"), RandomHorizontalFlip()], 2, 2)


def numbered_images(count: int = IMAGE_COUNT) -> Images:
    """Return images that hold their own index as a number; the label is a function of it."""
    number = torch.arange(count)
    pixels = torch.stack([number % 256, number // 256], 1).to(torch.uint8).view(-1, 2, 1, 1).expand(-1, -1, 2, 2)
    return Images(pixels.clone(), number % 7)


def read_numbers(images: Tensor) -> Tensor:
    """Return the numbers that `numbered_images`, [..., C, H, W], hold."""
    low, high = (images[..., 0, 0] * 255).round().long().unbind(-1)
    return low + 256 * high


def epoch_batches(
    streams: Sequence[ImageStream], runs_per_stream: Sequence[int], batch_size: int = 100, epoch: int = 1
) -> list[Batch]:
    named_streams = {str(s): stream for s, stream in enumerate(streams)}
    images = draw_epoch(numbered_images(), named_streams, batch_size, epoch, torch.float64)
    reused = images.batches(runs_per_stream)
    return [Batch(batch.images.clone(), batch.labels) for batch in reused]  # batches share one buffer


def image_order(seed: int, batch_size: int = 100, epoch: int = 1) -> list[int]:
    shown = epoch_batches([ImageStream(seed, PLAIN)], [1], batch_size, epoch)
    return [number for batch in shown for number in read_numbers(batch.images)[0].tolist()]


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
def test_batches_hold_every_image_once_and_the_last_batch_is_not_a_single_image(
    count: int, batch_size: int, sizes: list[int]
) -> None:
    assert batch_sizes(count, batch_size) == sizes


# IMAGES_AT_ONCE images are augmented together: batches that divide it, that do not, and that are larger than it.
@pytest.mark.parametrize("batch_size", [1, 64, 100, 300, 601, 1000, 5000])
@pytest.mark.parametrize("pipeline", [PLAIN, ROTATED], ids=["plain", "rotated"])
def test_an_epoch_shows_every_image_once_to_every_stream(batch_size: int, pipeline: Pipeline) -> None:
    shown = epoch_batches([ImageStream(3, PLAIN), ImageStream(4, pipeline)], [1, 2], batch_size)
    assert [len(batch.labels[0]) for batch in shown] == batch_sizes(IMAGE_COUNT, batch_size)
    images, labels = torch.cat([batch.images for batch in shown], 1), torch.cat([batch.labels for batch in shown], 1)
    assert images.shape == (2, IMAGE_COUNT, 2, 2, 2)
    assert images.dtype == torch.float64
    shown_numbers = read_numbers(images[0])
    assert shown_numbers.sort().values.tolist() == list(range(IMAGE_COUNT))
    assert torch.equal(labels[0], shown_numbers % 7)
    assert torch.bincount(labels[1]).tolist() == torch.bincount(shown_numbers % 7).tolist()


def test_images_match_labels_in_every_stream_and_run() -> None:
    for batch in epoch_batches([ImageStream(seed, PLAIN) for seed in (3, 4, 5)], [2, 1, 3]):
        expected = read_numbers(batch.images) % 7
        assert torch.equal(batch.labels, expected[[0, 0, 1, 2, 2, 2]])


def test_every_epoch_of_every_seed_has_a_different_order() -> None:
    orders = [image_order(seed, epoch=epoch) for seed in (3, 4) for epoch in (1, 2)]
    assert len({tuple(order) for order in orders}) == 4
    assert image_order(3, epoch=2) == orders[1]


def test_the_order_does_not_depend_on_the_batch_size() -> None:
    assert image_order(3, 100) == image_order(3, 300)


@pytest.mark.parametrize("batch_size", [100, 300, 1000])
@pytest.mark.parametrize("bytes_at_once", [0, 2 * 1000 * 64, 2**28], ids=["one by one", "two at a time", "together"])
def test_a_stream_has_the_same_bits_alone_and_beside_other_streams(
    batch_size: int, bytes_at_once: int, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setitem(BYTES_AT_ONCE, "cpu", bytes_at_once)
    noisy_labels = numbered_images().labels.flip(0)
    streams = [
        ImageStream(3, ROTATED),
        ImageStream(4, PLAIN),
        *(ImageStream(seed, Pipeline(ROTATED.transforms, 2, 2)) for seed in (5, 6, 7)),
        ImageStream(3, ROTATED, noisy_labels),
    ]
    side_by_side = epoch_batches(streams, [1, 2, 1, 1, 1, 1], batch_size)
    for s, run in ((0, 0), (1, 1), (2, 3), (3, 4), (4, 5), (5, 6)):
        alone = epoch_batches(streams[s : s + 1], [1], batch_size)
        for batch, batch_alone in zip(side_by_side, alone, strict=True):
            assert torch.equal(batch.images[s], batch_alone.images[0])
            assert torch.equal(batch.labels[run], batch_alone.labels[0])


@pytest.mark.parametrize("bytes_at_once", [0, 2**28], ids=["one by one", "together"])
def test_streams_that_stay_keep_their_images_when_others_leave(
    bytes_at_once: int, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setitem(BYTES_AT_ONCE, "cpu", bytes_at_once)
    streams = {key: ImageStream(seed, ROTATED) for seed, key in enumerate("abcd")}
    images = draw_epoch(numbered_images(), streams, 100, 1, torch.float64)
    expected = [batch.images[[1, 3]].clone() for batch in images.batches([1, 1, 1, 1])]
    kept = images.keep_streams(["b", "d"])
    assert all(map(torch.equal, (batch.images for batch in kept.batches([1, 1])), expected))


def test_augmentation_does_not_change_the_order() -> None:
    plain, rotated = (epoch_batches([ImageStream(3, pipeline)], [1]) for pipeline in (PLAIN, ROTATED))
    for plain_batch, rotated_batch in zip(plain, rotated, strict=True):
        assert torch.equal(plain_batch.labels, rotated_batch.labels)
        assert not torch.equal(plain_batch.images, rotated_batch.images)


def test_augmentation_is_drawn_anew_every_epoch_and_for_every_image(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("regexp.training.batches.IMAGES_AT_ONCE", 12)  # several chunks an epoch
    equal_images = Images(
        torch.randint(256, (1, 1, 8, 8), dtype=torch.uint8).expand(20, -1, -1, -1), torch.zeros(20).long()
    )
    pipeline = Pipeline([RandomRotation(90.0, "bilinear")], 8, 8)
    shown = [
        image.numpy().tobytes()
        for epoch in (1, 2)
        for batch in draw_epoch(equal_images, {"": ImageStream(3, pipeline)}, 6, epoch, torch.float32).batches([1])
        for image in batch.images[0]
    ]
    assert len(set(shown)) == 40


def test_images_are_scaled_as_torchvision_scales_them() -> None:
    images = numbered_images(5).images
    assert torch.equal(scale(images, torch.float64), images.double() / 255)
    assert images.dtype == torch.uint8
