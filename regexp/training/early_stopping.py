"""Early stopping, for K runs at once."""

from collections.abc import Mapping
from typing import Any

import torch
from torch import Tensor


class EarlyStopping:
    """Early stopping of K runs after `patience` epochs in a row without improvement (Prechelt 1998).

    An improvement is a score that is lower than the best one by more than `min_delta`; NaN is none. Small
    steps count together, because the best score changes only when it is beaten by more than `min_delta`.

    Attributes:
        patience: [K], in epochs; inf for never.
        min_delta: [K], the smallest decrease of the score that counts as an improvement.
        best: [K], the score of the last improvement; inf before the first.
        bad_epochs: [K], the number of epochs since then.
    """

    def __init__(self, patience: Tensor, min_delta: Tensor) -> None:
        """Begin K runs with `patience` [K] and `min_delta` [K]."""
        self.patience, self.min_delta = patience.double(), min_delta.double()
        self.best = torch.full_like(self.patience, torch.inf)
        self.bad_epochs = torch.zeros_like(self.patience)

    def update(self, scores: Tensor) -> Tensor:
        """Update the best scores with an epoch's scores [K], lower is better; return which runs stop, [K] of bool."""
        improved = scores.double() < self.best - self.min_delta
        self.best = torch.where(improved, scores.double(), self.best)
        self.bad_epochs = torch.where(improved, 0.0, self.bad_epochs + 1)
        return self.bad_epochs >= self.patience

    def progress(self, k: int) -> dict[str, float]:
        """Return how far run k has come, for the metadata of its checkpoint."""
        return {"early_stopping_best": float(self.best[k]), "bad_epochs": float(self.bad_epochs[k])}

    def restore_progress(self, k: int, metadata: Mapping[str, Any]) -> None:
        """Let run k go on from the metadata of a checkpoint."""
        self.best[k], self.bad_epochs[k] = metadata["early_stopping_best"], metadata["bad_epochs"]

    def keep_runs(self, rows: Tensor) -> None:
        """Remove all runs but those at `rows` [K']."""
        for name, value in vars(self).items():
            setattr(self, name, value[rows])
