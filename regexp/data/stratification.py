"""Stratified choices of images: each class gives a part in proportion to its size."""

import torch
from torch import Tensor

from regexp.utils.rng import random_stream


def stratified_indices(labels: Tensor, count: int, seed: int, name: str, spare_last: bool = False) -> Tensor:
    """Choose images at random, so that the number of each class is in proportion to within one image.

    Every class first gives its share, rounded down. The images that are then missing come from the classes with the
    largest remainders, but first from classes that have given none.

    Args:
        labels: [N], the labels of all images.
        count: number of images to choose.
        seed: seed of the random stream.
        name: name of the random stream.
        spare_last: whether a class that would have no image left gives one more only after all other classes.

    Returns:
        Sorted indices [count].
    """
    generator = random_stream(seed, f"split/{name}")
    indices_by_class = [torch.nonzero(labels == label).flatten() for label in labels.unique()]
    class_sizes = [len(indices) for indices in indices_by_class]
    shares = torch.tensor([size * count / len(labels) for size in class_sizes], dtype=torch.float64)
    quotas = shares.floor().long()
    priorities = shares - quotas + (quotas == 0).double()
    if spare_last:
        priorities -= 2 * (quotas + 1 == torch.tensor(class_sizes)).double()
    missing = count - int(quotas.sum())
    quotas[priorities.argsort(descending=True, stable=True)[:missing]] += 1
    chosen_indices = []
    for indices, quota in zip(indices_by_class, quotas.tolist(), strict=True):
        order = torch.randperm(len(indices), generator=generator)
        chosen_indices.append(indices[order[:quota]])
    return torch.cat(chosen_indices).sort().values


def complement(indices: Tensor, length: int) -> Tensor:
    """Return the numbers below `length` that are not in `indices`, sorted."""
    is_in_complement = torch.ones(length, dtype=torch.bool)
    is_in_complement[indices] = False
    return torch.nonzero(is_in_complement).flatten()
