"""The training loss of K runs: a loss of labels, changed and added to by terms of which each run has its own numbers.

With q for the target of an image (its label, or the mixture of two, smoothed), w for the weights of the classes and
l(c) for its loss if its label were c, the loss of an image is sum over classes c of q(c) w(c) l(c), plus penalties.

Terms are fields of the schema of the loss (config.schemas.loss), which name their functions. A change is a function of
cross entropies [K, B, n] of n classes, logits [K, B, classes] and numbers [K, 1, 1] that returns losses [K, B, n], the
l(c). A penalty is a function of losses [K, B], logits and weights [K, 1] that returns losses [K, B]; a weight of 0
leaves a run's losses as they are.
"""

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field

import torch
from torch import Tensor

from regexp.training.batches import Batch
from regexp.training.losses.cross_entropy import class_cross_entropies, cross_entropy
from regexp.training.losses.user_loss import UserLoss
from regexp.utils.lazy import load_object

LossTerm = Callable[[Tensor, Tensor, Tensor], Tensor]


@dataclass(frozen=True)
class LossSettings:
    """The settings of a run's loss.

    Attributes:
        changes: the number of each change of the cross entropy, by the path of its function.
        penalties: the weight of each penalty, by the path of its function.
        label_smoothing: the share of the target probability that is spread evenly over all classes.
        class_weights: [classes], the weight of each class; None where all count the same.
    """

    changes: Mapping[str, float]
    penalties: Mapping[str, float]
    label_smoothing: float
    class_weights: Tensor | None


@dataclass(frozen=True)
class LossTerms:
    """The terms that any of K runs uses, with the numbers of the runs.

    Attributes:
        changes: the numbers [K] of each change of the cross entropy.
        smoothing: [K], the label smoothing of each run; None where there is none.
        class_weights: [K, classes]; None where all classes of all runs count the same.
        penalties: the weights [K] of each penalty.
    """

    changes: Mapping[LossTerm, Tensor] = field(default_factory=dict)
    smoothing: Tensor | None = None
    class_weights: Tensor | None = None
    penalties: Mapping[LossTerm, Tensor] = field(default_factory=dict)


def stack_loss_terms(settings: Sequence[LossSettings], dtype: torch.dtype, device: torch.device) -> LossTerms:
    """Return the terms that any of K runs uses.

    Args:
        settings: [K], the settings of each run, all of the same loss.
        dtype: the type of the losses.
        device: the device that they are computed on.
    """

    def stack(numbers: Sequence[float]) -> Tensor:
        return torch.tensor(numbers, dtype=dtype).to(device)

    first = settings[0]
    smoothing = [each.label_smoothing for each in settings]
    class_weights = None
    if any(each.class_weights is not None for each in settings):
        example = next(each.class_weights for each in settings if each.class_weights is not None)
        rows = [torch.ones_like(example) if each.class_weights is None else each.class_weights for each in settings]
        class_weights = torch.stack(rows).to(dtype).to(device)
    penalties = {path: [each.penalties[path] for each in settings] for path in first.penalties}
    return LossTerms(
        changes={load_object(path): stack([each.changes[path] for each in settings]) for path in first.changes},
        smoothing=stack(smoothing) if any(smoothing) else None,
        class_weights=class_weights,
        penalties={load_object(path): stack(weights) for path, weights in penalties.items() if any(weights)},
    )


def training_loss(logits: Tensor, batch: Batch, terms: LossTerms, user_loss: UserLoss | None = None) -> Tensor:
    """Return each run's mean loss over a batch, in nats.

    Args:
        logits: [K, B, classes].
        batch: the images and their labels [K, B].
        terms: the terms of the loss.
        user_loss: a loss of the user's own, in place of the cross entropy and its changes, without label smoothing.

    Returns:
        The mean losses, [K].
    """
    losses = _label_losses(logits, batch.labels, terms, user_loss)  # [K, B]
    if batch.other_labels is not None and batch.label_weights is not None:  # each image is a mixture of two
        other_losses = _label_losses(logits, batch.other_labels, terms, user_loss)
        losses = other_losses.lerp(losses, batch.label_weights)
    if terms.smoothing is not None:
        losses = losses.lerp(_mean_class_losses(logits, terms), terms.smoothing.unsqueeze(1))
    for penalty, weights in terms.penalties.items():
        losses = penalty(losses, logits, weights.unsqueeze(1))
    return losses.mean(1)


def _label_losses(logits: Tensor, labels: Tensor, terms: LossTerms, user_loss: UserLoss | None) -> Tensor:
    """Return the weighted loss w(y) l(y) of every image and run, [K, B], for labels y [K, B]."""
    if user_loss is not None:
        losses = user_loss(logits, labels)
    else:
        losses = _change(cross_entropy(logits, labels).unsqueeze(2), logits, terms).squeeze(2)
    if terms.class_weights is not None:
        losses = losses * terms.class_weights.gather(1, labels)
    return losses


def _mean_class_losses(logits: Tensor, terms: LossTerms) -> Tensor:
    """Return the mean over all classes c of w(c) l(c) for every image and run, [K, B] (Szegedy et al. 2016, section 7).

    Mixed with the loss of the label, it makes torch's cross_entropy with label_smoothing and weight.
    """
    losses = _change(class_cross_entropies(logits), logits, terms)  # [K, B, classes]
    if terms.class_weights is not None:
        losses = losses * terms.class_weights.unsqueeze(1)
    return losses.mean(2)


def _change(losses: Tensor, logits: Tensor, terms: LossTerms) -> Tensor:
    """Return the losses l(c) for the cross entropies [K, B, n] of n classes."""
    for change, numbers in terms.changes.items():
        losses = change(losses, logits, numbers.view(-1, 1, 1))
    return losses
