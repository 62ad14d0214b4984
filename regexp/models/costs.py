"""What a model costs: its parameters, the values that its layers produce, and their operations."""

from collections.abc import Callable, Sequence
from dataclasses import dataclass

import torch
from torch import Tensor, nn


@dataclass(frozen=True)
class ModelCosts:
    """What a run's model costs.

    Attributes:
        num_parameters: the number of values in its parameters.
        num_activations: the number of values that its layers produce for one image, from which the memory is estimated.
        flop: the floating-point operations of a forward pass of one image, in matrix products and convolutions.
    """

    num_parameters: int
    num_activations: int
    flop: int


def count_parameters(module: nn.Module) -> int:
    """Return the number of values in the parameters of a module."""
    return sum(parameter.numel() for parameter in module.parameters())


def measure_costs(module: nn.Module, images: Tensor) -> ModelCosts:
    """Return what a module costs, by passing images [B, C, H, W] through it."""
    from torch.utils.flop_counter import FlopCounterMode  # it imports torch's compiler, which takes seconds

    num_values = 0

    def count_values(layer: nn.Module, arguments: object, output: object) -> None:
        nonlocal num_values
        if isinstance(output, Tensor) and not list(layer.children()):
            num_values += output.numel()

    handles = [layer.register_forward_hook(count_values) for layer in module.modules()]
    with torch.no_grad(), FlopCounterMode(display=False) as counter:
        module(images)
    for handle in handles:
        handle.remove()
    return ModelCosts(count_parameters(module), num_values // len(images), counter.get_total_flops() // len(images))


def estimate_costs(make_module: Callable[[], nn.Module], input_shape: Sequence[int]) -> ModelCosts:
    """Return what the module that a function makes costs, without computing anything.

    Args:
        make_module: makes the module, of torch's own layers.
        input_shape: [C, H, W] of an image, or (F,) for rows of F features.
    """
    with torch.device("meta"):
        return measure_costs(make_module(), torch.empty(2, *input_shape))  # BatchNorm refuses a single image
