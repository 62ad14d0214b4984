"""One optimizer for K runs against one torch.optim optimizer for each."""

import inspect
import math
from collections.abc import Iterator, Sequence
from functools import partial
from typing import Any

import pytest
import torch
from torch import Tensor, nn
from torch.testing import assert_close

from regexp.optimization import FAMILIES, Numbers, Optimizer
from regexp.schedules import constant, cosine, onecycle

close = partial(assert_close, rtol=0, atol=1e-12)
every_family = pytest.mark.parametrize("family", FAMILIES)

SHAPES = {"1.weight": (4, 3), "1.bias": (4,), "2.weight": (2, 4)}
STEPS = 12
LETTERS: dict[str, dict[str, Any]] = {
    "a": {"lr": 0.1, "weight_decay": 0.0, "betas": (0.9, 0.999), "eps": 1e-8, "momentum": 0.9, "nesterov": True},
    "b": {"lr": 0.03, "weight_decay": 0.2, "betas": (0.8, 0.95), "eps": 1e-3, "momentum": 0.0, "nesterov": False},
    "c": {"lr": 0.2, "weight_decay": 0.01, "betas": (0.0, 0.9), "eps": 1e-6, "momentum": 0.5, "nesterov": False},
}
LETTERS["d"] = LETTERS["a"]
SCHEDULES = {
    "a": cosine(STEPS, 3, 0.1),
    "b": constant(),
    "c": onecycle(STEPS, 0.3, 25.0, 1e4),
    "d": constant(),
}
CLIPS = {"a": 0.3, "b": math.inf, "c": 2.0, "d": math.inf}
MIXTURES = ["aabc", "abca", "bacc", "dada", "aaaa", "bb", "c"]


def oracle(family: str) -> type[torch.optim.Optimizer]:
    return getattr(torch.optim, FAMILIES[family].__name__)


def numbers(family: str, letter: str) -> Numbers:
    accepted = inspect.signature(oracle(family)).parameters
    arguments = {name: value for name, value in LETTERS[letter].items() if name in accepted}
    return Numbers(arguments, SCHEDULES[letter], CLIPS[letter], key=letter)


def weights(runs: int, dtype: torch.dtype = torch.float64) -> dict[str, nn.Parameter]:
    return {name: nn.Parameter(torch.randn(runs, *shape, dtype=dtype)) for name, shape in SHAPES.items()}


def gradients(runs: int, steps: int) -> list[dict[str, Tensor]]:
    """Of all sizes, so that some are clipped and some are not."""
    return [
        {name: torch.randn(runs, *shape, dtype=torch.float64) * 10 ** (-step % 3 - 1) for name, shape in SHAPES.items()}
        for step in range(steps)
    ]


def advance(optimizer: Optimizer, gradient: dict[str, Tensor], rows: Sequence[int] | None = None) -> None:
    """A step, as the cohort takes it."""
    for name, parameter in optimizer.parameters.items():
        parameter.grad = gradient[name].clone() if rows is None else gradient[name][list(rows)]
    if optimizer.clips:
        optimizer.clip(optimizer.gradient_norms())
    optimizer.step()


def alone(
    run: Numbers, family: str, start: dict[str, Tensor], steps: list[dict[str, Tensor]]
) -> Iterator[list[Tensor]]:
    """The same run with torch's own optimizer, scheduler and clipping; yields its parameters after every step."""
    parameters = [nn.Parameter(tensor.detach().clone()) for tensor in start.values()]
    optimizer = oracle(family)(parameters, **run.arguments)
    scheduler = torch.optim.lr_scheduler.LambdaLR(optimizer, run.schedule)
    for gradient in steps:
        for parameter, values in zip(parameters, gradient.values(), strict=True):
            parameter.grad = values.clone()
        if run.clip_norm != math.inf:
            nn.utils.clip_grad_norm_(parameters, run.clip_norm)
        optimizer.step()
        scheduler.step()
        yield [parameter.detach() for parameter in parameters]


@every_family
@pytest.mark.parametrize("mixture", MIXTURES)
def test_every_run_moves_as_with_a_torch_optimizer_of_its_own(family: str, mixture: str) -> None:
    runs, parameters = [numbers(family, letter) for letter in mixture], weights(len(mixture))
    steps = gradients(len(runs), STEPS)
    own = [
        alone(run, family, {n: p[k] for n, p in parameters.items()}, [{n: g[k] for n, g in s.items()} for s in steps])
        for k, run in enumerate(runs)
    ]
    optimizer = Optimizer(family, parameters, runs)
    for gradient, *expected in zip(steps, *own, strict=True):
        advance(optimizer, gradient)
        for k, tensors in enumerate(expected):
            for parameter, tensor in zip(parameters.values(), tensors, strict=True):
                close(parameter.detach()[k], tensor)


@every_family
def test_consecutive_runs_with_equal_numbers_share_a_parameter_group(family: str) -> None:
    runs = [numbers(family, letter) for letter in "aabba"]
    assert len(Optimizer(family, weights(5), runs).torch.param_groups) == 3


@every_family
@pytest.mark.parametrize("rows", [[0, 1], [2], [1, 3, 4], [4, 0], [0, 1, 2, 3, 4]], ids=str)
@pytest.mark.parametrize("before", [0, 1, 5])
def test_a_run_goes_on_in_another_optimizer_as_if_it_had_never_moved(family: str, rows: list[int], before: int) -> None:
    runs, parameters, steps = [numbers(family, letter) for letter in "aabcc"], weights(5), gradients(5, STEPS)
    staying = Optimizer(family, parameters, runs)
    for gradient in steps[:before]:
        advance(staying, gradient)
    moved = {name: nn.Parameter(parameter.detach()[rows]) for name, parameter in parameters.items()}
    moving = Optimizer(family, moved, [runs[k] for k in rows], staying.steps)
    moving.load([staying.row(k) for k in rows])
    for gradient in steps[before:]:
        advance(staying, gradient)
        advance(moving, gradient, rows)
    for name, parameter in moved.items():
        close(parameter.detach(), parameters[name].detach()[rows])


@every_family
def test_a_rows_state_is_named_by_parameter_and_entry(family: str) -> None:
    optimizer = Optimizer(family, weights(4), [numbers(family, letter) for letter in "aabc"])
    advance(optimizer, gradients(4, 1)[0])
    entries = {"momentum_buffer"} if family == "sgd" else {"step", "exp_avg", "exp_avg_sq"}
    row = optimizer.row(1)
    assert set(row) == {f"{name}/{entry}" for name in SHAPES for entry in entries}
    assert all(tensor.shape in (SHAPES[key.split("/")[0]], ()) for key, tensor in row.items())


@pytest.mark.parametrize("mixture", ["aaa", "abc"])
def test_gradient_norms_are_torchs(mixture: str) -> None:
    parameters = weights(3)
    optimizer = Optimizer("adam", parameters, [numbers("adam", letter) for letter in mixture])
    for name, gradient in gradients(3, 1)[0].items():
        parameters[name].grad = gradient
    norms = optimizer.gradient_norms()
    for k in range(3):
        close(norms[k], nn.utils.get_total_norm([parameter.grad[k] for parameter in parameters.values()]))


def test_clipping_is_torchs_and_leaves_short_gradients_alone() -> None:
    parameters, gradient = weights(4), gradients(4, 1)[0]
    runs = [numbers("sgd", letter) for letter in "abcc"]
    for name, values in gradient.items():
        values[3] /= 1000
        parameters[name].grad = values.clone()
    optimizer = Optimizer("sgd", parameters, runs)
    optimizer.clip(optimizer.gradient_norms())
    for k, run in enumerate(runs):
        own = [nn.Parameter(values[k]) for values in gradient.values()]
        for parameter, values in zip(own, gradient.values(), strict=True):
            parameter.grad = values[k].clone()
        nn.utils.clip_grad_norm_(own, run.clip_norm)
        for parameter, stacked in zip(own, parameters.values(), strict=True):
            close(stacked.grad[k], parameter.grad)
    for k in (1, 3):
        assert all(torch.equal(parameters[name].grad[k], values[k]) for name, values in gradient.items())


def test_only_runs_with_a_finite_norm_are_clipped() -> None:
    assert not Optimizer("sgd", weights(2), [numbers("sgd", "b"), numbers("sgd", "d")]).clips
    assert Optimizer("sgd", weights(2), [numbers("sgd", "b"), numbers("sgd", "a")]).clips


def test_an_unclipped_run_does_not_see_that_its_neighbour_is_clipped() -> None:
    """Not even where its gradient is so large that the norm overflows."""
    parameters = weights(2, torch.float32)
    optimizer = Optimizer("sgd", parameters, [numbers("sgd", letter) for letter in "ab"])
    gradient = {name: torch.full((2, *shape), 1e30) for name, shape in SHAPES.items()}
    for name, parameter in parameters.items():
        parameter.grad = gradient[name].clone()
    optimizer.clip(optimizer.gradient_norms())
    assert all(torch.equal(parameter.grad[1], gradient[name][1]) for name, parameter in parameters.items())


@pytest.mark.parametrize("mixture", ["aa", "ab"])
def test_gradients_are_gone_after_a_step(mixture: str) -> None:
    parameters = weights(2)
    optimizer = Optimizer("adam", parameters, [numbers("adam", letter) for letter in mixture])
    advance(optimizer, gradients(2, 1)[0])
    assert all(parameter.grad is None for parameter in parameters.values())
    assert all(view.grad is None for views in optimizer.views.values() for view in views)


def test_rates_are_those_of_the_last_step() -> None:
    runs = [numbers("adam", letter) for letter in "aabc"]
    optimizer = Optimizer("adam", weights(4), runs, steps=2)
    for step in range(2, 8):
        advance(optimizer, gradients(4, 1)[0])
        assert optimizer.rates() == [run.arguments["lr"] * run.schedule(step) for run in runs]
    assert optimizer.steps == 8
