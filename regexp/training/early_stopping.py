"""Early stopping, for K runs at once: patience, generalization loss and progress (Prechelt 1998)."""

import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import torch
from torch import Tensor

# What an epoch changes: attributes of EarlyStopping.
_STATE = ("best", "bad_epochs", "lowest", "strip_epochs", "strip_sum", "strip_min")


@dataclass(frozen=True)
class StoppingRule:
    """The rule that ends a run early: the first of its limits that is passed.

    Attributes:
        patience: epochs in a row without improvement that end the run; inf for never.
        min_delta: the amount by which a value must be better than the best one to count as an improvement.
        max_generalization_loss: the generalization loss, in percent, beyond which the run ends; inf for never.
        max_quotient: the quotient of generalization loss and progress beyond which the run ends; inf for never.
        strip: the number of epochs over which progress is measured.
    """

    patience: float = math.inf
    min_delta: float = 0.0
    max_generalization_loss: float = math.inf
    max_quotient: float = math.inf
    strip: int = 5


class EarlyStopping:
    """Early stopping of K runs (Prechelt 1998, "Early stopping - but when?").

    Patience: an improvement is a score that is lower than the best one by more than `min_delta`; NaN is none. Small
    steps count together, because the best score changes only when it is beaten by more than `min_delta`.

    With the score v_t after epoch t and the lowest one so far, the generalization loss in percent is

        GL(t) = 100 (v_t / min over s <= t of v_s - 1).

    It has no value where scores are negative. With the training scores u_t of a strip of k epochs, progress is

        P_k(t) = 1000 (sum of the strip's u / (k min of the strip's u) - 1),

    and the quotient GL(t) / P_k(t) is formed at the end of each strip.

    Attributes:
        patience: [K], as the other limits of StoppingRule, in float64.
        best: [K], the score of the last improvement; inf before the first.
        bad_epochs: [K], the number of epochs since then.
        lowest: [K], the lowest score so far.
        strip_epochs: [K], the number of epochs of the current strip so far.
        strip_sum: [K], the sum of their training scores.
        strip_min: [K], the lowest of these.
        stops: [K], whether the last epoch ended the run.
    """

    def __init__(self, rules: Sequence[StoppingRule]) -> None:
        """Begin K runs with a rule each."""
        self.patience, self.min_delta, self.max_generalization_loss, self.max_quotient, self.strip = torch.tensor(
            [
                (rule.patience, rule.min_delta, rule.max_generalization_loss, rule.max_quotient, rule.strip)
                for rule in rules
            ],
            dtype=torch.float64,
        ).unbind(1)
        self.best, self.lowest, self.strip_min = torch.full((3, len(rules)), torch.inf, dtype=torch.float64)
        self.bad_epochs, self.strip_epochs, self.strip_sum = torch.zeros(3, len(rules), dtype=torch.float64)
        self.stops = torch.zeros(len(rules), dtype=torch.bool)

    def update(self, scores: Tensor, training_scores: Tensor, is_counted: Tensor | None = None) -> Tensor:
        """Count an epoch, and return which runs stop, [K] of bool.

        Args:
            scores: [K], the monitored values of the epoch; lower is better.
            training_scores: [K], the same on the training images.
            is_counted: [K] of bool, for which runs the epoch counts; None for all. The others stay as they are.
        """
        state = {name: getattr(self, name) for name in _STATE}
        scores, training_scores = scores.double(), training_scores.double()
        improved = scores < self.best - self.min_delta
        self.best = torch.where(improved, scores, self.best)
        self.bad_epochs = torch.where(improved, 0.0, self.bad_epochs + 1)
        self.lowest = torch.fmin(self.lowest, scores)
        generalization_loss = torch.where(self.lowest >= 0, 100 * (scores / self.lowest - 1), torch.nan)
        quotient = generalization_loss / self._measure_progress(training_scores)
        self.stops = (
            (self.bad_epochs >= self.patience)
            | (generalization_loss > self.max_generalization_loss)
            | (quotient > self.max_quotient)
        )
        if is_counted is not None:
            self.stops = self.stops & is_counted
            for name, values in state.items():
                setattr(self, name, torch.where(is_counted, getattr(self, name), values))
        return self.stops

    def _measure_progress(self, training_scores: Tensor) -> Tensor:
        """Return the progress over the strip that ends with this epoch, [K]; NaN where none ends."""
        self.strip_epochs = self.strip_epochs + 1
        self.strip_sum = self.strip_sum + training_scores
        self.strip_min = torch.fmin(self.strip_min, training_scores)
        ends = self.strip_epochs >= self.strip
        # Of equal scores the mean may round to less than the lowest.
        progress = (1000 * (self.strip_sum / (self.strip * self.strip_min) - 1)).clamp(min=0)
        for name, start in (("strip_epochs", 0.0), ("strip_sum", 0.0), ("strip_min", torch.inf)):
            setattr(self, name, torch.where(ends, start, getattr(self, name)))
        return torch.where(ends, progress, torch.nan)

    def progress(self, k: int) -> dict[str, Any]:
        """Return how far run k has come, for the metadata of its checkpoint."""
        state = {name: float(getattr(self, name)[k]) for name in _STATE}
        return {"early_stopping": {**state, "stops": bool(self.stops[k])}}

    def restore_progress(self, k: int, metadata: Mapping[str, Any]) -> None:
        """Let run k go on from the metadata of a checkpoint."""
        for name, value in metadata["early_stopping"].items():
            getattr(self, name)[k] = value

    def keep_runs(self, rows: Tensor) -> None:
        """Remove all runs but those at `rows` [K']."""
        for name, value in vars(self).items():
            setattr(self, name, value[rows])
