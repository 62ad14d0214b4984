"""Accuracies that do not count the images alone: over the classes, and among the largest logits."""

import torch
from torch import Tensor

from regexp.training.measures.tally import Tally


def balanced_accuracy(tally: Tally) -> Tensor:
    """Return the mean over the classes of the accuracy on their images, for each run, [K].

    Classes without images do not count.
    """
    return (tally.correct_by_class / tally.class_sizes.clamp(min=1)).sum(1) / (tally.class_sizes > 0).sum(1)


def worst_class_accuracy(tally: Tally) -> Tensor:
    """Return the smallest accuracy on the images of a class for each run, [K]; classes without images do not count."""
    accuracies = tally.correct_by_class / tally.class_sizes.clamp(min=1)
    return torch.where(tally.class_sizes > 0, accuracies, 1.0).amin(1)


def top_accuracy(tally: Tally) -> Tensor:
    """Return the share of images whose label is among the five largest logits, for each run, [K]."""
    return tally.num_in_top / tally.num_images
