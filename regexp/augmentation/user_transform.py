"""Augmentation steps of the user's own: a class or function that changes batches of images, or single images."""

import random
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, field
from typing import Any, final

import numpy as np
import torch
from torch import Generator, Tensor

from regexp.augmentation.geometry import keep_size
from regexp.errors import ConfigError
from regexp.user_code.failures import describe_failure
from regexp.user_code.loading import list_paths, make_function
from regexp.utils.rng import draw_from

_NUM_PROBES = 8  # images that a new transform is tried on
_TOLERANCE = 1e-3  # of the range [0, 1]


@final
@dataclass(frozen=True)
class UserTransform:
    """A transform of the user's own; `wrap_user_transform` makes it.

    What it draws from the global generators of torch, Python and NumPy comes from the image stream: each call begins
    with a seed that was drawn for its first image. So it depends on no other stream.

    Attributes:
        target: the class or function (see user_code.targets).
        arguments: its keyword arguments, as text.
        is_batched: whether it takes batches [B, C, H, W] on the device, those of the optimizer steps; otherwise it
            takes one image [C, H, W] at a time, on the CPU.
        function: the transform of a batch or an image.
        batch_sizes: returns the sizes of the batches that a number of images consists of.
    """

    target: str
    arguments: str
    is_batched: bool
    function: Callable[[Tensor], Any] = field(repr=False, compare=False)
    batch_sizes: Callable[[int], Sequence[int]] = field(repr=False, compare=False)
    output_size = staticmethod(keep_size)

    def draw(self, count: int, height: int, width: int, generator: Generator) -> dict[str, Tensor]:
        """Draw `seed` [count], for calls that begin with an image, and `stream` [count], a number of these draws.

        Arguments as in Operation.draw.
        """
        stream = torch.randint(2**62, (1,), generator=generator).repeat(count)
        return {"stream": stream, "seed": torch.randint(2**31, (count,), generator=generator)}

    def apply(self, images: Tensor, parameters: Mapping[str, Tensor]) -> Tensor:
        """Transform images [n, C, H, W] of one stream or of several, one after the other. Waits for the device."""
        seeds = parameters["seed"].tolist()
        results, start = [], 0
        for count in parameters["stream"].unique_consecutive(return_counts=True)[1].tolist():
            for size in self.batch_sizes(count) if self.is_batched else [1] * count:
                results.append(self.transform(images[start : start + size], seeds[start]))
                start += size
        return torch.cat(results)

    def transform(self, batch: Tensor, seed: int) -> Tensor:
        """Transform a batch [B, C, H, W], of one image where the transform takes single ones.

        Raises:
            ConfigError: the result is no tensor of the same shape in floating point.
        """
        inputs = batch if self.is_batched else batch[0].cpu()
        with torch.no_grad(), _global_generators(seed, inputs.device):
            result = self.function(inputs)
        if not isinstance(result, Tensor) or result.shape != inputs.shape:
            returned = list(result.shape) if isinstance(result, Tensor) else type(result).__name__
            raise ConfigError(
                f"{self.target}: returns {returned} for {list(inputs.shape)}; must return a tensor of the same shape"
            )
        if not result.is_floating_point():
            raise ConfigError(f"{self.target}: returns {result.dtype}; must return floating point in [0, 1]")
        return result.to(batch).view_as(batch)

    @property
    def name(self) -> str:
        """The target, as it was typed."""
        return self.target

    def describe(self) -> str:
        """Return the target and how it is applied, in words."""
        return self.target if self.is_batched else f"{self.target}, image by image"


def wrap_user_transform(
    key: str,
    target: str,
    arguments: Mapping[str, Any],
    is_batched: bool,
    shape: tuple[int, int, int],
    batch_sizes: Callable[[int], Sequence[int]],
) -> UserTransform:
    """Wrap a transform of the user's own for a pipeline, after trying it on a few images.

    Args:
        key: the key of the step, augmentation.NAME.
        target: the class or function, which this very command names.
        arguments: the keyword arguments, of the class once, or of the function at every call.
        is_batched: whether it takes batches of images, rather than single ones.
        shape: channels, height and width of the images.
        batch_sizes: returns the sizes of the batches that a number of images consists of.

    Raises:
        ConfigError: the target has no such parameters, or its results are not images of the same shape in [0, 1].
    """
    probes = torch.rand(_NUM_PROBES, *shape, generator=Generator().manual_seed(0))
    with draw_from(Generator().manual_seed(0)):
        function = make_function(target, arguments, ["images" if is_batched else "image"], key)
    wrapped = UserTransform(target, repr(arguments), is_batched, function, batch_sizes)
    try:
        if is_batched:
            result = wrapped.transform(probes.clone(), 0)
        else:
            result = torch.cat([wrapped.transform(probe.unsqueeze(0), i) for i, probe in enumerate(probes.clone())])
    except ConfigError as error:
        raise ConfigError(f"{key}._target_={error}{_hint_at_single_images(is_batched)}") from error
    except Exception as error:  # code that is not ours may raise anything
        images = "batches [B, C, H, W]" if is_batched else "images [C, H, W]"
        sizes = list(probes.shape) if is_batched else list(shape)
        raise ConfigError(
            f"{key}._target_={target}: does not work on {images} such as {sizes}: "
            f"{describe_failure(error, list_paths(target))}{_hint_at_single_images(is_batched)}"
        ) from error
    if not bool(result.isfinite().all()):
        raise ConfigError(f"{key}._target_={target}: returns NaN or infinity")
    if bool(((result < -_TOLERANCE) | (result > 1 + _TOLERANCE)).any()):
        low, high = result.min().item(), result.max().item()
        raise ConfigError(
            f"{key}._target_={target}: returns values from {low:.3g} to {high:.3g}; images must stay in [0, 1], their "
            "range in evaluation"
        )
    return wrapped


def _hint_at_single_images(is_batched: bool) -> str:
    return "; if it takes one image [C, H, W] at a time, add _batched_: false to the step" if is_batched else ""


@contextmanager
def _global_generators(seed: int, device: torch.device) -> Iterator[None]:
    """Let the global generators of torch, Python and NumPy begin with a seed, and set them back afterwards."""
    python_state, numpy_state = random.getstate(), np.random.get_state()
    random.seed(seed)
    np.random.seed(seed)
    try:
        with draw_from(Generator().manual_seed(seed), device):
            yield
    finally:
        random.setstate(python_state)
        np.random.set_state(numpy_state)
