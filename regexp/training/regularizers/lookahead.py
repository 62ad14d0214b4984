"""Lookahead: slow weights that follow those of the optimizer (Zhang et al. 2019)."""

from collections.abc import Mapping, Sequence
from typing import final

import torch
from torch import Tensor

from regexp.utils.device import move_together, refill


@final
class Lookahead:
    """k steps forward, one step back: every k steps, slow += alpha * (fast - slow), and fast = slow.

    Zhang et al. 2019, "Lookahead optimizer: k steps forward, 1 step back", algorithm 1. Each run has its own k and
    alpha. The fast weights are those that the optimizer updates and that are evaluated. Its state stays as it is when
    they are set back.

    Attributes:
        periods: [K], the number of steps k; None for a run without lookahead.
        alphas: [K], the step size alpha of the slow weights.
        slow_weights: the slow weights by parameter, each [K, ...].
    """

    def __init__(
        self,
        periods: Sequence[int | None],
        alphas: Sequence[float],
        slow_weights: Mapping[str, Tensor],
        in_graph: bool,
    ) -> None:
        """Go on from some slow weights.

        Args:
            periods: [K], the number of steps k; None for a run without lookahead.
            alphas: [K].
            slow_weights: by parameter, each [K, ...]; changed in their place.
            in_graph: whether the steps are captured in a CUDA graph, which does the same in every epoch.
        """
        self.periods, self.alphas, self.slow_weights = list(periods), list(alphas), slow_weights
        self._in_graph = in_graph
        self._due = self._steps = torch.empty(0)

    def begin_epoch(self, first_step: int, num_steps: int) -> None:
        """Find the steps of an epoch after which fast weights are set back.

        Args:
            first_step: the number of steps before the epoch.
            num_steps: the number of its steps.
        """
        counts = torch.arange(first_step + 1, first_step + num_steps + 1).unsqueeze(1)  # [steps, 1]
        periods = torch.tensor([period or first_step + num_steps + 1 for period in self.periods])
        due = (counts % periods == 0).to(next(iter(self.slow_weights.values())).dtype)  # [steps, K]
        self._any_due: list[bool] = due.any(1).tolist()
        alphas = torch.tensor(self.alphas, dtype=due.dtype)
        device = next(iter(self.slow_weights.values())).device
        tables = move_together([due, due * alphas], device)
        # In their place, because the steps of a captured graph read them there.
        self._due, self._steps = refill(self._due, tables[0]), refill(self._steps, tables[1])

    @torch.no_grad()
    def step(self, i: int, parameters: Mapping[str, Tensor]) -> None:
        """Set back the fast weights `parameters` of the runs whose turn it is after step i of the epoch."""
        if not (self._in_graph or self._any_due[i]):
            return
        for name, slow in self.slow_weights.items():
            shape = (-1, *[1] * (slow.dim() - 1))
            slow.lerp_(parameters[name], self._steps[i].view(shape))
            parameters[name].lerp_(slow, self._due[i].view(shape))  # by 1 or 0: lerp is exact at both
