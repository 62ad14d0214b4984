"""The bootstrapping losses for wrong labels (Reed et al. 2015): the network's own prediction is part of the target."""

from torch import Tensor


def bootstrap_softly(losses: Tensor, logits: Tensor, betas: Tensor) -> Tensor:
    """Return beta * -log p(class) + (1 - beta) * H(p), whose target is mixed with p (Reed et al. 2015, equation 6).

    The gradient goes through the target too, as in the paper: it lowers the entropy H of the prediction.

    Args:
        losses: [K, B, n], the cross entropies -log p of n classes of each image.
        logits: [K, B, classes].
        betas: [K, 1, 1], the weight of the label; 1 leaves a run's losses as they are.

    Returns:
        [K, B, n].
    """
    log_p = logits.log_softmax(-1)
    entropy = -(log_p.exp() * log_p).sum(-1, keepdim=True)  # [K, B, 1]
    return betas * losses + (1 - betas) * entropy


def bootstrap_hard(losses: Tensor, logits: Tensor, betas: Tensor) -> Tensor:
    """Return beta * -log p(class) + (1 - beta) * -log max p, whose target is mixed with the predicted class.

    Reed et al. 2015, equation 7. Arguments and result are those of `bootstrap_softly`.
    """
    best_losses = -logits.log_softmax(-1).amax(-1, keepdim=True)  # [K, B, 1]
    return betas * losses + (1 - betas) * best_losses
