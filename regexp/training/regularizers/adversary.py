"""Adversarial training: images are changed within a bound so that the network errs, and then trained on."""

import math
from collections.abc import Callable, Sequence
from contextlib import AbstractContextManager
from dataclasses import dataclass, replace
from typing import final

import torch
from torch import Tensor

from regexp.models.regularizing.random_layers import StepDraws
from regexp.training.batches import Batch
from regexp.utils.device import Backend, move_together
from regexp.utils.keyed_draws import draw_keys, draw_table
from regexp.utils.rng import random_stream


@dataclass(frozen=True)
class AttackSettings:
    """How a run changes its images.

    Attributes:
        epsilon: the largest change of a value, in units of the image's range [0, 1].
        step_size: the change of a value in a step.
        steps: the number of steps; the same for all runs of a cohort.
        share: the share of the images of a batch that are changed; the same for all runs of a cohort.
        has_random_start: whether the steps begin at a random place within the bound.
    """

    epsilon: float
    step_size: float
    steps: int
    share: float
    has_random_start: bool


@final
class Adversary:
    """x <- clip(x + a * sign(dL/dx)) within epsilon of the image, some steps long; then the runs train on that.

    One step of a = epsilon is the fast gradient sign method (Goodfellow, Shlens and Szegedy 2015); several, from a
    random start, are projected gradient descent (Madry et al. 2018). A pass of a step sees the network as the step will
    train it, with the same dropout and the statistics of its own batch, and changes no running statistics.

    Attributes:
        settings: [K], the settings of the runs.
    """

    def __init__(self, settings: Sequence[AttackSettings], has_range: bool, backend: Backend) -> None:
        """Begin without draws.

        Args:
            settings: [K], the settings of the runs.
            has_range: whether values are of images, which stay in [0, 1]; those of tables have no such range.
            backend: the device and precision.
        """
        self.settings, self._has_range = list(settings), has_range
        numbers = torch.tensor([[each.epsilon, each.step_size] for each in settings], dtype=backend.dtype)
        self._epsilons, self._step_sizes = numbers.to(backend.device).unbind(1)  # [K] each
        self._draws = StepDraws(len(settings))

    def begin_epoch(self, seeds: Sequence[int], epoch: int, batch_sizes: Sequence[int], num_values: int) -> None:
        """Draw the keys of the random starts of an epoch.

        Args:
            seeds: [K], the seed of each run.
            epoch: the number of the epoch, counted from 1.
            batch_sizes: [steps], the number of images in each step.
            num_values: the number of values of an image.
        """
        if not self.settings[0].has_random_start:
            return
        streams = [random_stream(seed, "adversary", epoch) for seed in seeds]
        keys = torch.stack([draw_keys(len(batch_sizes), stream) for stream in streams])  # [K, steps, 2]
        table = draw_table("adversary", epoch, max(batch_sizes) * num_values)
        keys, table = move_together([keys, table], self._epsilons.device)
        self._draws.begin_epoch(table, keys)

    def attack(
        self,
        batch: Batch,
        slice_of_run: Tensor,
        compute_losses: Callable[[Batch], Tensor],
        extra_pass: Callable[[], AbstractContextManager[None]],
    ) -> Batch:
        """Return a batch whose first images are changed, with a slice for each run.

        Args:
            batch: the images [S, B, ...] and their labels.
            slice_of_run: [K], the slice that each run reads.
            compute_losses: returns the losses [K] of a batch.
            extra_pass: lets a pass be none of a step of its own.
        """
        originals = batch.images.index_select(0, slice_of_run)  # [K, B, ...]
        shape = (-1, *[1] * (originals.dim() - 1))
        epsilons, step_sizes = self._epsilons.view(shape), self._step_sizes.view(shape)
        images = originals
        if self.settings[0].has_random_start:
            draws = self._draws.take(lambda draws: (draws.to(originals.dtype) + 0.5) / 2**15)  # [K, draws] in (-1, 1)
            starts = draws[:, : originals[0].numel()].view_as(originals)
            images = self._clip(originals + epsilons * starts)
        for _ in range(self.settings[0].steps):
            images = images.detach().requires_grad_()
            with extra_pass():
                losses = compute_losses(replace(batch, images=images))
            [gradients] = torch.autograd.grad(losses.sum(), [images])
            changes = (images.detach() + step_sizes * gradients.sign() - originals).clamp(-epsilons, epsilons)
            images = self._clip(originals + changes)
        num_changed = math.ceil(self.settings[0].share * len(batch))
        images = torch.cat([images[:, :num_changed], originals[:, num_changed:]], 1)
        return replace(batch, images=images)

    def _clip(self, images: Tensor) -> Tensor:
        return images.clamp(0, 1) if self._has_range else images
