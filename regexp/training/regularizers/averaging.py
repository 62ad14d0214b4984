"""Averages of the weights over training: exponential ones, and stochastic weight averaging."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import ClassVar, Protocol, final

import torch
from torch import Tensor

from regexp.data.dataset import Images
from regexp.models.protocol import Model, Predictor
from regexp.training.regularizers.batch_statistics import recompute_statistics
from regexp.utils.device import Backend, move_together, refill

# An average of few weights moves fast: after t updates its decay is at most (1 + t) / (10 + t).
_WARMUP = 10


class Averaging(Protocol):
    """How a run averages its weights."""

    every_step: ClassVar[bool]
    """Whether the average is updated after every step; otherwise after every epoch."""

    @property
    def first_epoch(self) -> int:
        """The first epoch, from 1, in which the average is more than the weights themselves."""
        ...

    def factor(self, count: int) -> float:
        """Return the weight of the newest weights in the average, after so many updates."""
        ...


@final
@dataclass(frozen=True)
class ExponentialAveraging:
    """average = d * average + (1 - d) * weights after every step, with d = min(decay, (1 + t) / (10 + t)).

    Polyak and Juditsky 1992; the decay of the first steps is the usual one, that of TensorFlow's
    ExponentialMovingAverage. The first update takes the weights as they are, as torch.optim.swa_utils does.

    Attributes:
        decay: the decay d of later steps.
        first_epoch: the first epoch.
    """

    decay: float
    first_epoch: int = 1
    every_step: ClassVar[bool] = True

    def factor(self, count: int) -> float:
        """Return the weight of the newest weights in the average, after so many updates."""
        return 1.0 if count == 0 else 1 - min(self.decay, (1 + count) / (_WARMUP + count))


@final
@dataclass(frozen=True)
class EqualAveraging:
    """The mean of the weights after each epoch since `first_epoch`: SWA (Izmailov et al. 2018). Before, the weights.

    Attributes:
        first_epoch: the first epoch whose weights count, from 1.
    """

    first_epoch: int
    every_step: ClassVar[bool] = False

    def factor(self, count: int) -> float:
        """Return the weight of the newest weights in the average, after so many updates."""
        return 1 / max(1, count - self.first_epoch + 2)  # epoch `count` + 1 is number count + 2 - first_epoch


@final
class WeightAverage:
    """The averages of the weights of K runs. Buffers such as BatchNorm's statistics are averaged, too.

    Attributes:
        rules: [K], how each run averages.
        every_step: whether the averages are updated after every step; otherwise after every epoch.
        model: the networks with the averages as their weights, made once, so that no epoch copies them.
        tensors: the averages by name, each [K, ...], which are the model's own tensors.
    """

    def __init__(self, rules: Sequence[Averaging], model: Model) -> None:
        """Begin with the weights of the runs.

        Args:
            rules: [K], how each run averages; all after every step, or all after every epoch.
            model: the model of the K runs.
        """
        self.rules, self.every_step = list(rules), rules[0].every_step
        self._take_tensors(model)

    def _take_tensors(self, model: Model) -> None:
        """Make the networks and the averages, with the weights of a model of the K runs."""
        device = next(model.parameters()).device
        self.model = model.select_runs(torch.arange(len(self.rules), device=device))
        self.tensors = self.model.state_dict()
        self._factors = torch.empty(0)

    def begin_epoch(self, epoch: int, steps: int) -> None:
        """Compute the factors of an epoch's updates, and copy them to the device at once: then no step waits.

        Args:
            epoch: the number of the epoch, counted from 1.
            steps: the number of its steps.
        """
        num_updates = steps if self.every_step else 1
        first = (epoch - 1) * num_updates
        factors = {rule: [rule.factor(first + i) for i in range(num_updates)] for rule in set(self.rules)}
        average = next(tensor for tensor in self.tensors.values() if tensor.is_floating_point())
        table = torch.tensor([factors[rule] for rule in self.rules], dtype=average.dtype).T
        [table] = move_together([table], average.device)
        # In its place, because the steps of a captured graph read it there.
        self._factors = refill(self._factors, table)  # [updates, K]

    @torch.no_grad()
    def update(self, i: int, state: Mapping[str, Tensor]) -> None:
        """Add weights [K, ...] to the averages, in update i of the epoch."""
        factors = self._factors[i]
        for name, average in self.tensors.items():
            if average.is_floating_point():
                average.lerp_(state[name].detach(), factors.view(-1, *[1] * (average.dim() - 1)))
            else:  # BatchNorm's count of batches
                average.copy_(state[name])

    def end_epoch(self, epoch: int, model: Model, train: Images, batch_size: int, backend: Backend) -> None:
        """Update averages over epochs, and measure BatchNorm's statistics of those that have begun.

        Args:
            epoch: the number of the epoch, counted from 1.
            model: the model of the K runs.
            train: the training images, on the model's device, of the size of evaluated ones.
            batch_size: the number of images in a batch.
            backend: the device and precision.
        """
        if self.every_step:
            return
        state = model.state_dict()
        self.update(0, state)
        begun = [epoch >= rule.first_epoch for rule in self.rules]
        if not any(begun):
            return
        recompute_statistics(self.model, len(self.rules), train, batch_size, backend)
        if not all(begun):  # the others are still the weights themselves
            [rows] = move_together([(~torch.tensor(begun)).nonzero().flatten()], backend.device)
            for name, tensor in self.tensors.items():
                tensor.index_copy_(0, rows, state[name].index_select(0, rows))

    def select_runs(self, rows: Tensor, model: Model) -> Predictor:
        """Return networks of the runs at `rows` [K'] with copies of the averages; `model` is that of the K runs."""
        selected = model.select_runs(rows)
        for name, tensor in selected.state_dict().items():
            tensor.copy_(self.tensors[name].index_select(0, rows))
        return selected

    def keep_runs(self, rows: Tensor, model: Model) -> None:
        """Remove all runs but those at `rows` [K'], whose model is now `model`."""
        self.rules = [self.rules[k] for k in rows.tolist()]
        kept_tensors = {name: tensor[rows] for name, tensor in self.tensors.items()}
        self._take_tensors(model)
        for name, tensor in kept_tensors.items():
            self.tensors[name].copy_(tensor)
