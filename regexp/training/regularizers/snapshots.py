"""Snapshot ensembles: the weights at the end of each cycle of the learning rate, which predict together."""

from bisect import bisect_right
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import final

import torch
from torch import Tensor

from regexp.models.protocol import Model, Predictor
from regexp.models.regularizing.ensemble import COUNT, PREFIX, StackedEnsembles
from regexp.utils.device import move_together


@final
@dataclass(frozen=True)
class SnapshotRule:
    """When a run takes snapshots, and of how many its ensemble consists (Huang et al. 2017).

    Attributes:
        cycle_ends: the epochs, from 1, after which a snapshot is taken.
        max_snapshots: the largest number of snapshots; each further one replaces the oldest.
    """

    cycle_ends: tuple[int, ...]
    max_snapshots: int

    def count_taken(self, epoch: int) -> int:
        """Return the number of snapshots that have been taken by the end of an epoch."""
        return bisect_right(self.cycle_ends, epoch)

    def count_kept(self, epoch: int) -> int:
        """Return the number of snapshots in the ensemble after an epoch, 1 for the weights themselves."""
        return max(1, min(self.max_snapshots, self.count_taken(epoch)))

    def ends_cycle(self, epoch: int) -> bool:
        """Return whether an epoch is the last one of a cycle."""
        return epoch in self.cycle_ends

    def changes(self, epoch: int) -> bool:
        """Return whether the ensemble of an epoch is another than that of the epoch before."""
        return epoch < self.cycle_ends[0] or self.ends_cycle(epoch)


@final
class Snapshots:
    """The ensembles of K runs. Until a run's first snapshot, its ensemble is the newest weights alone.

    Buffers belong to a snapshot as parameters do, so that BatchNorm's statistics are those that it had.

    Attributes:
        rules: [K], the rule of each run.
        model: the ensembles, with as many places for snapshots as any run needs by now.
        tensors: their tensors by name, each [K, m, ...], and the number of snapshots [K].
    """

    def __init__(self, rules: Sequence[SnapshotRule], model: Model, epoch: int) -> None:
        """Begin with the weights of the runs, and with enough places for the snapshots of runs that resume.

        Args:
            rules: [K], the rule of each run.
            model: the model of the K runs.
            epoch: the number of the last epoch, counted from 1; 0 for runs that begin.
        """
        self.rules = list(rules)
        self._make_ensembles(model, max(rule.count_kept(epoch) for rule in self.rules))

    def _make_ensembles(self, model: Model, size: int) -> None:
        """Make ensembles with `size` places, which all hold the weights of a model of the K runs."""
        device = next(model.parameters()).device
        self.model = _select_ensembles(model, torch.arange(len(self.rules), device=device), size)
        self.tensors = self.model.state_dict()

    @torch.no_grad()
    def end_epoch(self, epoch: int, model: Model) -> None:
        """Take the snapshots of the runs whose cycle ends, and the weights of those that have none yet.

        Args:
            epoch: the number of the epoch, counted from 1.
            model: the model of the K runs.
        """
        if not any(rule.changes(epoch) for rule in self.rules):
            return
        tensors, old_size = self.tensors, self.model.size
        size = max(old_size, *(rule.count_kept(epoch) for rule in self.rules))
        places = torch.tensor([_choose_sources(rule, epoch, old_size, size) for rule in self.rules])  # [K, size]
        counts = torch.tensor([rule.count_kept(epoch) for rule in self.rules])
        first_of_run = torch.arange(len(self.rules)).unsqueeze(1) * (old_size + 1)
        index, counts = move_together([(first_of_run + places).flatten(), counts], self.model.num_snapshots.device)
        if size > old_size:
            self._make_ensembles(model, size)
        self.tensors[COUNT].copy_(counts)
        for name, newest in model.state_dict().items():
            # One tensor at a time, so that no more than that is in memory twice.
            sources = torch.cat([tensors[PREFIX + name], newest.detach().unsqueeze(1)], 1)  # [K, old size + 1, ...]
            self.tensors[PREFIX + name].copy_(sources.flatten(0, 1).index_select(0, index).unflatten(0, (-1, size)))

    def select_runs(self, rows: Tensor, model: Model) -> StackedEnsembles:
        """Return a copy of the ensembles of the runs at `rows` [K']."""
        selected = _select_ensembles(model, rows, self.model.size)
        for name, tensor in selected.state_dict().items():
            tensor.copy_(self.tensors[name].index_select(0, rows))
        return selected

    def keep_runs(self, rows: Tensor, model: Model) -> None:
        """Remove all runs but those at `rows` [K'], whose model is now `model`."""
        self.rules = [self.rules[k] for k in rows.tolist()]
        kept_tensors = {name: tensor[rows] for name, tensor in self.tensors.items()}
        self._make_ensembles(model, self.model.size)
        for name, tensor in kept_tensors.items():
            self.tensors[name].copy_(tensor)


def drop_unused_places(tensors: Mapping[str, Tensor]) -> dict[str, Tensor]:
    """Return the tensors of one run's checkpoint, on the CPU, without the places for snapshots that do not count."""
    kept_tensors = dict(tensors)
    for group in ("best", "average"):
        count, prefix = int(tensors[f"{group}/{COUNT}"]), f"{group}/{PREFIX}"
        kept_tensors |= {name: tensor[:count] for name, tensor in tensors.items() if name.startswith(prefix)}
    return kept_tensors


def _select_ensembles(model: Model, rows: Tensor, size: int) -> StackedEnsembles:
    """Return ensembles of the runs at `rows` [K'], with `size` copies of the weights of each."""
    networks: Predictor = model.select_runs(rows.repeat_interleave(size))
    return StackedEnsembles(networks, len(rows))


def _choose_sources(rule: SnapshotRule, epoch: int, old_size: int, size: int) -> list[int]:
    """Return, for each place of a run's ensemble after an epoch, the place before it; `old_size` is the newest weights.

    Args:
        rule: the rule of the run.
        epoch: the number of the epoch, counted from 1.
        old_size: the number of places before.
        size: the number of places after.
    """
    count = rule.count_kept(epoch)
    if not rule.changes(epoch):
        sources = list(range(count))
    elif rule.count_taken(epoch) <= rule.max_snapshots:
        sources = [*range(count - 1), old_size]
    else:  # the oldest one goes
        sources = [*range(1, count), old_size]
    return sources + [sources[0]] * (size - count)  # places that do not count have to be finite
