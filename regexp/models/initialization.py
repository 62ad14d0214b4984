"""Distributions of initial weights."""

from collections.abc import Callable
from typing import Any

import torch
from torch import Tensor, nn


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
