"""The groups of runs that an optimizer updates together, and the numbers of each of their steps."""

import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any, Protocol, final

import torch
from torch import Tensor

from regexp.training.schedules import Plateau, Schedule
from regexp.training.update_rules import Numbers, OptimizerSpec, TensorLists
from regexp.utils.device import move_together, refill

# More groups than this are updated by a rule: it reads and writes more memory than kernels do, but its launches do not
# grow with the number of groups. A launch costs a CPU next to nothing.
MAX_KERNEL_GROUPS = {"cpu": math.inf, "cuda": 16, "mps": 16}


@dataclass(frozen=True)
class Hyperparameters:
    """The hyperparameters of one run's optimizer.

    Attributes:
        arguments: keyword arguments of the torch.optim class, lr included.
        schedule: the factor on lr at each step.
        l1: the weight of the sum of all parameters' absolute values in the loss.
        clip_norm: the largest L2 norm of the gradient; inf where it is not clipped.
        max_norm: the largest L2 norm of the incoming weights of a unit; inf for no bound.
        lookahead_period: the number of steps after which Lookahead sets the weights back; None without it.
        lookahead_alpha: the step size of Lookahead's slow weights.
        sam_radius: the radius rho of sharpness-aware minimization; 0 without it.
        sam_is_adaptive: whether the radius is relative to the weights.
        gradient_noise: the variance of the noise on gradients in the first step; 0 without noise.
        key: equal for runs whose arguments and schedule are equal.
    """

    arguments: Mapping[str, Any]
    schedule: Schedule
    l1: float
    clip_norm: float
    max_norm: float
    lookahead_period: int | None
    lookahead_alpha: float
    sam_radius: float
    sam_is_adaptive: bool
    gradient_noise: float
    key: str

    @property
    def plateau(self) -> Plateau | None:
        """The plateau schedule, which follows the monitored value and so has a state; None for other schedules."""
        return self.schedule if isinstance(self.schedule, Plateau) else None

    def numbers(self, spec: OptimizerSpec) -> dict[str, float]:
        """Return the numbers of the optimizer's update."""
        return spec.numbers(**{name: value for name, value in self.arguments.items() if name != "lr"})


class Updater(Protocol):
    """What updates the parameters of K runs in each step of an epoch."""

    def begin_epoch(self, learning_rates: Tensor, steps_done: int) -> None:
        """Prepare the steps of an epoch.

        Args:
            learning_rates: [steps, K], float64 on the CPU.
            steps_done: the number of steps before this epoch.
        """
        ...

    def step(self, i: int) -> None:
        """Update the parameters in step i of the epoch."""
        ...


@final
class KernelUpdater:
    """Groups of runs with equal numbers, which torch's kernel updates one group after the other.

    Attributes:
        rows: for each group, the indices of its runs on the run axis.
        groups: for each group, views of its tensors, and its numbers.
    """

    def __init__(
        self, spec: OptimizerSpec, runs: Sequence[Hyperparameters], tensors: TensorLists, rows: list[list[int]]
    ) -> None:
        """Make the views that the kernel gets.

        Args:
            spec: the optimizer.
            runs: [K], the hyperparameters of each run.
            tensors: the stacked tensors of all runs.
            rows: for each group, the indices of its runs, sorted.
        """
        self.spec, self.rows = spec, rows
        self.device = tensors.parameters[0].device
        self.groups: list[tuple[TensorLists, Numbers]] = []
        for group_rows in rows:
            run, ranges = runs[group_rows[0]], _find_ranges(group_rows)
            state = {name: _slice(tensors.state[name], ranges) for name in spec.state_names(run.arguments)}
            views = TensorLists(_slice(tensors.parameters, ranges), _slice(tensors.gradients, ranges), state)
            self.groups.append((views, run.numbers(spec)))

    def begin_epoch(self, learning_rates: Tensor, steps_done: int) -> None:
        """Prepare the steps of an epoch. Arguments as in Updater."""
        self.learning_rates: list[list[float]] = learning_rates[:, [rows[0] for rows in self.rows]].tolist()
        counts = _count_steps(learning_rates, steps_done).float()
        [counts] = move_together([counts], self.device)  # where torch's kernels read them
        self.counts = counts.unbind()

    def step(self, i: int) -> None:
        """Update the parameters in step i of the epoch."""
        for (views, numbers), lr in zip(self.groups, self.learning_rates[i], strict=True):
            self.spec.kernel(views, {**numbers, "lr": lr, "count": self.counts[i]})


@final
class RuleUpdater:
    """All runs, which a rule updates at once, however much their numbers differ."""

    def __init__(self, spec: OptimizerSpec, runs: Sequence[Hyperparameters], tensors: TensorLists) -> None:
        """Make the tensors of the numbers that differ. Arguments as in KernelUpdater."""
        self.spec, self.tensors = spec, tensors
        run_numbers = [run.numbers(spec) for run in runs]
        self.numbers = {
            name: torch.tensor([numbers[name] for numbers in run_numbers], dtype=torch.float64)
            for name in run_numbers[0]
        }  # [K] each
        differing = {name: values for name, values in self.numbers.items() if (values != values[0]).any()}
        self.constants: Numbers = {
            **{name: values[0].item() for name, values in self.numbers.items()},
            **{name: self._broadcast(values) for name, values in self._move(differing).items()},
        }
        self.step_numbers: dict[str, Tensor] = {}

    def begin_epoch(self, learning_rates: Tensor, steps_done: int) -> None:
        """Prepare the steps of an epoch. Arguments as in Updater."""
        counts = _count_steps(learning_rates, steps_done).unsqueeze(1)
        step_numbers = self._move(self.spec.step_numbers(learning_rates, counts, self.numbers))
        # In their place, because the steps of a captured graph read them there.
        self.step_numbers = {
            name: refill(self.step_numbers.get(name, values.new_empty(0)), values)
            for name, values in step_numbers.items()
        }

    def step(self, i: int) -> None:
        """Update the parameters in step i of the epoch."""
        step_numbers = {name: self._broadcast(values[i]) for name, values in self.step_numbers.items()}
        self.spec.rule(self.tensors, {**self.constants, **step_numbers})

    def _move(self, tensors: Mapping[str, Tensor]) -> dict[str, Tensor]:
        """Return tensors on the device and in the type of the parameters."""
        parameter = self.tensors.parameters[0]
        moved = move_together([tensor.to(parameter.dtype) for tensor in tensors.values()], parameter.device)
        return dict(zip(tensors, moved, strict=True))

    def _broadcast(self, values: Tensor) -> list[Tensor]:
        """Return values [K] as [K, 1, ...], with as many dimensions as each of the parameters."""
        return [values.view(-1, *[1] * (parameter.dim() - 1)) for parameter in self.tensors.parameters]


def make_updater(spec: OptimizerSpec, runs: Sequence[Hyperparameters], tensors: TensorLists, in_graph: bool) -> Updater:
    """Return what updates K runs.

    Args:
        spec: the optimizer.
        runs: [K], the hyperparameters of each run.
        tensors: the stacked tensors of all runs.
        in_graph: whether the steps are captured in a CUDA graph. Then learning rates must be read from a tensor: the
            numbers that torch's kernels are called with would be those of the captured epoch for ever.
    """
    if in_graph:
        return RuleUpdater(spec, runs, tensors)
    rows: dict[Any, list[int]] = {}
    for k, run in enumerate(runs):
        # The learning rates of runs with a plateau schedule may come to differ, so each of them is a group of its own.
        rows.setdefault((run.key, id(run.plateau)), []).append(k)
    if len(rows) > MAX_KERNEL_GROUPS[tensors.parameters[0].device.type]:
        return RuleUpdater(spec, runs, tensors)
    return KernelUpdater(spec, runs, tensors, list(rows.values()))


def _count_steps(learning_rates: Tensor, steps_done: int) -> Tensor:
    """Return for each step the number of steps with it, [steps], float64."""
    return torch.arange(steps_done + 1, steps_done + len(learning_rates) + 1, dtype=torch.float64)


def _find_ranges(rows: Sequence[int]) -> list[slice]:
    """Return the ranges of consecutive numbers in sorted ones."""
    ranges: list[slice] = []
    for row in rows:
        if ranges and ranges[-1].stop == row:
            ranges[-1] = slice(ranges[-1].start, row + 1)
        else:
            ranges.append(slice(row, row + 1))
    return ranges


def _slice(tensors: Sequence[Tensor], ranges: Sequence[slice]) -> list[Tensor]:
    """Return the views of some ranges of rows, tensor after tensor."""
    return [tensor[rows] for tensor in tensors for rows in ranges]
