"""The training loss of K runs: cross entropy, changed by loss terms of which each run has its own weights.

A loss term is a function of losses [K, B], logits [K, B, classes] and weights [K, 1] that returns losses [K, B]; a
weight of 0 leaves a run's losses as they are. Each is a field of LossConfig in config.schemas.loss, which names its
function.
"""

from collections.abc import Callable, Mapping, Sequence
from copy import deepcopy
from typing import Any, final

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from regexp.errors import ConfigError
from regexp.training.batches import Batch
from regexp.user_code.failures import describe_failure
from regexp.user_code.loading import list_paths, make_function
from regexp.utils.rng import RandomStates, draw_from, random_stream

_NUM_PROBES = 4  # logits that a loss of the user's own is tried on

LossTerm = Callable[[Tensor, Tensor, Tensor], Tensor]


def training_loss(
    logits: Tensor, batch: Batch, terms: Mapping[LossTerm, Tensor], user_loss: "UserLoss | None" = None
) -> Tensor:
    """Return each run's mean loss over a batch, in nats.

    Args:
        logits: [K, B, classes].
        batch: the images and their labels [K, B].
        terms: loss terms with the weights [K] of the runs, applied in order.
        user_loss: a loss of the user's own, in place of cross entropy.

    Returns:
        The mean losses, [K].
    """
    function = user_loss or cross_entropy
    losses = function(logits, batch.labels)  # [K, B]
    if batch.other_labels is not None and batch.label_weights is not None:  # each image is a mixture of two
        losses = function(logits, batch.other_labels).lerp(losses, batch.label_weights)
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


@final
class UserLoss:
    """A loss of the user's own, computed one run after the other.

    What it draws from torch's global generators comes from each run's own random stream.

    Attributes:
        target: the function or class (see user_code.targets).
    """

    def __init__(self, target: str, options: Mapping[str, Any], num_classes: int) -> None:
        """Make the loss, and try it on random logits.

        Args:
            target: a function of logits [B, classes] and labels [B], or a class whose instances are called with these.
            options: the keyword arguments of the class once, or of the function at every call.
            num_classes: the number of classes.

        Raises:
            ConfigError: there are no such parameters, or the results are not losses [B] that can be minimized.
        """
        self.target, self._dtype = target, torch.float32
        with draw_from(random_stream(0, "probes")):
            # Never called itself: what it remembers would be from other runs.
            self._function = make_function(target, options, ["logits", "labels"], "loss.options")
            if isinstance(self._function, nn.Module) and any(
                each.requires_grad for each in self._function.parameters()
            ):
                raise ConfigError(
                    f"loss.target={target}: has parameters that require gradients, and no optimizer trains a loss"
                )
            logits = torch.randn(1, _NUM_PROBES, num_classes, requires_grad=True)
            labels = torch.randint(num_classes, (1, _NUM_PROBES))
            self.begin_epoch([0], 0, logits.device)
            try:
                losses = self(logits, labels)
            except ConfigError as error:
                raise ConfigError(f"loss.target={error}") from error
            except Exception as error:  # code that is not ours may raise anything
                failure = describe_failure(error, list_paths(target))
                raise ConfigError(f"loss.target={target}: fails for {self._describe(logits[0])}: {failure}") from error
        if not losses.requires_grad:
            raise ConfigError(f"loss.target={target}: returns losses that do not depend on the logits by gradients")
        if not bool(losses.isfinite().all()):
            raise ConfigError(f"loss.target={target}: returns NaN or infinity for {self._describe(logits[0])}")

    def to(self, dtype: torch.dtype) -> None:
        """Change the type of the tensors of a loss that is a module."""
        self._dtype = dtype

    def begin_epoch(self, seeds: Sequence[int], epoch: int, device: torch.device) -> None:
        """Make the loss of each run anew, and seed the random streams [K] of an epoch.

        What an instance remembers then depends on no other run, and is the same after an interruption.

        Args:
            seeds: [K], the seed of each run.
            epoch: the number of the epoch.
            device: the device that the loss is computed on.
        """
        self._states = RandomStates([random_stream(seed, "loss", epoch) for seed in seeds], device)
        self._functions = [deepcopy(self._function) for _ in seeds]
        for function in self._functions:
            if isinstance(function, nn.Module):
                function.to(device, self._dtype)

    def __call__(self, logits: Tensor, labels: Tensor) -> Tensor:
        """Return the losses [K, B] of logits [K, B, classes] and labels [K, B].

        Raises:
            ConfigError: the function does not return losses [B].
        """
        losses = []
        for k in range(len(logits)):
            with self._states.of_run(k):
                run_losses = self._functions[k](logits[k], labels[k])
            if not isinstance(run_losses, Tensor) or run_losses.shape != labels[k].shape:
                returned = list(run_losses.shape) if isinstance(run_losses, Tensor) else type(run_losses).__name__
                raise ConfigError(
                    f"{self.target}: returns {returned} for {self._describe(logits[k])}; must return the loss of each "
                    f"image, here {list(labels[k].shape)}, and no mean over them"
                )
            losses.append(run_losses)
        return torch.stack(losses).to(logits.dtype)

    @staticmethod
    def _describe(logits: Tensor) -> str:
        return f"logits {list(logits.shape)} and labels [{len(logits)}]"
