"""Mixup and CutMix against torchvision's own with the same draws, their draws, and their pictures."""

from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any
from unittest.mock import patch

import numpy as np
import pytest
import torch
from scipy import stats
from torch import Generator, Tensor
from torch.testing import assert_close
from torchvision.transforms import v2

from regexp.augmentation.mixing import Cutmix, Mixing, Mixup, draw_weights
from regexp.augmentation.pipeline import Pipeline
from regexp.config.compose import compose_job
from regexp.config.schemas.mixing import MIXING_SCHEMAS
from regexp.data.dataset import Images
from regexp.execution.builders import load_dataset
from regexp.execution.building.stream_builders import make_stream
from regexp.execution.images import draw_augmentation_grid
from regexp.training.batches import BYTES_AT_ONCE, Batch, draw_epoch
from regexp.training.streams import ImageStream

SEED, EPOCH, BATCH_SIZE, CLASSES = 5, 3, 20, 7
COUNT = 131  # the last batch is a short one
KINDS = [name for name in MIXING_SCHEMAS if name != "none"]
CLASSES_BY_KIND: dict[str, type[Any]] = {"mixup": Mixup, "cutmix": Cutmix}
ORACLES: dict[str, type[Any]] = {"mixup": v2.MixUp, "cutmix": v2.CutMix}


def test_every_kind_has_an_oracle() -> None:
    assert set(ORACLES) == set(CLASSES_BY_KIND) == set(KINDS)


def make_images(*shape: int) -> Images:
    generator = Generator().manual_seed(1)
    return Images(
        torch.randint(256, (COUNT, *shape), generator=generator, dtype=torch.uint8),
        torch.randint(CLASSES, (COUNT,), generator=generator),
    )


def epoch_batches(train: Images, *streams: ImageStream) -> list[Batch]:
    """Return the batches of an epoch, one run a stream."""
    epoch = draw_epoch(train, {str(i): s for i, s in enumerate(streams)}, BATCH_SIZE, EPOCH, torch.float64)
    return [
        Batch(batch.images.clone(), batch.labels, batch.other_labels, batch.label_weights)
        for batch in epoch.batches([1] * len(streams))
    ]


@contextmanager
def draws_of_batch(stream: ImageStream, num_batches: int, batch: int) -> Iterator[None]:
    """Let torchvision draw what a stream has drawn for a batch."""
    assert stream.mixing is not None
    generator = Generator().manual_seed(SEED)
    weight = draw_weights(num_batches, stream.mixing.alpha, stream.mixing.probability, generator)[batch]
    height, width = stream.pipeline.output_size
    centre = [torch.randint(side, (num_batches,), generator=generator)[batch : batch + 1] for side in (width, height)]
    with (
        patch("torch.distributions.Beta.sample", return_value=weight),
        patch("torchvision.transforms.v2._augment.torch.randint", side_effect=centre),
    ):
        yield


@pytest.mark.parametrize("kind", KINDS)
@pytest.mark.parametrize("alpha", [0.2, 1.0, 8.0])
@pytest.mark.parametrize("shape", [(1, 8, 8), (3, 10, 15)], ids=str)
def test_batches_are_those_of_torchvision(
    kind: str, alpha: float, shape: tuple[int, ...], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("regexp.training.batches.IMAGES_AT_ONCE", 3 * BATCH_SIZE)  # several chunks, of several batches
    train, pipeline = make_images(*shape), Pipeline([], *shape[1:])
    stream = ImageStream(SEED, pipeline, mixing=CLASSES_BY_KIND[kind](alpha, 0.7))
    plain = epoch_batches(train, ImageStream(SEED, pipeline))
    with patch("regexp.training.streams.random_stream", wraps=seed_mixing):
        mixed = epoch_batches(train, stream)
    transform = ORACLES[kind](alpha=alpha, num_classes=CLASSES)
    weights = set()
    for i, (batch, plain_batch) in enumerate(zip(mixed, plain, strict=True)):
        with draws_of_batch(stream, len(plain), i):
            images, targets = transform(plain_batch.images[0], plain_batch.labels[0])
        assert_close(batch.images[0], images, rtol=0, atol=1e-6)  # weights are float32
        assert_close(soft_targets(batch), targets.double(), rtol=0, atol=1e-6)
        assert batch.label_weights is not None
        weights.add(batch.label_weights[0, 0].item())
    assert 1 in weights
    assert len(weights) > 2


def seed_mixing(seed: int, name: str, epoch: int = 0) -> Generator:
    """Return the stream of a purpose, that of mixing from a seed of these tests."""
    from regexp.utils.rng import random_stream

    return Generator().manual_seed(SEED) if name == "mixing" else random_stream(seed, name, epoch)


def soft_targets(batch: Batch) -> Tensor:
    """Return the probabilities of the classes, [B, classes], that the first run of a batch trains on."""
    assert batch.other_labels is not None
    assert batch.label_weights is not None
    labels, others = (torch.nn.functional.one_hot(each[0], CLASSES) for each in (batch.labels, batch.other_labels))
    weights = batch.label_weights[0].unsqueeze(1)
    return weights * labels + (1 - weights) * others


@pytest.mark.parametrize("alpha", [0.2, 1.0, 32.0])
def test_weights_have_the_beta_distribution(alpha: float) -> None:
    weights = draw_weights(20_000, alpha, 1.0, Generator().manual_seed(SEED)).numpy()
    assert stats.kstest(weights, "beta", (alpha, alpha)).pvalue > 1e-3


@pytest.mark.parametrize("probability", [0.0, 0.3, 1.0])
def test_batches_are_mixed_with_the_probability(probability: float) -> None:
    weights = draw_weights(5_000, 1.0, probability, Generator().manual_seed(SEED))
    assert float((weights < 1).double().mean()) == pytest.approx(probability, abs=0.03)
    assert bool((draw_weights(100, 0.0, probability, Generator()) == 1).all())


def test_weights_of_every_alpha_are_paired() -> None:
    """A larger weight stays a larger one, and the same batches are mixed: comparisons of alphas vary less."""
    few, many = (draw_weights(500, alpha, 0.8, Generator().manual_seed(SEED)) for alpha in (0.4, 4.0))
    assert torch.equal(few == 1, many == 1)
    mixed = few < 1
    assert stats.spearmanr(few[mixed], many[mixed]).statistic == pytest.approx(1)


@pytest.mark.parametrize("mixing", [Mixup(0.0), Mixup(1.0, 0.0), Cutmix(0.0), Cutmix(1.0, 0.0)], ids=str)
def test_what_mixes_nothing_changes_no_bit(mixing: Mixing) -> None:
    train, pipeline = make_images(1, 8, 8), Pipeline([], 8, 8)
    batches = epoch_batches(train, ImageStream(SEED, pipeline, mixing=mixing))
    for batch, plain in zip(batches, epoch_batches(train, ImageStream(SEED, pipeline)), strict=True):
        assert torch.equal(batch.images, plain.images)
        assert batch.label_weights is not None
        assert bool((batch.label_weights == 1).all())
        assert plain.other_labels is None


@pytest.mark.parametrize("bytes_at_once", [0, 2**28], ids=["one by one", "together"])
def test_each_stream_mixes_its_own_images_and_labels(bytes_at_once: int, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setitem(BYTES_AT_ONCE, "cpu", bytes_at_once)
    train, pipeline = make_images(1, 8, 8), Pipeline([], 8, 8)
    noisy_labels = train.labels.flip(0)
    streams = [
        ImageStream(1, pipeline),
        ImageStream(1, pipeline, mixing=Mixup(0.4)),
        ImageStream(2, pipeline, mixing=Mixup(1.0)),
        ImageStream(1, pipeline, mixing=Cutmix(1.0)),
        ImageStream(1, pipeline, noisy_labels, Mixup(0.4)),
    ]
    together = epoch_batches(train, *streams)
    for s, stream in enumerate(streams):
        for batch, alone in zip(together, epoch_batches(train, stream), strict=True):
            assert torch.equal(batch.images[s], alone.images[0])
            assert torch.equal(batch.labels[s], alone.labels[0])
            if stream.mixing is not None:
                assert_close(batch.other_labels[s], alone.other_labels[0])  # type: ignore[index]
                assert_close(batch.label_weights[s], alone.label_weights[0])  # type: ignore[index]
    assert not torch.equal(together[0].labels[1], together[0].labels[4])
    assert torch.equal(together[0].images[1], together[0].images[4])


@pytest.mark.parametrize("kind", KINDS)
def test_pictures_show_mixed_images(kind: str) -> None:
    configs = [compose_job([f"mixing={name}", "seed=2"]).config for name in ("none", kind)]
    dataset = load_dataset(configs[0])
    plain, mixed = (
        np.asarray(draw_augmentation_grid(dataset, make_stream(config, dataset)).convert("L")) for config in configs
    )
    changed_rows = (plain != mixed).any(1).nonzero()[0]
    assert plain.shape == mixed.shape
    assert changed_rows.min() > 24 + 84  # below the first row: the originals
