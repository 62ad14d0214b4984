"""Early stopping, for K runs at once."""

import torch
from torch import Tensor


class EarlyStopping:
    """Stop a run after `patience` epochs in a row without improvement (Prechelt 1998).

    An improvement is lower than the best so far by more than `min_delta`; NaN is none. The best moves with improvements
    only, so that many small steps add up to one.
    """

    def __init__(self, patience: Tensor, min_delta: Tensor) -> None:
        """`patience` [K] in epochs, inf for never; `min_delta` [K]."""
        self.patience, self.min_delta = patience.double(), min_delta.double()
        self.best = torch.full_like(self.patience, torch.inf)
        self.waited = torch.zeros_like(self.patience)

    def update(self, scores: Tensor) -> Tensor:
        """Take an epoch's scores [K], lower is better; returns which runs stop, [K] of bool."""
        improved = scores.double() < self.best - self.min_delta
        self.best = torch.where(improved, scores.double(), self.best)
        self.waited = torch.where(improved, 0.0, self.waited + 1)
        return self.waited >= self.patience

    def keep(self, rows: Tensor) -> None:
        """Remove every run that is not in `rows` [K']."""
        for name, value in vars(self).items():
            setattr(self, name, value[rows])
