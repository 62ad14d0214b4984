"""The networks of K runs that are evaluated and kept, which need not have the weights that are trained."""

from collections.abc import Mapping, Sequence
from typing import final

import torch
from torch import Tensor

from regexp.data.dataset import Images
from regexp.models.protocol import Model, Predictor
from regexp.training.regularizers.averaging import Averaging, WeightAverage
from regexp.training.regularizers.snapshots import SnapshotRule, Snapshots, drop_unused_places
from regexp.utils.device import Backend, move_together


@final
class EvaluatedNetworks:
    """The networks that are evaluated, monitored, tested and kept, and their weights at each run's best epoch.

    Attributes:
        average: the averages of the weights, or ensembles of snapshots of them, which then are what is evaluated; None
            where that is the weights themselves.
        best_weights: parameters and buffers of the best epoch so far, by name, [K, ...].
    """

    def __init__(self, rules: Sequence[Averaging | SnapshotRule | None], model: Model, epoch: int) -> None:
        """Begin with the weights of the runs.

        Args:
            rules: [K], how each run averages; all in the same way or not at all.
            model: the model of the K runs.
            epoch: the number of the last epoch, counted from 1; 0 for runs that begin.
        """
        self._trained_model = model
        snapshot_rules = [rule for rule in rules if isinstance(rule, SnapshotRule)]
        average_rules = [rule for rule in rules if rule is not None and not isinstance(rule, SnapshotRule)]
        self.average: WeightAverage | Snapshots | None = None
        if snapshot_rules:
            self.average = Snapshots(snapshot_rules, model, epoch)
        elif average_rules:
            self.average = WeightAverage(average_rules, model)
        self.best_weights = {name: tensor.clone() for name, tensor in self.model.state_dict().items()}
        self._num_runs = len(rules)

    @property
    def model(self) -> Predictor:
        """The networks that are evaluated."""
        return self._trained_model if self.average is None else self.average.model

    def begin_epoch(self, epoch: int, steps: int) -> None:
        """Prepare the updates of an epoch, whose number is counted from 1, with so many steps."""
        if isinstance(self.average, WeightAverage):
            self.average.begin_epoch(epoch, steps)

    def end_step(self, i: int) -> None:
        """Update the averages that are taken over steps, after step i of the epoch."""
        if isinstance(self.average, WeightAverage) and self.average.every_step:
            self.average.update(i, self._trained_model.state_dict())

    def end_epoch(self, epoch: int, train: Images, batch_size: int, backend: Backend) -> None:
        """Update the averages that are taken over epochs, or take snapshots. Arguments as in WeightAverage."""
        if isinstance(self.average, Snapshots):
            self.average.end_epoch(epoch, self._trained_model)
        elif self.average is not None:
            self.average.end_epoch(epoch, self._trained_model, train, batch_size, backend)

    def find_changed(self, epoch: int) -> list[bool]:
        """Return for each run whether its networks are others than in the epoch before, [K]."""
        if isinstance(self.average, Snapshots):
            return [rule.changes(epoch) for rule in self.average.rules]
        return [True] * self._num_runs

    def find_counted(self, epoch: int) -> list[bool]:
        """Return for each run whether early stopping counts an epoch, [K].

        Within a cycle of the learning rate, the weights get worse before they get better.
        """
        if isinstance(self.average, Snapshots):
            return [rule.ends_cycle(epoch) for rule in self.average.rules]
        return [True] * self._num_runs

    def keep_best(self, is_best: Sequence[bool]) -> None:
        """Take over the weights of the runs whose last epoch is their best one so far, [K]."""
        if not any(is_best):
            return
        state = self.model.state_dict()
        [rows] = move_together([torch.tensor(is_best).nonzero().flatten()], next(iter(state.values())).device)
        for name, tensor in state.items():
            self.best_weights[name] = _widen(self.best_weights[name], tensor)
            self.best_weights[name].index_copy_(0, rows, tensor.index_select(0, rows))

    def select_runs(self, rows: Tensor) -> Predictor:
        """Return a copy of the networks of the runs at `rows` [K']."""
        model = self._trained_model
        return model.select_runs(rows) if self.average is None else self.average.select_runs(rows, model)

    def restore_best(self, selected: Predictor, positions: Tensor, rows: Tensor) -> None:
        """Overwrite selected networks at `positions` [K''] by those of the best epochs of the runs at `rows` [K'']."""
        for name, tensor in selected.state_dict().items():
            tensor.index_copy_(0, positions, _widen(self.best_weights[name].index_select(0, rows), tensor))

    def keep_runs(self, rows: Tensor) -> None:
        """Remove all runs but those at `rows` [K'], after they have been removed from the model that is trained."""
        for name in self.best_weights:
            self.best_weights[name] = self.best_weights[name][rows]
        if self.average is not None:
            self.average.keep_runs(rows, self._trained_model)
        self._num_runs = len(rows)

    def tensors(self) -> dict[str, Mapping[str, Tensor]]:
        """Return the stacked tensors that checkpoints hold, by the prefix of their names there."""
        average = {} if self.average is None else {"average": self.average.tensors}
        return {"best": self.best_weights, **average}

    def drop_unused(self, tensors: Mapping[str, Tensor]) -> Mapping[str, Tensor]:
        """Return the tensors of one run's checkpoint without those that only other runs of the cohort need."""
        return drop_unused_places(tensors) if isinstance(self.average, Snapshots) else tensors


def copy_row(stacked: Tensor, k: int, tensor: Tensor) -> None:
    """Copy one run's tensor into the row of a stacked one, which may have more places for snapshots."""
    row = stacked[k]
    (row if row.shape == tensor.shape else row[: len(tensor)]).copy_(tensor)


def _widen(tensor: Tensor, goal: Tensor) -> Tensor:
    """Return a tensor with as many places for snapshots as another one, which may have got more since.

    Args:
        tensor: [K, ...], or [K, m, ...] with m places.
        goal: [K', ...], or [K', m', ...] with m' places.
    """
    if tensor.shape[1:] == goal.shape[1:]:
        return tensor
    num_missing = goal.shape[1] - tensor.shape[1]
    return torch.cat([tensor, tensor[:, :1].expand(-1, num_missing, *tensor.shape[2:])], 1)
