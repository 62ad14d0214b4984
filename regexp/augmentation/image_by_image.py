"""Transforms of torchvision's that have no batched form here: applied to one image after the other, on the CPU."""

import random
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass, field
from typing import Any, ClassVar, final

import torch
from torch import Generator, Tensor

from regexp.augmentation.geometry import keep_size
from regexp.augmentation.torchvision_names import first_line, needs_uint8, instantiate
from regexp.errors import ConfigError

_PROBES = 8  # images that a new transform is tried on


@final
@dataclass(frozen=True)
class ImageByImage:
    """One of torchvision's transforms; `arguments` are those of its class. See `image_by_image`.

    `call` takes and gives one image [C, H, W]: uint8 with `levels`, else floating point in [0, 1].
    """

    target: str
    arguments: str
    levels: bool
    call: Callable[[Tensor], Tensor] = field(repr=False, compare=False)
    kind: ClassVar[str] = "foreign"
    output_size = staticmethod(keep_size)

    def draw(self, count: int, height: int, width: int, generator: Generator) -> dict[str, Tensor]:
        """`seed` of each image's own randomness."""
        return {"seed": torch.randint(2**31, (count,), generator=generator)}

    def apply(self, images: Tensor, parameters: Mapping[str, Tensor], generator: Generator) -> Tensor:
        """See Stage. Waits for the device, and takes some hundred times as long as a batched transform."""
        seeds = parameters["seed"].tolist()
        with _randomness_kept():
            made = [self._one(image, seed) for image, seed in zip(images.cpu(), seeds, strict=True)]
        return torch.stack(made).to(images)

    def _one(self, image: Tensor, seed: int) -> Tensor:
        # torch.manual_seed would seed every GPU's generator as well
        torch.default_generator.manual_seed(seed)
        random.seed(seed)
        made = self.call((image * 255).round().to(torch.uint8) if self.levels else image)
        return made.to(image.dtype) / 255 if getattr(made, "dtype", None) == torch.uint8 else made

    @property
    def name(self) -> str:
        """Of the class."""
        return self.target.rpartition(".")[2]

    def describe(self) -> str:
        """See Geometric."""
        return f"{self.name}, image by image"


def wrap_torchvision_transform(target: str, arguments: Mapping[str, Any], shape: tuple[int, int, int]) -> ImageByImage:
    """One of torchvision's transforms for images of this shape, tried out on a few.

    Raises ConfigError as `foreign.resolve`, and if it does not give images of the same shape in [0, 1].
    """
    made = ImageByImage(target, repr(arguments), needs_uint8(target, arguments), instantiate(target, arguments))
    generator = Generator().manual_seed(0)
    levels = torch.randint(256, (_PROBES, *shape), generator=generator)
    try:
        with _randomness_kept():
            results = [made._one(image, seed) for seed, image in enumerate(levels.float() / 255)]
    except Exception as error:  # whatever code of someone else's objects to
        raise ConfigError(
            f"_target_={target}: cannot work on images [C, H, W] of {list(shape)}: {first_line(error)}"
        ) from error
    for result in results:
        if not isinstance(result, Tensor) or not result.is_floating_point():
            kind = result.dtype if isinstance(result, Tensor) else type(result).__name__
            raise ConfigError(f"_target_={target}: makes {kind} of an image; name one that makes an image of it")
        if tuple(result.shape) != shape:
            raise ConfigError(
                f"_target_={target}: makes {list(result.shape)} of an image of {list(shape)}; "
                "only augmentation.crop may change the size"
            )
    if not all(bool(((result >= -1e-3) & (result <= 1 + 1e-3)).all()) for result in results):
        raise ConfigError(f"_target_={target}: leaves [0, 1], in which evaluation sees the images; leave it out")
    return made


@contextmanager
def _randomness_kept() -> Iterator[None]:
    """Put torch's and Python's global generators back as they were."""
    before, pythons = torch.get_rng_state(), random.getstate()
    try:
        yield
    finally:
        torch.set_rng_state(before)
        random.setstate(pythons)
