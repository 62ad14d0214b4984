"""Image streams: the order of their images, and their augmentation.

Runs with the same augmentation and seed share a stream: its images are made once, and comparisons between the runs are
paired.
"""

from collections.abc import Collection, Mapping, Sequence
from dataclasses import dataclass
from itertools import groupby
from typing import Self

import torch
from torch import Tensor

from regexp.augmentation.pipeline import Draws, Pipeline
from regexp.data.dataset import Images, scale
from regexp.utils.device import move_together
from regexp.utils.rng import random_stream


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
class StreamGroup:
    """Image streams that differ in their seed only, with their draws for an epoch: their images are made together.

    Attributes:
        keys: [S], the keys of the streams.
        pipeline: their augmentation.
        labels: [N], on the device, to train on instead of the data set's own; None for those.
        orders: [S, N], the numbers of the images in the order in which each stream shows them, int32.
        draws: the draws for the images in these orders; parameters are [S, N, ...].
    """

    keys: list[str]
    pipeline: Pipeline
    labels: Tensor | None
    orders: Tensor
    draws: Draws

    def make_images(self, train: Images, shown: slice, dtype: torch.dtype) -> tuple[Tensor, Tensor]:
        """Make some of the epoch's images.

        Args:
            train: the N training images, on the device.
            shown: which of the images to make, as a slice of the orders.
            dtype: the type of the images.

        Returns:
            Augmented images [S, n, C, H, W] in [0, 1], and their labels [S, n].
        """
        indices = self.orders[:, shown].flatten()
        parameters = [
            {name: values[:, shown].flatten(0, 1) for name, values in operation.items()}
            for operation in self.draws.parameters
        ]
        pixels = scale(train.images.index_select(0, indices), dtype)  # [S * n, C, H, W]
        images = self.pipeline(pixels, Draws(parameters, self.draws.tables))
        labels = train.labels if self.labels is None else self.labels
        return images.unflatten(0, (len(self.keys), -1)), labels.index_select(0, indices).view(len(self.keys), -1)

    def tensors(self) -> list[Tensor]:
        """Return the orders, and the parameters and tables of the draws."""
        parameters = [values for operation in self.draws.parameters for values in operation.values()]
        return [self.orders, *parameters, *self.draws.tables]

    def keep_streams(self, keys: Collection[str]) -> Self:
        """Return the group without the streams whose keys are not among these."""
        rows = [i for i, key in enumerate(self.keys) if key in keys]
        if len(rows) == len(self.keys):
            return self
        [index] = move_together([torch.tensor(rows)], self.orders.device)
        parameters = [
            {name: values.index_select(0, index) for name, values in operation.items()}
            for operation in self.draws.parameters
        ]
        draws = Draws(parameters, self.draws.tables)
        kept_keys = [self.keys[row] for row in rows]
        return type(self)(kept_keys, self.pipeline, self.labels, self.orders.index_select(0, index), draws)


def draw_streams(
    streams: Mapping[str, ImageStream], count: int, epoch: int, device: torch.device, streams_at_once: int
) -> list[StreamGroup]:
    """Draw the orders and augmentation of image streams for an epoch, on the CPU, and copy them to the device at once.

    Args:
        streams: the image streams by key, those with equal augmentation and labels side by side.
        count: the number of images, N.
        epoch: the number of the epoch, counted from 1.
        device: the device of the images.
        streams_at_once: the largest number of streams in a group.
    """
    groups = []
    for _, group in groupby(streams.items(), lambda item: (item[1].pipeline.transforms, id(item[1].labels))):
        members = list(group)
        for start in range(0, len(members), streams_at_once):
            groups.append(_draw_group(dict(members[start : start + streams_at_once]), count, epoch))
    return _move_groups(groups, device)


def _draw_group(streams: Mapping[str, ImageStream], count: int, epoch: int) -> StreamGroup:
    """Return the draws of streams that differ in their seed only, on the CPU."""
    orders = [
        torch.randperm(count, generator=random_stream(stream.seed, "order", epoch), dtype=torch.int32)
        for stream in streams.values()
    ]
    draws = [stream.pipeline.draw(count, stream.seed, epoch) for stream in streams.values()]
    parameters = [
        {name: torch.stack([values[name] for values in operation]) for name in operation[0]}
        for operation in zip(*(stream_draws.parameters for stream_draws in draws), strict=True)
    ]
    first_stream = next(iter(streams.values()))
    stacked_draws = Draws(parameters, draws[0].tables)  # all seeds share the tables
    return StreamGroup(list(streams), first_stream.pipeline, first_stream.labels, torch.stack(orders), stacked_draws)


def _move_groups(groups: Sequence[StreamGroup], device: torch.device) -> list[StreamGroup]:
    """Return groups of streams with their draws on the device, copied in one transfer."""
    tensors = []
    for group in groups:
        tensors += group.tensors()
    moved = iter(move_together(tensors, device))
    moved_groups = []
    for group in groups:
        orders = next(moved)
        parameters = [{name: next(moved) for name in operation} for operation in group.draws.parameters]
        tables = [next(moved) for _ in group.draws.tables]
        moved_groups.append(StreamGroup(group.keys, group.pipeline, group.labels, orders, Draws(parameters, tables)))
    return moved_groups
