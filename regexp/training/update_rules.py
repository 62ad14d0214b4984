"""The update rules of torch's optimizers, for groups of runs.

Runs with equal numbers are updated by torch's own kernel, which takes one number for all its tensors. Many runs that
differ in their numbers are updated by a rule: a few operations for all of them, in which a number that differs is a
tensor [K, 1, ...] for each parameter.
"""

from collections.abc import Callable, Iterable, Mapping
from dataclasses import dataclass
from functools import partial
from typing import Any

import torch
from torch import Tensor

# What torch._foreach_* takes and returns.
Tensors = list[Tensor] | tuple[Tensor, ...]
# Numbers by name. A number that differs between runs is a list of tensors, of which each broadcasts to a parameter.
Numbers = Mapping[str, Any]


@dataclass(frozen=True)
class TensorLists:
    """The tensors that are updated together: those of all runs, [K, ...], or views of some of the runs.

    Attributes:
        parameters: the parameters.
        gradients: their gradients.
        state: the optimizer's state, by the names that torch.optim gives its entries.
    """

    parameters: list[Tensor]
    gradients: list[Tensor]
    state: dict[str, list[Tensor]]


@dataclass(frozen=True)
class OptimizerSpec:
    """One of torch's optimizers, as StackedOptimizer uses it.

    Attributes:
        state_names: a function that returns the names, as in torch.optim, of the state that some arguments need.
        numbers: a function that makes the numbers of a run from the arguments of the torch.optim class, except lr.
        kernel: updates tensors of runs with equal numbers. Gets these, `lr`, and `count`: the number of steps with this
            one, a tensor of no dimension.
        rule: updates tensors of runs whose numbers may differ. Gets these, and those of `step_numbers`.
        step_numbers: a function of learning rates [steps, K], counts [steps, 1] and `numbers` [K] that returns further
            numbers of each step and run by name, [steps, K].
    """

    state_names: Callable[[Mapping[str, Any]], Iterable[str]]
    numbers: Callable[..., dict[str, float]]
    kernel: Callable[[TensorLists, Numbers], None]
    rule: Callable[[TensorLists, Numbers], None]
    step_numbers: Callable[[Tensor, Tensor, Mapping[str, Tensor]], dict[str, Tensor]]


def _adam_state(arguments: Mapping[str, Any]) -> list[str]:
    return ["exp_avg", "exp_avg_sq"]


def _adam_numbers(betas: tuple[float, float], eps: float, weight_decay: float) -> dict[str, float]:
    beta1, beta2 = betas
    weights = {"average_weight": 1 - beta1, "square_weight": 1 - beta2}
    return {"beta1": beta1, "beta2": beta2, "eps": eps, "weight_decay": weight_decay, **weights}


def _adam_step_numbers(lr: Tensor, counts: Tensor, numbers: Mapping[str, Tensor]) -> dict[str, Tensor]:
    return {
        "step_size": lr / (1 - numbers["beta1"] ** counts),
        "root_correction": (1 - numbers["beta2"] ** counts).sqrt(),
    }


def _adamw_step_numbers(lr: Tensor, counts: Tensor, numbers: Mapping[str, Tensor]) -> dict[str, Tensor]:
    return {**_adam_step_numbers(lr, counts, numbers), "shrinkage": 1 - lr * numbers["weight_decay"]}


def _adam_kernel(tensors: TensorLists, numbers: Numbers, kernel: Callable[..., None]) -> None:
    state = tensors.state
    kernel(
        tensors.parameters,
        tensors.gradients,
        state["exp_avg"],
        state["exp_avg_sq"],
        [],
        [numbers["count"]] * len(tensors.parameters),
        lr=numbers["lr"],
        **{name: numbers[name] for name in ("beta1", "beta2", "eps", "weight_decay")},
        amsgrad=False,
        maximize=False,
    )


def _adam_rule(tensors: TensorLists, numbers: Numbers, decoupled: bool) -> None:
    """Kingma and Ba 2015; with decoupled weight decay, AdamW: Loshchilov and Hutter 2019."""
    parameters, gradients = tensors.parameters, tensors.gradients
    averages, square_averages = tensors.state["exp_avg"], tensors.state["exp_avg_sq"]
    if decoupled:
        torch._foreach_mul_(parameters, numbers["shrinkage"])
    else:
        _add_scaled(gradients, parameters, numbers["weight_decay"])
    torch._foreach_lerp_(averages, gradients, numbers["average_weight"])
    torch._foreach_lerp_(square_averages, torch._foreach_mul(gradients, gradients), numbers["square_weight"])
    scales = torch._foreach_sqrt(square_averages)
    torch._foreach_div_(scales, numbers["root_correction"])
    torch._foreach_add_(scales, numbers["eps"])
    torch._foreach_addcdiv_(parameters, torch._foreach_mul(averages, numbers["step_size"]), scales, value=-1)


def _sgd_state(arguments: Mapping[str, Any]) -> list[str]:
    return ["momentum_buffer"] if arguments["momentum"] else []


def _sgd_numbers(momentum: float, nesterov: bool, weight_decay: float) -> dict[str, float]:
    weights = {"gradient_weight": float(nesterov), "buffer_weight": momentum if nesterov else 1.0}
    return {"momentum": momentum, "nesterov": nesterov, "weight_decay": weight_decay, **weights}


def _only_lr(lr: Tensor, counts: Tensor, numbers: Mapping[str, Tensor]) -> dict[str, Tensor]:
    return {"lr": lr}


def _sgd_kernel(tensors: TensorLists, numbers: Numbers) -> None:
    # torch starts the buffer as the first gradient; a buffer of zeros gives the same.
    torch._fused_sgd_(
        tensors.parameters,
        tensors.gradients,
        tensors.state.get("momentum_buffer", []),
        lr=numbers["lr"],
        **{name: numbers[name] for name in ("momentum", "nesterov", "weight_decay")},
        dampening=0.0,
        maximize=False,
        is_first_step=False,
    )


def _sgd_rule(tensors: TensorLists, numbers: Numbers) -> None:
    """Gradient descent with momentum, as torch defines it, or with Nesterov's: Sutskever et al. 2013."""
    gradients = tensors.gradients
    _add_scaled(gradients, tensors.parameters, numbers["weight_decay"])
    directions: Tensors = gradients
    if (buffers := tensors.state.get("momentum_buffer")) is not None:
        torch._foreach_mul_(buffers, numbers["momentum"])
        torch._foreach_add_(buffers, gradients)
        directions = torch._foreach_mul(buffers, numbers["buffer_weight"])
        _add_scaled(directions, gradients, numbers["gradient_weight"])
    _add_scaled(tensors.parameters, directions, numbers["lr"], sign=-1)


def _rmsprop_state(arguments: Mapping[str, Any]) -> list[str]:
    names = ["square_avg", *_sgd_state(arguments)]
    if arguments["centered"]:
        names.append("grad_avg")
    return names


def _rmsprop_numbers(
    alpha: float, centered: bool, momentum: float, eps: float, weight_decay: float
) -> dict[str, float]:
    weights = {"average_weight": 1 - alpha, "centering_weight": float(centered)}
    return {"momentum": momentum, "eps": eps, "weight_decay": weight_decay, **weights}


def _rmsprop_rule(tensors: TensorLists, numbers: Numbers) -> None:
    """Tieleman and Hinton 2012; centered: Graves 2013."""
    gradients = tensors.gradients
    square_averages = tensors.state["square_avg"]
    _add_scaled(gradients, tensors.parameters, numbers["weight_decay"])
    torch._foreach_lerp_(square_averages, torch._foreach_mul(gradients, gradients), numbers["average_weight"])
    if (averages := tensors.state.get("grad_avg")) is not None:
        torch._foreach_lerp_(averages, gradients, numbers["average_weight"])
        centers = torch._foreach_mul(averages, averages)
        torch._foreach_mul_(centers, numbers["centering_weight"])
        scales = torch._foreach_sub(square_averages, centers)
        torch._foreach_sqrt_(scales)
    else:
        scales = torch._foreach_sqrt(square_averages)
    torch._foreach_add_(scales, numbers["eps"])
    directions: Tensors = torch._foreach_div(gradients, scales)
    if (buffers := tensors.state.get("momentum_buffer")) is not None:
        torch._foreach_mul_(buffers, numbers["momentum"])
        torch._foreach_add_(buffers, directions)
        directions = buffers
    _add_scaled(tensors.parameters, directions, numbers["lr"], sign=-1)


def _add_scaled(targets: Tensors, tensors: Tensors, number: float | Tensors, sign: int = 1) -> None:
    """Add sign * number * tensor to each target in place."""
    if isinstance(number, list | tuple):
        torch._foreach_addcmul_(targets, tensors, number, value=sign)
    elif number != 0:
        torch._foreach_add_(targets, tensors, alpha=sign * number)


OPTIMIZERS = {
    "adam": OptimizerSpec(
        _adam_state,
        _adam_numbers,
        partial(_adam_kernel, kernel=torch._fused_adam_),
        partial(_adam_rule, decoupled=False),
        _adam_step_numbers,
    ),
    "adamw": OptimizerSpec(
        _adam_state,
        _adam_numbers,
        partial(_adam_kernel, kernel=torch._fused_adamw_),
        partial(_adam_rule, decoupled=True),
        _adamw_step_numbers,
    ),
    "sgd": OptimizerSpec(_sgd_state, _sgd_numbers, _sgd_kernel, _sgd_rule, _only_lr),
    # torch has no fused kernel for RMSprop, and the rule is as fast as what it has.
    "rmsprop": OptimizerSpec(_rmsprop_state, _rmsprop_numbers, _rmsprop_rule, _rmsprop_rule, _only_lr),
}
