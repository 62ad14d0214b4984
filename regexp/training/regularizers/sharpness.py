"""Sharpness-aware minimization: gradients of the worst weights nearby (Foret et al. 2021; Kwon et al. 2021)."""

from collections.abc import Collection, Iterator
from contextlib import contextmanager
from typing import final

import torch
from torch import Tensor

_EPSILON = 1e-12  # added to the norm of the gradient, which may be 0


@final
class SharpnessAwareness:
    """SAM: a step takes the gradient not at w, but at w + e, where the loss is about the largest within a radius rho.

    Foret et al. 2021, "Sharpness-aware minimization for efficiently improving generalization", equation 2:
    e = rho * g / |g|, with the gradient g at w. Adaptive (ASAM; Kwon et al. 2021, equation 8, with |w| as the
    normalization of all parameters): e = rho * w^2 g / | |w| g |, so that scaling a layer changes nothing.

    Attributes:
        radii: [K], the radius rho of each run.
        adaptive: whether e is relative to the weights.
    """

    def __init__(self, radii: Tensor, adaptive: bool) -> None:
        """Begin with the radius of each run, [K], on the device of the parameters."""
        self.radii, self.adaptive = radii, adaptive

    @contextmanager
    def worst_weights_nearby(self, parameters: Collection[Tensor]) -> Iterator[None]:
        """Let the parameters be w + e in the `with` statement, and set them back to the bit afterwards.

        Args:
            parameters: stacked parameters [K, ...] with their gradients at w.
        """
        with torch.no_grad():
            weights = [parameter.detach().clone() for parameter in parameters]
            gradients = [parameter.grad for parameter in parameters if parameter.grad is not None]
            directions: list[Tensor] = list(gradients)
            if self.adaptive:
                directions = [weight.abs() * gradient for weight, gradient in zip(weights, gradients, strict=True)]
            norms = [torch.linalg.vector_norm(direction.flatten(1), dim=1) for direction in directions]
            scales = self.radii / (torch.linalg.vector_norm(torch.stack(norms), dim=0) + _EPSILON)  # [K]
            for parameter, weight, direction in zip(parameters, weights, directions, strict=True):
                scale = scales.view(-1, *[1] * (weight.dim() - 1))
                parameter.add_(direction * weight.abs() * scale if self.adaptive else direction * scale)
        yield
        with torch.no_grad():
            for parameter, weight in zip(parameters, weights, strict=True):
                parameter.copy_(weight)
