"""The confidence penalty (Pereyra et al. 2017)."""

from torch import Tensor


def penalize_confidence(losses: Tensor, logits: Tensor, weights: Tensor) -> Tensor:
    """Return loss - weight * H(p), where H is the entropy of the predicted classes (Pereyra et al. 2017, section 3).

    Args:
        losses: [K, B].
        logits: [K, B, classes].
        weights: [K, 1]; 0 leaves a run's losses as they are.

    Returns:
        [K, B].
    """
    log_p = logits.log_softmax(-1)
    entropy = -(log_p.exp() * log_p).sum(-1)  # [K, B]
    return losses - weights * entropy
