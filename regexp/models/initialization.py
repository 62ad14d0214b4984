"""Distributions of initial weights."""

from collections.abc import Callable, Mapping, Sequence
from typing import Any

import torch
from torch import Tensor, nn

from regexp.models.layers import Linear
from regexp.models.protocol import Architecture
from regexp.utils.rng import draw_from, random_stream


def make_modules(
    architecture: Architecture, seeds: Sequence[int], rates: Sequence[Mapping[str, float]], init: str = "torch"
) -> list[nn.Module]:
    """Return the modules of K runs, with initial weights from each run's own random stream.

    Args:
        architecture: the architecture of the modules.
        seeds: [K], the seed of each run.
        rates: [K], each run's rates of random layers by name.
        init: as in `initialize_module`.
    """
    modules = []
    for seed, run_rates in zip(seeds, rates, strict=True):
        with draw_from(random_stream(seed, "initialization")):
            module = architecture.make_module(run_rates)
            initialize_module(module, init)
        modules.append(module)
    return modules


@torch.no_grad()
def initialize_module(module: nn.Module, init: str) -> None:
    """Draw the weights of linear and convolutional layers again, from torch's global generator, with biases of zero.

    Args:
        module: a module that torch has initialized.
        init: "torch" to leave all as it is; otherwise a function of torch.nn.init by its name without the underscore.
    """
    if init == "torch":
        return
    for layer in module.modules():
        if isinstance(layer, nn.Linear | nn.Conv2d):
            draw_weights(layer.weight, init)
            if layer.bias is not None:
                layer.bias.zero_()


def draw_weights(weight: Tensor, init: str, generator: torch.Generator | None = None) -> None:
    """Draw the weights [out, in, ...] of a layer in place.

    Args:
        weight: the weights.
        init: a function of torch.nn.init by its name without the underscore.
        generator: random generator on the CPU; None for torch's global one.
    """
    fill: Callable[..., Any] = getattr(nn.init, f"{init}_")
    options = {"nonlinearity": "relu"} if init.startswith("kaiming") else {}
    fill(weight, generator=generator, **options)


@torch.no_grad()
def initialize_stacked(model: nn.Module, init: str, seeds: Sequence[int]) -> None:
    """Draw the initial weights of a model of stacked layers, each run's from its own random stream, layer by layer.

    They are drawn on the CPU and in float32, so that they depend neither on the device nor on the precision.

    Args:
        model: the model of K runs, on the CPU.
        init: as in `_draw_linear`.
        seeds: [K], the seed of each run.
    """
    generators = [random_stream(seed, "initialization") for seed in seeds]
    for layer in model.modules():
        if isinstance(layer, Linear):
            for k, generator in enumerate(generators):
                weight, bias = torch.empty(layer.weight.shape[1:]), torch.zeros(layer.bias.shape[1:])
                _draw_linear(weight, bias, init, generator)
                layer.weight[k].copy_(weight)
                layer.bias[k].copy_(bias)


def _draw_linear(weight: Tensor, bias: Tensor, init: str, generator: torch.Generator) -> None:
    """Draw one layer's weight [out, in] and bias [out] in place.

    Args:
        weight: the weight.
        bias: the bias.
        init: "torch" for the distribution of nn.Linear (He et al. 2015 with a = sqrt(5)); otherwise a function of
            torch.nn.init by its name without the underscore, with biases of zero.
        generator: random generator on the CPU.
    """
    if init == "torch":
        nn.init.kaiming_uniform_(weight, a=5**0.5, generator=generator)
        bound = weight.shape[1] ** -0.5
        bias.uniform_(-bound, bound, generator=generator)
    else:
        draw_weights(weight, init, generator)
