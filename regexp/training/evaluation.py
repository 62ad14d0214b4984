"""Losses and accuracies of K runs."""

from dataclasses import dataclass

import torch
import torch.nn.functional as F
from torch import Tensor

from regexp.data.dataset import Images, scale
from regexp.models.mlp import MLP
from regexp.utils.device import Compute

# Runs times images evaluated at a time: memory does not grow with the validation set. On a processor the hidden units
# stay within its cache; a GPU wants more to do at once.
ROWS = {"cpu": 2**13, "cuda": 2**18, "mps": 2**16}


@dataclass(frozen=True)
class Evaluation:
    """Of K runs on the same images, in evaluation mode and without label smoothing.

    Attributes:
        loss: [K], mean over images, in nats.
        accuracy: [K], fraction of images.
        predictions: [K, N], on the device; None where they were not asked for.
    """

    loss: Tensor
    accuracy: Tensor
    predictions: Tensor | None


def cross_entropy(logits: Tensor, labels: Tensor, smoothing: Tensor | None = None) -> Tensor:
    """Mean over the batch of (1 - e) * -log p(label) + e * mean over classes of -log p: [K].

    torch's cross_entropy with a label smoothing of its own for each run (Szegedy et al. 2016).

    Args:
        logits: [K, B, classes].
        labels: [K, B].
        smoothing: e [K]; None: 0 for all.
    """
    losses = F.cross_entropy(logits.transpose(1, 2), labels, reduction="none")  # [K, B]
    if smoothing is not None:
        losses = losses.lerp(-logits.log_softmax(-1).mean(-1), smoothing.unsqueeze(1))
    return losses.mean(1)


@torch.no_grad()
def evaluate(
    model: MLP, runs: int, part: Images, compute: Compute, predict: bool = False, labels: Tensor | None = None
) -> Evaluation:
    """Measure all runs of a model on the same images, on their device; leaves the model in evaluation mode.

    Args:
        model: K runs.
        runs: K.
        part: N images.
        compute: where and in which precision.
        predict: keep the predictions.
        labels: [K, N], each run's own; None: the images', for all.
    """
    model.eval()
    loss = torch.zeros(runs, dtype=compute.sum_dtype, device=compute.device)
    correct = torch.zeros_like(loss)
    predictions = []
    size = max(1, ROWS[compute.device.type] // runs)
    labels = part.labels.expand(runs, -1) if labels is None else labels
    for images, expected in zip(part.images.split(size), labels.split(size, 1), strict=True):
        with compute.arithmetic():
            logits = model(scale(images, compute.dtype).unsqueeze(0), [runs])  # [K, b, classes]
        logits = logits.to(compute.dtype)
        loss += cross_entropy(logits, expected) * len(images)
        predicted = logits.argmax(-1)  # [K, b]
        correct += (predicted == expected).sum(1)
        if predict:
            predictions.append(predicted)
    return Evaluation(loss / len(part), correct / len(part), torch.cat(predictions, 1) if predict else None)


def confusion(predictions: Tensor, labels: Tensor, classes: int) -> Tensor:
    """Counts [classes, classes]: row is the label, column the prediction. Both arguments [N]."""
    return torch.bincount(labels * classes + predictions, minlength=classes**2).view(classes, classes)
