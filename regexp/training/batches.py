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
    """An image stream: the seed and the augmentation that decide which images a run sees, in which order.

    Attributes:
        seed: the seed of the order and of the augmentation draws.
        pipeline: the augmentation.
        labels: [N], on the device, to train on instead of the data set's own; None for those.
    """

    seed: int
    pipeline: Pipeline
    labels: Tensor | None = None


@dataclass(frozen=True)
class Batch:
    """The images and labels of one optimizer step.

    Attributes:
        images: [S, B, C, H, W] in [0, 1], a slice for each image stream.
        labels: [K, B], a row for each run.
        other_labels: [K, B], the labels of the second image where each image is a mixture of two; None without mixing.
        label_weights: [K, B], the weight of `labels` against `other_labels`, in [0, 1]; None without mixing.
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
    full_batches, rest = divmod(count, batch_size)
    sizes = [batch_size] * full_batches
    if rest == 1 and sizes:
        sizes[-1] += 1
    elif rest > 0:
        sizes.append(rest)
    return sizes


def batches(
    train: Images,
    streams: Sequence[ImageStream],
    runs_per_stream: Sequence[int],
    batch_size: int,
    epoch: int,
    dtype: torch.dtype,
) -> Iterator[Batch]:
    """Yield the batches of an epoch.

    The images of a batch are overwritten by those of later batches, so they must be used before the next is asked for.

    Args:
        train: the training images, on the device.
        streams: the S image streams.
        runs_per_stream: [S], the number of consecutive runs that read each stream.
        batch_size: the number of images in a batch, B.
        epoch: the number of the epoch, counted from 1.
        dtype: the type of the images in the batches.

    Yields:
        Batches of B images, the last one of fewer or of one more.
    """
    device = train.labels.device
    count = len(train)
    # Drawn on the CPU and moved once: draws do not depend on the device, and steps do not wait for it.
    orders = [
        torch.randperm(count, generator=random_stream(stream.seed, "order", epoch)).to(device) for stream in streams
    ]
    draws = [stream.pipeline.draw(count, stream.seed, epoch).to(device) for stream in streams]
    stream_labels = [train.labels if stream.labels is None else stream.labels for stream in streams]
    stream_of_run = torch.repeat_interleave(torch.arange(len(streams)), torch.tensor(runs_per_stream)).to(device)  # [K]
    sizes = batch_sizes(count, batch_size)
    batches_at_once = max(1, IMAGES_AT_ONCE // batch_size)
    chunks = [sizes[first : first + batches_at_once] for first in range(0, len(sizes), batches_at_once)]
    buffer = torch.empty(0)
    start = 0
    for chunk_sizes in chunks:
        chunk = slice(start, start + sum(chunk_sizes))
        start = chunk.stop
        for i, (stream, order, stream_draws) in enumerate(zip(streams, orders, draws, strict=True)):
            pixels = scale(train.images.index_select(0, order[chunk]), dtype)
            augmented = stream.pipeline(pixels, stream_draws[chunk])  # [chunk, C, H, W]
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
