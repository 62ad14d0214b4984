"""torchvision's own transforms, for those without a batched form: applied to one image after the other on the CPU."""

import random
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass, field
from typing import Any, ClassVar, final

import torch
from torch import Generator, Tensor

from regexp.augmentation.geometry import keep_size
from regexp.augmentation.torchvision_names import instantiate, needs_uint8
from regexp.errors import ConfigError
from regexp.utils.messages import first_line

_NUM_PROBES = 8  # images that a new transform is tried on


@final
@dataclass(frozen=True)
class ImageByImage:
    """One of torchvision's transforms, applied image by image; `wrap_torchvision_transform` makes it.

    Attributes:
        target: dotted name of the class.
        arguments: the arguments of the class, as text.
        takes_uint8: whether the transform takes images as uint8 rather than as floating point in [0, 1].
        transform: the transform of an image [C, H, W] into an image [C, H, W].
    """

    target: str
    arguments: str
    takes_uint8: bool
    transform: Callable[[Tensor], Tensor] = field(repr=False, compare=False)
    output_size = staticmethod(keep_size)
    is_batched: ClassVar[bool] = False

    def draw(self, count: int, height: int, width: int, generator: Generator) -> dict[str, Tensor]:
        """Draw `seed` [count], the seed of torchvision's draws for each image. Arguments as in Operation.draw."""
        return {"seed": torch.randint(2**31, (count,), generator=generator)}

    def apply(self, images: Tensor, parameters: Mapping[str, Tensor]) -> Tensor:
        """Transform images [n, C, H, W] with the seeds of `parameters`.

        Waits for the device, and takes about a hundred times as long as a batched transform.
        """
        seeds = parameters["seed"].tolist()
        with _preserve_random_state():
            results = [self.transform_image(image, seed) for image, seed in zip(images.cpu(), seeds, strict=True)]
        return torch.stack(results).to(images)

    def transform_image(self, image: Tensor, seed: int) -> Tensor:
        """Transform one image [C, H, W] in [0, 1]. Sets torch's and Python's global generators to `seed`."""
        # torch.manual_seed would seed every GPU's generator as well.
        torch.default_generator.manual_seed(seed)
        random.seed(seed)
        result = self.transform((image * 255).round().to(torch.uint8) if self.takes_uint8 else image)
        return result.to(image.dtype) / 255 if getattr(result, "dtype", None) == torch.uint8 else result

    @property
    def name(self) -> str:
        """The name of the class, without its module."""
        return self.target.rpartition(".")[2]

    def describe(self) -> str:
        """Return the transform's name and how it is applied, in words."""
        return f"{self.name}, image by image"


def wrap_torchvision_transform(target: str, arguments: Mapping[str, Any], shape: tuple[int, int, int]) -> ImageByImage:
    """Wrap one of torchvision's transforms for a pipeline, after trying it on a few images.

    Args:
        target: torchvision.transforms.NAME or torchvision.transforms.v2.NAME.
        arguments: the arguments of the class; those with a `_target_` are themselves transforms.
        shape: channels, height and width of the images.

    Raises:
        ConfigError: this is not a transform, torchvision refuses the arguments, or the results are not images of the
            same shape in [0, 1].
    """
    wrapped = ImageByImage(target, repr(arguments), needs_uint8(target, arguments), instantiate(target, arguments))
    generator = Generator().manual_seed(0)
    probes = torch.randint(256, (_NUM_PROBES, *shape), generator=generator).float() / 255
    try:
        with _preserve_random_state():
            results = [wrapped.transform_image(probe, seed) for seed, probe in enumerate(probes)]
    except Exception as error:  # code that is not ours may raise anything
        raise ConfigError(
            f"_target_={target}: does not work on images [C, H, W] of {list(shape)}: {first_line(error)}"
        ) from error
    for result in results:
        if not isinstance(result, Tensor) or not result.is_floating_point():
            result_type = result.dtype if isinstance(result, Tensor) else type(result).__name__
            raise ConfigError(
                f"_target_={target}: returns {result_type} instead of an image; name one that returns an image"
            )
        if tuple(result.shape) != shape:
            raise ConfigError(
                f"_target_={target}: turns an image of {list(shape)} into one of {list(result.shape)}; "
                "only augmentation.crop may change the size"
            )
    if not all(bool(((result >= -1e-3) & (result <= 1 + 1e-3)).all()) for result in results):
        raise ConfigError(
            f"_target_={target}: returns values outside [0, 1], the range of the images in evaluation; drop this step"
        )
    return wrapped


@contextmanager
def _preserve_random_state() -> Iterator[None]:
    """Restore torch's and Python's global generators on leaving."""
    torch_state, python_state = torch.get_rng_state(), random.getstate()
    try:
        yield
    finally:
        torch.set_rng_state(torch_state)
        random.setstate(python_state)
