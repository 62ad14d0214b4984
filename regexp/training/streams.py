"""Image streams: the order of their images, and their augmentation.

Runs with the same augmentation and seed share a stream: its images are made once, and comparisons between the runs are
paired.
"""

from collections.abc import Collection, Mapping, Sequence
from dataclasses import dataclass, replace
from itertools import groupby
from typing import Any, Self

import torch
from torch import Tensor

from regexp.augmentation.mixing import Mixing
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
        mixing: how the images of a batch are mixed; None for not at all.
    """

    seed: int
    pipeline: Pipeline
    labels: Tensor | None = None
    mixing: Mixing | None = None

    def draw_mixing(self, num_batches: int, epoch: int, purpose: str = "mixing") -> dict[str, Tensor]:
        """Draw how the batches of an epoch are mixed, on the CPU.

        Args:
            num_batches: the number of batches.
            epoch: the number of the epoch; with the seed and the purpose it decides all draws.
            purpose: the name of the random stream.

        Returns:
            Each parameter by name, [batches, ...]; none without mixing.
        """
        if self.mixing is None:
            return {}
        return self.mixing.draw(num_batches, *self.pipeline.output_size, random_stream(self.seed, purpose, epoch))


@dataclass(frozen=True)
class StreamGroup:
    """Image streams that differ in little but their draws, with these for an epoch: their images are made together.

    Attributes:
        keys: [S], the keys of the streams.
        pipeline: their augmentation.
        labels: [N], on the device, to train on instead of the data set's own; None for those.
        orders: [S, N], the numbers of the images in the order in which each stream shows them, int32.
        draws: the draws for the images in these orders; parameters are [S, N, ...].
        mixing: how the images of a batch are mixed, whatever its parameters; None for not at all.
        mixing_draws: how each batch is mixed, parameters by name, [S, batches, ...]; none without mixing.
    """

    keys: list[str]
    pipeline: Pipeline
    labels: Tensor | None
    orders: Tensor
    draws: Draws
    mixing: Mixing | None
    mixing_draws: Mapping[str, Tensor]

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

    def mix_batch(self, images: Tensor, labels: Tensor, batch: int) -> tuple[Tensor, Tensor]:
        """Mix the images of a batch, in place.

        Args:
            images: [S, B, ...].
            labels: [S, B].
            batch: the number of the batch in the epoch, counted from 0.

        Returns:
            The labels of the images that these were mixed with, [S, B], and the weight of `labels` against them,
            [S, B]; without mixing the same labels, and 1.
        """
        if self.mixing is None:
            return labels, torch.ones_like(labels, dtype=images.dtype)
        parameters = {name: values[:, batch] for name, values in self.mixing_draws.items()}
        self.mixing.mix(images, images.roll(1, 1), parameters)
        return labels.roll(1, 1), parameters["weight"].to(images.dtype).unsqueeze(1).expand(labels.shape)

    def tensors(self) -> list[Tensor]:
        """Return the orders, the parameters and tables of the draws, and those of mixing."""
        parameters = [values for operation in self.draws.parameters for values in operation.values()]
        return [self.orders, *parameters, *self.draws.tables, *self.mixing_draws.values()]

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
        return replace(
            self,
            keys=[self.keys[row] for row in rows],
            orders=self.orders.index_select(0, index),
            draws=draws,
            mixing_draws={name: values.index_select(0, index) for name, values in self.mixing_draws.items()},
        )


def stack_labels(
    streams: Sequence[ImageStream], runs_per_stream: Sequence[int], train: Images, indices: Tensor
) -> Tensor | None:
    """Return the labels [K, n] that each run trains on, of the training images at `indices` [n].

    None where all runs train on the data set's own. `runs_per_stream[s]` consecutive runs read stream s.
    """
    if all(stream.labels is None for stream in streams):
        return None
    labels = [train.labels if stream.labels is None else stream.labels for stream in streams]
    stream_labels = torch.stack([each.index_select(0, indices) for each in labels])  # [S, n]
    return stream_labels.repeat_interleave(torch.tensor(runs_per_stream, device=stream_labels.device), 0)


def draw_streams(
    streams: Mapping[str, ImageStream],
    count: int,
    num_batches: int,
    epoch: int,
    device: torch.device,
    streams_at_once: int,
) -> list[StreamGroup]:
    """Draw the orders and augmentation of image streams for an epoch, on the CPU, and copy them to the device at once.

    Args:
        streams: the image streams by key, those with equal augmentation, labels and kind of mixing side by side.
        count: the number of images, N.
        num_batches: the number of batches that they are shown in.
        epoch: the number of the epoch, counted from 1.
        device: the device of the images.
        streams_at_once: the largest number of streams in a group.
    """
    groups = []
    for _, group in groupby(streams.items(), lambda item: _group_key(item[1])):
        members = list(group)
        for start in range(0, len(members), streams_at_once):
            groups.append(_draw_group(dict(members[start : start + streams_at_once]), count, num_batches, epoch))
    return _move_groups(groups, device)


def _group_key(stream: ImageStream) -> tuple[Any, ...]:
    """Return what streams whose images are made together have in common."""
    return stream.pipeline.transforms, id(stream.labels), type(stream.mixing)


def _draw_group(streams: Mapping[str, ImageStream], count: int, num_batches: int, epoch: int) -> StreamGroup:
    """Return the draws of streams whose images are made together, on the CPU."""
    orders = [
        torch.randperm(count, generator=random_stream(stream.seed, "order", epoch), dtype=torch.int32)
        for stream in streams.values()
    ]
    draws = [stream.pipeline.draw(count, stream.seed, epoch) for stream in streams.values()]
    parameters = [
        {name: torch.stack([values[name] for values in operation]) for name in operation[0]}
        for operation in zip(*(stream_draws.parameters for stream_draws in draws), strict=True)
    ]
    mixing_draws = [stream.draw_mixing(num_batches, epoch) for stream in streams.values()]
    first_stream = next(iter(streams.values()))
    return StreamGroup(
        keys=list(streams),
        pipeline=first_stream.pipeline,
        labels=first_stream.labels,
        orders=torch.stack(orders),
        draws=Draws(parameters, draws[0].tables),  # all seeds share the tables
        mixing=first_stream.mixing,
        mixing_draws={name: torch.stack([values[name] for values in mixing_draws]) for name in mixing_draws[0]},
    )


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
        mixing_draws = {name: next(moved) for name in group.mixing_draws}
        moved_groups.append(replace(group, orders=orders, draws=Draws(parameters, tables), mixing_draws=mixing_draws))
    return moved_groups
