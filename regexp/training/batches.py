"""Image streams: the order and the augmentation draws that runs see.

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

# Images augmented at a time, in whole batches. Fixed, because what is drawn must not depend on the cohort; this many
# fit a processor's cache and fill a GPU.
AT_ONCE = 512


@dataclass(frozen=True)
class ImageStream:
    """A seed and what it draws for.

    Attributes:
        labels: [N], on the device, to train on in place of the data set's own; None: those.
    """

    seed: int
    pipeline: Pipeline
    labels: Tensor | None = None


@dataclass(frozen=True)
class Batch:
    """images [S, B, C, H, W] in [0, 1], one slice a stream; labels [K, B], one row a run."""

    images: Tensor
    labels: Tensor


def batch_sizes(count: int, batch_size: int) -> list[int]:
    """Batches that hold every image once; a last one of a single image joins the one before (BatchNorm refuses it)."""
    full, rest = divmod(count, batch_size)
    sizes = [batch_size] * full + [rest] * (rest > 0)
    return sizes if rest != 1 or full == 0 else [*sizes[:-2], batch_size + 1]


def batches(
    train: Images,
    streams: Sequence[ImageStream],
    sharing: Sequence[int],
    batch_size: int,
    epoch: int,
    dtype: torch.dtype,
) -> Iterator[Batch]:
    """One epoch. A batch's images are good until the next batch: their room is used again.

    Args:
        train: on the device.
        streams: S streams.
        sharing: [S], the number of consecutive runs that read each.
        batch_size: B.
        epoch: counted from 1.
        dtype: of the images.
    """
    device, count = train.labels.device, len(train)
    # Drawn on the CPU, and moved once: draws do not depend on the device, and steps do not wait for it.
    orders = [torch.randperm(count, generator=random_stream(s.seed, "order", epoch)).to(device) for s in streams]
    drawn = [s.pipeline.draw(count, s.seed, epoch, device) for s in streams]
    labelled = [train.labels if s.labels is None else s.labels for s in streams]
    rows = torch.repeat_interleave(torch.arange(len(streams)), torch.tensor(sharing)).to(device)  # [K], run -> stream
    sizes, start = batch_sizes(count, batch_size), 0
    together = max(1, AT_ONCE // batch_size)
    most = max(sum(sizes[first : first + together]) for first in range(0, len(sizes), together))
    room = torch.empty(0)
    for first in range(0, len(sizes), together):
        cuts = sizes[first : first + together]
        chunk = slice(start, start + sum(cuts))
        start = chunk.stop
        for i, (s, order, draws) in enumerate(zip(streams, orders, drawn, strict=True)):
            own = s.pipeline(scale(train.images.index_select(0, order[chunk]), dtype), draws[chunk])  # [chunk, C, H, W]
            if room.numel() == 0 and len(streams) > 1:
                # Tens of MB: asking the system for them anew takes longer than filling them.
                room = own.new_empty(len(streams), most, *own.shape[1:])
            if len(streams) > 1:
                room[i, : len(own)].copy_(own)
        images = room[:, : len(own)] if len(streams) > 1 else own.unsqueeze(0)  # [S, chunk, C, H, W]
        shown = [own.index_select(0, order[chunk]) for own, order in zip(labelled, orders, strict=True)]
        labels = torch.stack(shown).index_select(0, rows)  # [S, chunk] -> [K, chunk]
        yield from map(Batch, images.split(cuts, 1), labels.split(cuts, 1))
