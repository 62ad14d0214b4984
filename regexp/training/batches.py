"""Batches: the images and labels of each optimizer step."""

from collections.abc import Collection, Iterator, Mapping, Sequence
from dataclasses import dataclass, replace
from math import prod
from typing import Self

import torch
from torch import Tensor

from regexp.data.dataset import Images
from regexp.models.stacking import slice_of_run
from regexp.training.streams import ImageStream, StreamGroup, draw_streams
from regexp.utils.counts import batch_sizes

# Images of a stream augmented at a time, in whole batches: so many fit a processor's cache and keep a GPU busy.
IMAGES_AT_ONCE = 512
# The images of so many streams are made at a time as fit in this many bytes. A CPU makes those of one, for its cache.
BYTES_AT_ONCE = {"cpu": 0, "cuda": 2**28, "mps": 2**28}


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


@dataclass(frozen=True)
class EpochImages:
    """The images of an epoch, in the orders and with the augmentation that their streams have drawn.

    Attributes:
        train: the N training images, on the device.
        groups: the S image streams in groups, with their draws.
        chunks: the sizes of the batches, by chunks whose images are made at a time.
        dtype: the type of the images in the batches.
    """

    train: Images
    groups: Sequence[StreamGroup]
    chunks: Sequence[Sequence[int]]
    dtype: torch.dtype

    def batches(self, runs_per_stream: Sequence[int]) -> Iterator[Batch]:
        """Yield the batches of the epoch.

        The images of a batch are overwritten by those of later batches, so they must be used before the next is asked
        for.

        Args:
            runs_per_stream: [S], the number of consecutive runs that read each stream.

        Yields:
            Batches of B images, the last one of fewer or of one more.
        """
        stream_of_run = slice_of_run(tuple(runs_per_stream), self.train.labels.device)  # [K]
        has_mixing = any(group.mixing is not None for group in self.groups)
        buffer = torch.empty(0)
        start = num_batches = 0
        for sizes in self.chunks:
            chunk = slice(start, start + sum(sizes))
            start, first_stream = chunk.stop, 0
            chunk_labels, other_labels, label_weights = [], [], []
            for group in self.groups:
                # [streams of the group, chunk, C, H, W] and [streams of the group, chunk]
                images, labels = group.make_images(self.train, chunk, self.dtype)
                chunk_labels.append(labels)
                if has_mixing:
                    others, weights = self._mix_chunk(group, images, labels, sizes, num_batches)
                    other_labels.append(others)
                    label_weights.append(weights)
                if len(self.groups) > 1:
                    if buffer.numel() == 0:
                        # Tens of MB: allocating them anew for every chunk takes longer than filling them.
                        max_images = max(map(sum, self.chunks))
                        buffer = images.new_empty(len(runs_per_stream), max_images, *images.shape[2:])
                    buffer[first_stream : first_stream + len(images), : images.shape[1]].copy_(images)
                    first_stream += len(images)
            if len(self.groups) > 1:
                images = buffer[:, : sum(sizes)]  # [S, chunk, C, H, W]
            num_batches += len(sizes)
            columns = [chunk_labels, other_labels, label_weights] if has_mixing else [chunk_labels]
            # [S, chunk] -> [K, chunk] -> batches
            rows = [torch.cat(column).index_select(0, stream_of_run).split(list(sizes), 1) for column in columns]
            yield from map(Batch, images.split(list(sizes), 1), *rows)

    def _mix_chunk(
        self, group: StreamGroup, images: Tensor, labels: Tensor, sizes: Sequence[int], first_batch: int
    ) -> tuple[Tensor, Tensor]:
        """Mix the images of each batch of a chunk, in place.

        Args:
            group: the streams of the chunk.
            images: [S, chunk, ...].
            labels: [S, chunk].
            sizes: the sizes of the batches.
            first_batch: the number of the first batch in the epoch, counted from 0.

        Returns:
            The labels of the images that these were mixed with, and the weight of `labels` against them, [S, chunk].
        """
        batches = zip(images.split(list(sizes), 1), labels.split(list(sizes), 1), strict=True)
        mixed = [group.mix_batch(*batch, first_batch + i) for i, batch in enumerate(batches)]
        others, weights = zip(*mixed, strict=True)
        return torch.cat(others, 1), torch.cat(weights, 1)

    def keep_streams(self, keys: Collection[str]) -> Self:
        """Return the same images without the streams whose keys are not among these."""
        groups = [group.keep_streams(keys) for group in self.groups if not set(keys).isdisjoint(group.keys)]
        return replace(self, groups=groups)

    def copy_draws(self, images: "EpochImages") -> None:
        """Overwrite orders and draws by those of another epoch, of the same streams."""
        for group, source_group in zip(self.groups, images.groups, strict=True):
            for tensor, source in zip(group.tensors(), source_group.tensors(), strict=True):
                tensor.copy_(source)


def draw_epoch(
    train: Images, streams: Mapping[str, ImageStream], batch_size: int, epoch: int, dtype: torch.dtype
) -> EpochImages:
    """Draw orders and augmentation of an epoch.

    Args:
        train: the training images, on the device.
        streams: the S image streams by key, those with equal augmentation, labels and kind of mixing side by side.
        batch_size: the number of images in a batch.
        epoch: the number of the epoch, counted from 1.
        dtype: the type of the images in the batches.
    """
    device, sizes = train.labels.device, batch_sizes(len(train), batch_size)
    batches_at_once = max(1, IMAGES_AT_ONCE // batch_size)
    chunks = [sizes[first : first + batches_at_once] for first in range(0, len(sizes), batches_at_once)]
    stream_bytes = max(map(sum, chunks)) * prod(train.images.shape[1:]) * dtype.itemsize
    streams_at_once = max(1, BYTES_AT_ONCE[device.type] // stream_bytes)
    groups = draw_streams(streams, len(train), len(sizes), epoch, device, streams_at_once)
    return EpochImages(train, groups, chunks, dtype)
