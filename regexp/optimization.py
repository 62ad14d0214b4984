"""torch's own optimizers over stacked parameters, with numbers of its own for each run."""

import inspect
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from itertools import groupby
from typing import Any

import torch
from torch import Tensor

from regexp.schedules import Plateau, Schedule


def _quick(family: type[torch.optim.Optimizer]) -> type[torch.optim.Optimizer]:
    """The same optimizer, without importing torch's compiler.

    torch wraps these two methods to keep them out of its compiler, and imports all of it to do so, which doubles the
    time that `import torch` takes. Nothing here is compiled.
    """
    step = torch.no_grad()(inspect.unwrap(family.step))
    step.hooked = True  # torch's mark for "already has the profiler's hook", which costs more than a small update
    return type(family.__name__, (family,), {"add_param_group": inspect.unwrap(family.add_param_group), "step": step})


FAMILIES = {
    "adam": _quick(torch.optim.Adam),
    "adamw": _quick(torch.optim.AdamW),
    "sgd": _quick(torch.optim.SGD),
    "rmsprop": _quick(torch.optim.RMSprop),
}


@dataclass(frozen=True)
class Numbers:
    """A run's optimizer: keyword arguments of its family, lr included.

    Attributes:
        arguments: of the torch.optim class.
        schedule: factor on lr at a step.
        l1: weight in the loss of the sum of all parameters' absolute values.
        clip_norm: largest L2 norm of the gradient; inf: not clipped.
        key: equal for runs whose arguments and schedule are equal.
    """

    arguments: Mapping[str, Any]
    schedule: Schedule
    l1: float
    clip_norm: float
    key: str

    @property
    def memory(self) -> Plateau | None:
        """The schedule, where it is more than a function of the step."""
        return self.schedule if isinstance(self.schedule, Plateau) else None


class Optimizer:
    """One torch optimizer for K runs.

    Consecutive runs with equal arguments and schedules form a block. Each block is a parameter group whose parameters
    are views of the stacked tensors; when all runs agree, the one block is the stacked tensors themselves.
    """

    def __init__(self, family: str, parameters: Mapping[str, Tensor], runs: Sequence[Numbers], steps: int = 0) -> None:
        """`parameters` by name, each [K, ...]; `runs` [K]; `steps` already done."""
        self.parameters, self.runs, self.steps = dict(parameters), list(runs), steps
        # The learning rates of runs that remember their scores may come to differ: each is a block of its own.
        blocks = [list(block) for _, block in groupby(runs, key=lambda run: (run.key, id(run.memory)))]
        self.sizes = [len(block) for block in blocks]
        self.leaders = [block[0] for block in blocks]
        self.views = {
            name: [tensor] if len(blocks) == 1 else list(tensor.detach().split(self.sizes))
            for name, tensor in self.parameters.items()
        }
        first = next(iter(self.parameters.values()))
        groups = [
            {**leader.arguments, "params": [views[block] for views in self.views.values()]}
            for block, leader in enumerate(self.leaders)
        ]
        # torch has no fused RMSprop; foreach, its choice on a GPU, gains nothing on a processor (measured: below 5 %).
        fused = {} if family == "rmsprop" else {"fused": first.device.type in ("cpu", "cuda", "mps")}
        self.torch = FAMILIES[family](groups, **fused)  # type: ignore[arg-type]
        self.penalizes = any(run.l1 != 0 for run in runs)
        self.l1 = torch.tensor([run.l1 for run in runs], dtype=first.dtype, device=first.device)
        self.clips = any(run.clip_norm != torch.inf for run in runs)
        self.clip_norms = torch.tensor([run.clip_norm for run in runs], dtype=first.dtype, device=first.device)

    def rates(self) -> list[float]:
        """Learning rates [K] of the last step."""
        return [
            group["lr"] for group, size in zip(self.torch.param_groups, self.sizes, strict=True) for _ in range(size)
        ]

    @torch.no_grad()
    def penalize(self) -> None:
        """Add to each run's gradient that of its l1 * sum |w|: l1 * sign(w), as autograd has it 0 at 0."""
        for tensor in self.parameters.values():
            _gradient(tensor).addcmul_(tensor.sign(), _along(self.l1, tensor))

    @torch.no_grad()
    def gradient_norms(self) -> Tensor:
        """L2 norm of each run's gradient: [K]."""
        norms = [torch.linalg.vector_norm(_gradient(tensor).flatten(1), dim=1) for tensor in self.parameters.values()]
        total: Tensor = torch.linalg.vector_norm(torch.stack(norms), dim=0)
        return total

    @torch.no_grad()
    def clip(self, norms: Tensor) -> None:
        """Scale down the gradients whose norms [K] are above their run's clip_norm, as clip_grad_norm_."""
        # An infinite norm of a run that is not clipped would give inf / inf.
        factors = (self.clip_norms / (norms + 1e-6)).clamp(max=1.0).where(self.clip_norms.isfinite(), 1.0)
        for tensor in self.parameters.values():
            _gradient(tensor).mul_(_along(factors, tensor))

    def step(self) -> None:
        """Update all runs and forget the gradients."""
        for group, leader in zip(self.torch.param_groups, self.leaders, strict=True):
            group["lr"] = leader.arguments["lr"] * leader.schedule(self.steps)
        if len(self.sizes) > 1:
            for name, tensor in self.parameters.items():
                for view, gradient in zip(self.views[name], _gradient(tensor).split(self.sizes), strict=True):
                    view.grad = gradient
        self.torch.step()
        for name, tensor in self.parameters.items():
            tensor.grad = None
            for view in self.views[name]:
                view.grad = None
        self.steps += 1

    def row(self, k: int) -> dict[str, Tensor]:
        """Run k's optimizer state, by "parameter/entry"."""
        block = 0
        while k >= self.sizes[block]:
            k -= self.sizes[block]
            block += 1
        return {
            f"{name}/{entry}": value[k] if value.dim() else value
            for name, views in self.views.items()
            for entry, value in self.torch.state[views[block]].items()
            if value is not None
        }

    def load(self, rows: Sequence[Mapping[str, Tensor]]) -> None:
        """Take over the states [K] that `row` gave, here or elsewhere, after `steps` steps."""
        start = 0
        for block, size in enumerate(self.sizes):
            for name, views in self.views.items():
                for key, value in rows[start].items():
                    if key.rpartition("/")[0] == name:
                        stacked = value if value.dim() == 0 else torch.stack([row[key] for row in rows[start:][:size]])
                        self.torch.state[views[block]][key.rpartition("/")[2]] = stacked.to(views[block].device).clone()
            start += size


def _along(numbers: Tensor, tensor: Tensor) -> Tensor:
    """numbers [K] -> [K, 1, ...], as many dimensions as `tensor` has."""
    return numbers.view(-1, *[1] * (tensor.dim() - 1))


def _gradient(tensor: Tensor) -> Tensor:
    assert tensor.grad is not None, "step() comes after backward()"
    return tensor.grad
