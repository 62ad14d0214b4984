"""Batches of image streams: the order of the images, and their augmentation.

Runs with the same augmentation and seed share a stream: its images are made once, and comparisons between the runs are
paired.
"""

from collections.abc import Iterator, Sequence
from dataclasses import dataclass

import torch
from torch import Tensor

from regexp.augmentation.pipeline import Pipeline
from regexp.data.dataset import Images, scale
from regexp.utils.rng import random_stream

# Images augmented at a time, in whole batches. The number is fixed, because the draws must not depend on the cohort; so
# many images fit a processor's cache and keep a GPU busy.
IMAGES_AT_ONCE = 512


@dataclass(frozen=True)
class ImageStream:
    """A seed and the augmentation that it draws for.

    Attributes:
        seed: of the order and of the augmentation draws.
        pipeline: the augmentation.
        labels: [N], on the device, to train on instead of the data set's own; None for those.
    """

    seed: int
    pipeline: Pipeline
    labels: Tensor | None = None


@dataclass(frozen=True)
class Batch:
    """Images and labels of one step.

    Attributes:
        images: [S, B, C, H, W] in [0, 1], a slice for each image stream.
        labels: [K, B], a row for each run.
        other_labels: [K, B], of the second image where each image is mixed of two; None where none is.
        label_weights: [K, B], how much `labels` count against `other_labels`, in [0, 1]; None where no image is mixed.
    """

    images: Tensor
    labels: Tensor
    other_labels: Tensor | None = None
    label_weights: Tensor | None = None

    def __len__(self) -> int:
        """Return B, the number of images."""
        return self.labels.shape[1]


def batch_sizes(count: int, batch_size: int) -> list[int]:
    """Return the sizes of the batches that hold `count` images once.

    A last batch of a single image joins the one before, because BatchNorm refuses it.
    """
    full, rest = divmod(count, batch_size)
    sizes = [batch_size] * full + [rest] * (rest > 0)
    return sizes if rest != 1 or full == 0 else [*sizes[:-2], batch_size + 1]


def batches(
    train: Images,
    streams: Sequence[ImageStream],
    runs_per_stream: Sequence[int],
    batch_size: int,
    epoch: int,
    dtype: torch.dtype,
) -> Iterator[Batch]:
    """Yield the batches of an epoch. The images of a batch are overwritten by later ones: use them before the next.

    Args:
        train: the training images, on the device.
        streams: S streams.
        runs_per_stream: [S], the number of consecutive runs that read each stream.
        batch_size: B.
        epoch: counted from 1.
        dtype: of the images.

    Yields:
        Batches of B images, the last one of fewer or of one more.
    """
    device, count = train.labels.device, len(train)
    # Drawn on the CPU and moved once: draws do not depend on the device, and steps do not wait for it.
    orders = [torch.randperm(count, generator=random_stream(s.seed, "order", epoch)).to(device) for s in streams]
    draws = [s.pipeline.draw(count, s.seed, epoch, device) for s in streams]
    stream_labels = [train.labels if s.labels is None else s.labels for s in streams]
    stream_of_run = torch.repeat_interleave(torch.arange(len(streams)), torch.tensor(runs_per_stream)).to(device)  # [K]
    sizes, start = batch_sizes(count, batch_size), 0
    batches_at_once = max(1, IMAGES_AT_ONCE // batch_size)
    chunks = [sizes[first : first + batches_at_once] for first in range(0, len(sizes), batches_at_once)]
    buffer = torch.empty(0)
    for chunk_sizes in chunks:
        chunk = slice(start, start + sum(chunk_sizes))
        start = chunk.stop
        for i, (s, order, stream_draws) in enumerate(zip(streams, orders, draws, strict=True)):
            pixels = scale(train.images.index_select(0, order[chunk]), dtype)
            augmented = s.pipeline(pixels, stream_draws[chunk])  # [chunk, C, H, W]
            if len(streams) > 1:
                if buffer.numel() == 0:
                    # Tens of MB: allocating them anew for every chunk takes longer than filling them.
                    buffer = augmented.new_empty(len(streams), max(map(sum, chunks)), *augmented.shape[1:])
                buffer[i, : len(augmented)].copy_(augmented)
        images = buffer[:, : len(augmented)] if len(streams) > 1 else augmented.unsqueeze(0)  # [S, chunk, C, H, W]
        chunk_labels = [
            labels.index_select(0, order[chunk]) for labels, order in zip(stream_labels, orders, strict=True)
        ]
        labels = torch.stack(chunk_labels).index_select(0, stream_of_run)  # [S, chunk] -> [K, chunk]
        yield from map(Batch, images.split(chunk_sizes, 1), labels.split(chunk_sizes, 1))
