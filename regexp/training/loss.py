"""The training loss of K runs: cross entropy, changed by loss terms of which each run has its own weights.

A loss term is a function of losses [K, B], logits [K, B, classes] and weights [K, 1] that returns losses [K, B]; a
weight of 0 leaves a run's losses as they are. Each is a field of config.schema.LossConfig, which names its function.
"""

from collections.abc import Callable, Mapping

import torch.nn.functional as F
from torch import Tensor

from regexp.training.batches import Batch

LossTerm = Callable[[Tensor, Tensor, Tensor], Tensor]


def training_loss(logits: Tensor, batch: Batch, terms: Mapping[LossTerm, Tensor]) -> Tensor:
    """Return each run's mean loss over a batch, in nats.

    Args:
        logits: [K, B, classes].
        batch: the images and their labels [K, B].
        terms: loss terms with the weights [K] of the runs, applied in order.

    Returns:
        The mean losses, [K].
    """
    losses = cross_entropy(logits, batch.labels)  # [K, B]
    if batch.other_labels is not None and batch.label_weights is not None:  # each image is a mixture of two
        losses = cross_entropy(logits, batch.other_labels).lerp(losses, batch.label_weights)
    for term, weights in terms.items():
        losses = term(losses, logits, weights.unsqueeze(1))
    return losses.mean(1)


def cross_entropy(logits: Tensor, labels: Tensor) -> Tensor:
    """Return -log p(label), in nats, of every image and run; torch.nn.functional.cross_entropy.

    Args:
        logits: [K, B, classes].
        labels: [K, B].

    Returns:
        [K, B].
    """
    return F.cross_entropy(logits.transpose(1, 2), labels, reduction="none")


def smooth_labels(losses: Tensor, logits: Tensor, weights: Tensor) -> Tensor:
    """Return (1 - e) * loss + e * mean over classes of -log p (Szegedy et al. 2016, section 7).

    It equals torch's cross_entropy with label_smoothing=e, where each run has its own e.

    Args:
        losses: [K, B], the cross entropy.
        logits: [K, B, classes].
        weights: [K, 1], the smoothing e of each run.

    Returns:
        [K, B].
    """
    return losses.lerp(-logits.log_softmax(-1).mean(-1), weights)
