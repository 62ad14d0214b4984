"""Distributions of initial weights."""

from collections.abc import Callable, Mapping, Sequence
from typing import Any

import torch
from torch import Tensor, nn

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
