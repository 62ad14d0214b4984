"""The check of what a loaded model is called with, as a forward pre-hook of torch."""

import sys
import warnings
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

from regexp.errors import DoubtfulResult

if TYPE_CHECKING:
    from torch import Tensor, nn

# Floating-point images are 0 to 1. Further out than this they are certainly meant otherwise; closer, noise may be.
_LOWEST, _HIGHEST = -0.5, 1.5


@dataclass(frozen=True)
class InputCheck:
    """The check and conversion of a model's input.

    Images in uint8 are divided by 255, as in training, and floating point gets the type of the weights. Anything else
    is an error that says what the model takes: torch would speak of its matrices, or compute nonsense without a word.

    Attributes:
        input_shape: [C, H, W] of the images; (F,) for rows of F features.
    """

    input_shape: tuple[int, ...]

    def __call__(self, module: "nn.Module", arguments: tuple[Any, ...]) -> "tuple[Any, ...] | None":
        """Return the arguments of `forward` with the first one converted.

        Raises:
            TypeError: the first one is no tensor, or neither uint8 nor floating point.
            ValueError: it has another number of dimensions, channels or features.
        """
        import torch

        from regexp.data.dataset import scale

        if not arguments:
            return None  # it was called by keyword
        images, *others = arguments
        if not isinstance(images, torch.Tensor):
            raise TypeError(f"{self._rule}; this is a {type(images).__name__}{_suggest_tensor(images)}")
        is_image = len(self.input_shape) == 3
        if not (images.is_floating_point() or (is_image and images.dtype == torch.uint8)):
            raise TypeError(f"{self._rule}; these are {str(images.dtype).removeprefix('torch.')}")
        # Other heights and widths are torch's affair: some convolutional networks take them.
        if images.ndim != len(self.input_shape) + 1 or images.shape[1] != self.input_shape[0]:
            raise ValueError(f"{self._rule}; these are {list(images.shape)}")
        if is_image and images.is_floating_point() and not torch.compiler.is_compiling():
            self._warn_of_range(images)
        dtype = next((tensor.dtype for tensor in module.parameters() if tensor.is_floating_point()), torch.float32)
        return scale(images, dtype), *others

    @property
    def _rule(self) -> str:
        shape = ", ".join(["n", *map(str, self.input_shape)])
        if len(self.input_shape) == 3:
            return f"the model takes images [{shape}], uint8 from 0 to 255 or floating point from 0 to 1"
        return f"the model takes rows [{shape}] of features in floating point"

    def _warn_of_range(self, images: "Tensor") -> None:
        try:
            low, high = (float(value) for value in images.aminmax())
        except RuntimeError:  # there are no images, or torch.func gives tensors without values
            return
        if low < _LOWEST or high > _HIGHEST:
            message = (
                f"these images go from {low:g} to {high:g}, but the model takes floating point from 0 to 1: give "
                "uint8, or divide by the number that is white, such as 255"
            )
            warnings.warn(message, DoubtfulResult, stacklevel=_count_library_frames() + 1)


def _count_library_frames() -> int:
    """Return how many calls of this package and of torch lie between the user's line and the caller of this."""
    frame, count = sys._getframe(1), 0
    while frame.f_globals.get("__name__", "").startswith(("regexp.", "torch.")) and frame.f_back is not None:
        frame, count = frame.f_back, count + 1
    return count


def _suggest_tensor(images: Any) -> str:
    return "; torch.from_numpy(images) makes it a tensor" if hasattr(images, "__array__") else ""
