"""Weights of classes, for training sets in which some classes are rare."""

import torch
from torch import Tensor


def balance_classes(labels: Tensor, num_classes: int) -> Tensor:
    """Return weights with which every class counts the same: N / (classes * images of the class).

    They are scikit-learn's class_weight="balanced". Their mean over the images is 1. Classes without images count for
    nothing: their weight is 0, and the others are balanced among themselves.

    Args:
        labels: [N], the training labels.
        num_classes: the number of classes.

    Returns:
        [classes], float64 on the CPU.
    """
    counts = torch.bincount(labels.cpu(), minlength=num_classes).double()
    num_present = int((counts > 0).sum())
    return torch.where(counts > 0, len(labels) / (num_present * counts.clamp(min=1)), 0.0)
