"""Max-norm: a bound on the incoming weights of every unit (Srivastava et al. 2014)."""

from collections.abc import Iterable

import torch
from torch import Tensor

_EPSILON = 1e-7  # torch.renorm's


@torch.no_grad()
def bound_weights(parameters: Iterable[Tensor], max_norms: Tensor) -> None:
    """Scale the incoming weights of each unit down to a norm of `max_norms[k]` where theirs is larger, in place.

    Srivastava et al. 2014, "Dropout: a simple way to prevent neural networks from overfitting", section 5.1. The same
    as torch.renorm(weight, p=2, dim=0, maxnorm=max_norm) for each run. Biases, and the weights of a normalization, are
    no incoming weights.

    Args:
        parameters: stacked parameters, [K, ...]; those of three dimensions or more are weights [K, units, ...].
        max_norms: [K], the largest L2 norm of the incoming weights of a unit; inf for no bound.
    """
    for weight in parameters:
        if weight.dim() < 3:
            continue
        rows = weight.flatten(2)  # [K, units, inputs]
        norms = torch.linalg.vector_norm(rows, dim=2, keepdim=True)  # [K, units, 1]
        bounds = max_norms.view(-1, 1, 1)
        factors = (bounds / (norms + _EPSILON)).where(norms > bounds, 1.0)
        weight.mul_(factors.view(*weight.shape[:2], *[1] * (weight.dim() - 2)))
