"""torch's own optimizers over stacked parameters, with numbers of its own for each run."""

from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass
from functools import partial
from itertools import groupby
from typing import Any

import torch
from torch import Tensor
from torch.optim.rmsprop import rmsprop

from regexp.training.schedules import Plateau, Schedule
from regexp.utils.device import in_huge_pages


@dataclass(frozen=True)
class Hyperparameters:
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


@dataclass(frozen=True)
class Block:
    """Consecutive runs with equal arguments and schedules: lists of views, one for each parameter.

    Attributes:
        rows: of the run axis.
        numbers: the runs'.
        state: by the names that torch.optim gives its entries.
        arguments: of torch's kernel, but lr.
        counts: the optimizer's one count of steps, as often as there are parameters.
    """

    rows: slice
    numbers: Hyperparameters
    parameters: list[Tensor]
    gradients: list[Tensor]
    counts: list[Tensor]
    state: dict[str, list[Tensor]]
    arguments: dict[str, Any]


@dataclass(frozen=True)
class OptimizerSpec:
    """One of torch's optimizers.

    Attributes:
        update: moves a block's parameters at a learning rate.
        arguments: those of torch's kernel that a run's give.
        entries: of the state, by the names that torch.optim gives them.
    """

    update: Callable[[Block, float], None]
    arguments: Callable[..., dict[str, Any]]
    entries: Callable[[Mapping[str, Any]], Iterable[str]]


def _adam(block: Block, lr: float, kernel: Callable[..., None]) -> None:
    state = block.state
    kernel(
        block.parameters,
        block.gradients,
        state["exp_avg"],
        state["exp_avg_sq"],
        [],
        block.counts,
        lr=lr,
        **block.arguments,
    )


def _sgd(block: Block, lr: float) -> None:
    buffers = block.state.get("momentum_buffer", [])
    torch._fused_sgd_(block.parameters, block.gradients, buffers, lr=lr, **block.arguments)


def _rmsprop(block: Block, lr: float) -> None:
    # torch has no fused one; foreach, its choice on a GPU, gains nothing on a processor (measured: below 5 %).
    rmsprop(
        block.parameters,
        block.gradients,
        block.state["square_avg"],
        block.state.get("grad_avg", []),
        block.state.get("momentum_buffer", []),
        [count.clone() for count in block.counts],  # it counts by itself
        foreach=block.parameters[0].device.type != "cpu",
        lr=lr,
        **block.arguments,
    )


def _of_adam(lr: float, betas: tuple[float, float], **others: float) -> dict[str, Any]:
    return {"beta1": betas[0], "beta2": betas[1], **others, "amsgrad": False, "maximize": False}


def _of_sgd(lr: float, **others: float) -> dict[str, Any]:
    # A first step's buffer is the gradient, which is what one of zeros gives.
    return {**others, "dampening": 0.0, "maximize": False, "is_first_step": False}


def _of_rmsprop(lr: float, **others: float) -> dict[str, Any]:
    return others


def _moments(arguments: Mapping[str, Any]) -> list[str]:
    return ["exp_avg", "exp_avg_sq"]


def _momentum(arguments: Mapping[str, Any]) -> list[str]:
    return ["momentum_buffer"] if arguments["momentum"] else []


def _squares(arguments: Mapping[str, Any]) -> list[str]:
    return ["square_avg", *_momentum(arguments), *(["grad_avg"] if arguments["centered"] else [])]


OPTIMIZERS = {
    "adam": OptimizerSpec(partial(_adam, kernel=torch._fused_adam_), _of_adam, _moments),
    "adamw": OptimizerSpec(partial(_adam, kernel=torch._fused_adamw_), _of_adam, _moments),
    "sgd": OptimizerSpec(_sgd, _of_sgd, _momentum),
    "rmsprop": OptimizerSpec(_rmsprop, _of_rmsprop, _squares),
}


class StackedOptimizer:
    """One of torch's optimizers for K runs.

    Consecutive runs with equal arguments and schedules form a block, and torch's kernel updates one block after the
    other. All that it takes are views, made once, of stacked tensors; gradients stay where they are from step to step.
    """

    def __init__(
        self, family: str, parameters: Mapping[str, Tensor], runs: Sequence[Hyperparameters], steps: int = 0
    ) -> None:
        """`parameters` by name, each [K, ...]; `runs` [K]; `steps` already done."""
        self.parameters, self.runs, self.steps = dict(parameters), list(runs), steps
        self.family = OPTIMIZERS[family]
        for tensor in self.parameters.values():
            if tensor.grad is None:
                tensor.grad = torch.zeros_like(tensor)
        entries = dict.fromkeys(entry for run in runs for entry in self.family.entries(run.arguments))
        self.state = {
            entry: {name: torch.zeros_like(tensor.detach()) for name, tensor in self.parameters.items()}
            for entry in entries
        }
        self._make_blocks()

    def _make_blocks(self) -> None:
        runs = self.runs
        first = next(iter(self.parameters.values()))
        for name, tensor in self.parameters.items():
            for large in (tensor.detach(), _gradient(tensor), *(own[name] for own in self.state.values())):
                in_huge_pages(large)
        # torch's kernels read the count on the device.
        self.count = torch.tensor(float(self.steps), device=first.device)
        # The learning rates of runs that remember their scores may come to differ: each is a block of its own.
        blocks = [list(block) for _, block in groupby(runs, key=lambda run: (run.key, id(run.memory)))]
        self.blocks: list[Block] = []
        start = 0
        for block in blocks:
            rows, start = slice(start, start + len(block)), start + len(block)
            own = self.family.entries(block[0].arguments)
            self.blocks.append(
                Block(
                    rows,
                    block[0],
                    [tensor.detach()[rows] for tensor in self.parameters.values()],
                    [_gradient(tensor)[rows] for tensor in self.parameters.values()],
                    [self.count] * len(self.parameters),
                    {entry: [tensor[rows] for tensor in self.state[entry].values()] for entry in own},
                    self.family.arguments(**block[0].arguments),
                )
            )
        # Linear overwrites its weights' gradients; the others, which are small, autograd adds to what is there.
        self.added = [_gradient(tensor) for tensor in self.parameters.values() if tensor.dim() < 3]
        self.penalizes = any(run.l1 != 0 for run in runs)
        self.l1 = torch.tensor([run.l1 for run in runs], dtype=first.dtype, device=first.device)
        self.clips = any(run.clip_norm != torch.inf for run in runs)
        self.clip_norms = torch.tensor([run.clip_norm for run in runs], dtype=first.dtype, device=first.device)

    def rates(self) -> list[float]:
        """Learning rates [K] of the last step."""
        step = max(0, self.steps - 1)
        return [run.arguments["lr"] * run.schedule(step) for run in self.runs]

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

    @torch.no_grad()
    def step(self) -> None:
        """Update all runs and forget the gradients."""
        self.count += 1
        for block in self.blocks:
            numbers = block.numbers
            self.family.update(block, numbers.arguments["lr"] * numbers.schedule(self.steps))
        torch._foreach_zero_(self.added)
        self.steps += 1

    def let_go(self) -> None:
        """Hold no parameter and no gradient any more, until `keep`: views would keep alive what is removed."""
        self.parameters, self.blocks, self.added = {}, [], []

    def keep(self, rows: Tensor, parameters: Mapping[str, Tensor]) -> None:
        """Go on with the runs at `rows` [K'] alone, whose parameters are these."""
        self.parameters = dict(parameters)
        for tensors in self.state.values():
            for name in tensors:
                tensors[name] = tensors[name][rows]
        self.runs = [self.runs[k] for k in rows.tolist()]
        for tensor in self.parameters.values():
            tensor.grad = torch.zeros_like(tensor)
        self._make_blocks()

    def row(self, k: int) -> dict[str, Tensor]:
        """Run k's optimizer state, by "parameter/entry"; views."""
        entries = self.family.entries(self.runs[k].arguments)
        return {f"{name}/{entry}": tensor[k] for entry in entries for name, tensor in self.state[entry].items()}

    def load(self, k: int, row: Mapping[str, Tensor]) -> None:
        """Put run k's state where `row`, here or elsewhere, had it."""
        for key, value in row.items():
            name, _, entry = key.rpartition("/")
            self.state[entry][name][k].copy_(value)


def _along(numbers: Tensor, tensor: Tensor) -> Tensor:
    """numbers [K] -> [K, 1, ...], as many dimensions as `tensor` has."""
    return numbers.view(-1, *[1] * (tensor.dim() - 1))


def _gradient(tensor: Tensor) -> Tensor:
    assert tensor.grad is not None
    return tensor.grad
