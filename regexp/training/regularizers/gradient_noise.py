"""Gaussian noise on gradients, which decays over the steps (Neelakantan et al. 2015)."""

from collections.abc import Mapping, Sequence
from functools import partial
from typing import final

import torch
from torch import Tensor

from regexp.models.regularizing.random_layers import StepDraws
from regexp.utils.device import move_together, refill
from regexp.utils.keyed_draws import draw_keys, draw_table, normal_noise
from regexp.utils.rng import random_stream

_DECAY = 0.55  # gamma, which Neelakantan et al. chose for all their experiments


@final
class GradientNoise:
    """g_t + N(0, s_t^2) with s_t^2 = eta / (1 + t)^0.55 in step t, counted from 0.

    Neelakantan et al. 2015, "Adding gradient noise improves learning for very deep networks", equations 1 and 2. The
    noise is added to clipped gradients: it is not clipped itself. Draws are keyed: the same bits on any device and in
    any cohort.

    Attributes:
        variances: [K], eta of each run; 0 without noise.
    """

    def __init__(self, variances: Sequence[float], gradients: Mapping[str, Tensor]) -> None:
        """Begin without draws.

        Args:
            variances: [K], eta of each run.
            gradients: the gradients by parameter, each [K, ...], which are changed in their place.
        """
        self.variances = torch.tensor(variances, dtype=torch.float64)
        self._gradients = dict(gradients)
        self._draws = {name: StepDraws(len(variances)) for name in gradients}
        self._stds = torch.empty(0)

    def begin_epoch(self, first_step: int, num_steps: int, seeds: Sequence[int]) -> None:
        """Draw the keys of an epoch, and compute its standard deviations.

        Args:
            first_step: the number of steps before the epoch.
            num_steps: the number of its steps.
            seeds: [K], the seed of each run.
        """
        epoch, gradient = first_step // num_steps + 1, next(iter(self._gradients.values()))
        streams = [random_stream(seed, "gradient_noise", epoch) for seed in seeds]
        keys = torch.stack([draw_keys(num_steps, stream) for stream in streams])  # [K, steps, 2]
        steps = torch.arange(first_step, first_step + num_steps, dtype=torch.float64).unsqueeze(1)
        stds = (self.variances / (1 + steps) ** _DECAY).sqrt().to(gradient.dtype)  # [steps, K]
        names = list(self._gradients)
        tables = [draw_table(f"gradient_noise/{name}", epoch, self._gradients[name][0].numel()) for name in names]
        keys, stds, *tables = move_together([keys, stds, *tables], gradient.device)
        # In its place, because the steps of a captured graph read it there.
        self._stds = refill(self._stds, stds)
        for name, table in zip(names, tables, strict=True):
            self._draws[name].begin_epoch(table, keys)

    @torch.no_grad()
    def add(self, i: int) -> None:
        """Add the noise of step i of the epoch to the gradients."""
        for name, gradient in self._gradients.items():
            noise = self._draws[name].take(partial(normal_noise, dtype=gradient.dtype))
            std = self._stds[i].view(-1, *[1] * (gradient.dim() - 1))
            gradient.addcmul_(noise[:, : gradient[0].numel()].view_as(gradient), std)
