"""Losses of the user's own, computed one run after the other."""

from collections.abc import Mapping, Sequence
from copy import deepcopy
from typing import Any, final

import torch
from torch import Tensor, nn

from regexp.errors import ConfigError
from regexp.user_code.failures import describe_failure
from regexp.user_code.loading import list_paths, make_function
from regexp.utils.rng import RandomStates, draw_from, random_stream

_NUM_PROBES = 4  # logits that a loss of the user's own is tried on


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
