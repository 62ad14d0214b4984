"""The cross entropy of K runs: of the labels, and of every class."""

import torch.nn.functional as F
from torch import Tensor


def cross_entropy(logits: Tensor, labels: Tensor) -> Tensor:
    """Return -log p(label), in nats, of every image and run; torch.nn.functional.cross_entropy.

    Args:
        logits: [K, B, classes].
        labels: [K, B].

    Returns:
        [K, B].
    """
    return F.cross_entropy(logits.transpose(1, 2), labels, reduction="none")


def class_cross_entropies(logits: Tensor) -> Tensor:
    """Return -log p(class), in nats, of every image, run and class: [K, B, classes], as are the logits."""
    return -logits.log_softmax(-1)
