"""torch's own optimizers over stacked parameters, in which each run has its own hyperparameters."""

from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass
from functools import partial
from itertools import groupby
from typing import Any

import torch
from torch import Tensor
from torch.optim.rmsprop import rmsprop

from regexp.training.schedules import Plateau, Schedule
from regexp.utils.device import use_huge_pages


@dataclass(frozen=True)
class Hyperparameters:
    """The hyperparameters of one run's optimizer.

    Attributes:
        arguments: keyword arguments of the torch.optim class, lr included.
        schedule: the factor on lr at each step.
        l1: the weight of the sum of all parameters' absolute values in the loss.
        clip_norm: the largest L2 norm of the gradient; inf where it is not clipped.
        key: equal for runs whose arguments and schedule are equal.
    """

    arguments: Mapping[str, Any]
    schedule: Schedule
    l1: float
    clip_norm: float
    key: str

    @property
    def plateau(self) -> Plateau | None:
        """The plateau schedule, which follows the monitored value and so has a state; None for other schedules."""
        return self.schedule if isinstance(self.schedule, Plateau) else None


@dataclass(frozen=True)
class ParameterGroup:
    """Consecutive runs with equal arguments and schedules. Tensors are lists of views, one for each parameter.

    Attributes:
        rows: the indices of the runs on the run axis.
        hyperparameters: the hyperparameters of each of the runs.
        parameters: views of the stacked parameters.
        gradients: views of their gradients.
        steps: the optimizer's count of steps, the same tensor once for each parameter.
        state: views of the optimizer's state, by the names that torch.optim gives its entries.
        arguments: all arguments of torch's kernel except lr.
    """

    rows: slice
    hyperparameters: Hyperparameters
    parameters: list[Tensor]
    gradients: list[Tensor]
    steps: list[Tensor]
    state: dict[str, list[Tensor]]
    arguments: dict[str, Any]


@dataclass(frozen=True)
class OptimizerSpec:
    """One of torch's optimizers, as StackedOptimizer uses it.

    Attributes:
        update: a function that updates the parameters of a group, given the learning rate.
        kernel_arguments: a function that makes the arguments of torch's kernel from those of the torch.optim class.
        state_names: a function that returns the names, as in torch.optim, of the state that these arguments need.
    """

    update: Callable[[ParameterGroup, float], None]
    kernel_arguments: Callable[..., dict[str, Any]]
    state_names: Callable[[Mapping[str, Any]], Iterable[str]]


def _update_adam(group: ParameterGroup, lr: float, kernel: Callable[..., None]) -> None:
    state = group.state
    kernel(
        group.parameters,
        group.gradients,
        state["exp_avg"],
        state["exp_avg_sq"],
        [],
        group.steps,
        lr=lr,
        **group.arguments,
    )


def _update_sgd(group: ParameterGroup, lr: float) -> None:
    buffers = group.state.get("momentum_buffer", [])
    torch._fused_sgd_(group.parameters, group.gradients, buffers, lr=lr, **group.arguments)


def _update_rmsprop(group: ParameterGroup, lr: float) -> None:
    # torch has no fused kernel for RMSprop. foreach, torch's choice on a GPU, gains less than 5 % on a CPU (measured).
    rmsprop(
        group.parameters,
        group.gradients,
        group.state["square_avg"],
        group.state.get("grad_avg", []),
        group.state.get("momentum_buffer", []),
        [steps.clone() for steps in group.steps],  # the kernel counts by itself
        foreach=group.parameters[0].device.type != "cpu",
        lr=lr,
        **group.arguments,
    )


def _adam_arguments(lr: float, betas: tuple[float, float], **others: float) -> dict[str, Any]:
    return {"beta1": betas[0], "beta2": betas[1], **others, "amsgrad": False, "maximize": False}


def _sgd_arguments(lr: float, **others: float) -> dict[str, Any]:
    # torch starts the buffer as the first gradient; a buffer of zeros gives the same.
    return {**others, "dampening": 0.0, "maximize": False, "is_first_step": False}


def _rmsprop_arguments(lr: float, **others: float) -> dict[str, Any]:
    return others


def _adam_state(arguments: Mapping[str, Any]) -> list[str]:
    return ["exp_avg", "exp_avg_sq"]


def _sgd_state(arguments: Mapping[str, Any]) -> list[str]:
    return ["momentum_buffer"] if arguments["momentum"] else []


def _rmsprop_state(arguments: Mapping[str, Any]) -> list[str]:
    names = ["square_avg", *_sgd_state(arguments)]
    if arguments["centered"]:
        names.append("grad_avg")
    return names


OPTIMIZERS = {
    "adam": OptimizerSpec(partial(_update_adam, kernel=torch._fused_adam_), _adam_arguments, _adam_state),
    "adamw": OptimizerSpec(partial(_update_adam, kernel=torch._fused_adamw_), _adam_arguments, _adam_state),
    "sgd": OptimizerSpec(_update_sgd, _sgd_arguments, _sgd_state),
    "rmsprop": OptimizerSpec(_update_rmsprop, _rmsprop_arguments, _rmsprop_state),
}


class StackedOptimizer:
    """One of torch's optimizers for K runs.

    Consecutive runs with equal arguments and schedules form a parameter group, and torch's kernel updates one group
    after the other. The kernel gets views of stacked tensors, which are made once; gradients stay in their place.

    Attributes:
        parameters: the stacked parameters by name, each [K, ...].
        hyperparameters: [K], the hyperparameters of each run.
        steps_done: the number of steps since the first epoch.
        state: the state by entry (such as "exp_avg") and parameter, each [K, ...].
        groups: the parameter groups.
    """

    def __init__(
        self,
        name: str,
        parameters: Mapping[str, Tensor],
        hyperparameters: Sequence[Hyperparameters],
        steps_done: int = 0,
    ) -> None:
        """Begin with an empty state.

        Args:
            name: the name of the optimizer in OPTIMIZERS.
            parameters: the stacked parameters by name, each [K, ...].
            hyperparameters: [K], the hyperparameters of each run.
            steps_done: the number of steps before the checkpoint from which the runs resume; 0 at their start.
        """
        self.parameters = dict(parameters)
        self.hyperparameters = list(hyperparameters)
        self.steps_done = steps_done
        self.spec = OPTIMIZERS[name]
        for tensor in self.parameters.values():
            if tensor.grad is None:
                tensor.grad = torch.zeros_like(tensor)
        entries = dict.fromkeys(entry for run in hyperparameters for entry in self.spec.state_names(run.arguments))
        self.state = {
            entry: {name: torch.zeros_like(tensor.detach()) for name, tensor in self.parameters.items()}
            for entry in entries
        }
        self._make_groups()

    def _make_groups(self) -> None:
        """Make the views that torch's kernels get, and the per-run tensors of l1 and clipping."""
        runs, first_parameter = self.hyperparameters, next(iter(self.parameters.values()))
        for name, tensor in self.parameters.items():
            state_tensors = [tensors[name] for tensors in self.state.values()]
            for large_tensor in (tensor.detach(), _gradient(tensor), *state_tensors):
                use_huge_pages(large_tensor)
        # torch's kernels read the count on the device.
        self.step_count = torch.tensor(float(self.steps_done), device=first_parameter.device)
        # The learning rates of runs with a plateau schedule may come to differ, so each of them is a group of its own.
        equal_runs = [list(group) for _, group in groupby(runs, key=lambda run: (run.key, id(run.plateau)))]
        self.groups: list[ParameterGroup] = []
        start = 0
        for group in equal_runs:
            rows = slice(start, start + len(group))
            start = rows.stop
            entries = self.spec.state_names(group[0].arguments)
            self.groups.append(
                ParameterGroup(
                    rows=rows,
                    hyperparameters=group[0],
                    parameters=[tensor.detach()[rows] for tensor in self.parameters.values()],
                    gradients=[_gradient(tensor)[rows] for tensor in self.parameters.values()],
                    steps=[self.step_count] * len(self.parameters),
                    state={entry: [tensor[rows] for tensor in self.state[entry].values()] for entry in entries},
                    arguments=self.spec.kernel_arguments(**group[0].arguments),
                )
            )
        # Linear overwrites its weights' gradients. autograd adds to the others, which are small.
        self.accumulated_gradients = [_gradient(tensor) for tensor in self.parameters.values() if tensor.dim() < 3]
        self.has_l1 = any(run.l1 != 0 for run in runs)
        self.l1 = torch.tensor([run.l1 for run in runs], dtype=first_parameter.dtype, device=first_parameter.device)
        self.clips = any(run.clip_norm != torch.inf for run in runs)
        self.clip_norms = torch.tensor(
            [run.clip_norm for run in runs], dtype=first_parameter.dtype, device=first_parameter.device
        )

    def learning_rates(self) -> list[float]:
        """Return the learning rates of the last step, [K]."""
        step = max(0, self.steps_done - 1)
        return [run.arguments["lr"] * run.schedule(step) for run in self.hyperparameters]

    @torch.no_grad()
    def add_l1_gradients(self) -> None:
        """Add the gradient of l1 * sum |w| to each run's gradient: l1 * sign(w), which is 0 at 0 as in autograd."""
        for tensor in self.parameters.values():
            _gradient(tensor).addcmul_(tensor.sign(), _per_run(self.l1, tensor))

    @torch.no_grad()
    def gradient_norms(self) -> Tensor:
        """Return the L2 norm of each run's gradient, [K]."""
        norms = [torch.linalg.vector_norm(_gradient(tensor).flatten(1), dim=1) for tensor in self.parameters.values()]
        total: Tensor = torch.linalg.vector_norm(torch.stack(norms), dim=0)
        return total

    @torch.no_grad()
    def clip_gradients(self, norms: Tensor) -> None:
        """Scale each run's gradient to its clip_norm if its norm, in `norms` [K], is larger, as clip_grad_norm_."""
        # An infinite norm of a run that is not clipped would give inf / inf.
        factors = (self.clip_norms / (norms + 1e-6)).clamp(max=1.0).where(self.clip_norms.isfinite(), 1.0)
        for tensor in self.parameters.values():
            _gradient(tensor).mul_(_per_run(factors, tensor))

    @torch.no_grad()
    def step(self) -> None:
        """Update the parameters of all runs and set the gradients to zero."""
        self.step_count += 1
        for group in self.groups:
            run = group.hyperparameters
            self.spec.update(group, run.arguments["lr"] * run.schedule(self.steps_done))
        torch._foreach_zero_(self.accumulated_gradients)
        self.steps_done += 1

    def release_parameters(self) -> None:
        """Drop all references to parameters and gradients until `keep_runs`: views keep removed runs in memory."""
        self.parameters, self.groups, self.accumulated_gradients = {}, [], []

    def keep_runs(self, rows: Tensor, parameters: Mapping[str, Tensor]) -> None:
        """Remove all runs but those at `rows` [K'], whose parameters are now `parameters`."""
        self.parameters = dict(parameters)
        for tensors in self.state.values():
            for name in tensors:
                tensors[name] = tensors[name][rows]
        self.hyperparameters = [self.hyperparameters[k] for k in rows.tolist()]
        for tensor in self.parameters.values():
            tensor.grad = torch.zeros_like(tensor)
        self._make_groups()

    def run_state(self, k: int) -> dict[str, Tensor]:
        """Return run k's state by "parameter/entry"; views, not copies."""
        entries = self.spec.state_names(self.hyperparameters[k].arguments)
        return {f"{name}/{entry}": tensor[k] for entry in entries for name, tensor in self.state[entry].items()}

    def load_run_state(self, k: int, state: Mapping[str, Tensor]) -> None:
        """Set run k's state to one that `run_state` returned, in this cohort or in another."""
        for key, value in state.items():
            name, _, entry = key.rpartition("/")
            self.state[entry][name][k].copy_(value)


def _per_run(values: Tensor, tensor: Tensor) -> Tensor:
    """Return values [K] as [K, 1, ...], with as many dimensions as `tensor`."""
    return values.view(-1, *[1] * (tensor.dim() - 1))


def _gradient(tensor: Tensor) -> Tensor:
    assert tensor.grad is not None
    return tensor.grad
