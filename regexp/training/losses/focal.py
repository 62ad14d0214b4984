"""The focal loss (Lin et al. 2017), for softmax over classes."""

import torch
from torch import Tensor


def focus(losses: Tensor, logits: Tensor, gammas: Tensor) -> Tensor:
    """Return (1 - p)^gamma * -log p, which hardly counts images that are right already (Lin et al. 2017, equation 4).

    Args:
        losses: [K, B, n], the cross entropies -log p of n classes of each image.
        logits: [K, B, classes], which are not needed.
        gammas: [K, 1, 1]; 0 leaves a run's losses as they are.

    Returns:
        [K, B, n].
    """
    # Above 0, because the slope of x^gamma at 0 is infinite for gamma < 1, and infinity x 0 is NaN.
    misses = -torch.expm1(-losses).clamp(max=-torch.finfo(losses.dtype).tiny)  # 1 - p
    return misses.pow(gammas) * losses
