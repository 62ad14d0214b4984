"""The augmentation pipeline: batches of images transformed on the device, with draws of its own for every image.

Images are in [0, 1]. Neighbouring transforms that move pixels are composed, so that an image is resampled only once
(see resampling); the others are applied one after the other.

The parameters of an image (an angle, a factor, a rectangle) are drawn on the CPU for a whole epoch. Draws for every
pixel (noise, displacements) would not fit in memory for an epoch: each image has a key, from which they are computed on
the device when the image is augmented. So no draw depends on the device.
"""

from collections import Counter
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any, Protocol, final

import torch
from torch import Tensor

from regexp.augmentation.geometry import GeometricTransform
from regexp.augmentation.image_by_image import ImageByImage
from regexp.augmentation.picture import make_test_pattern, show_images
from regexp.augmentation.pixels import Operation, PixelDraws
from regexp.augmentation.resampling import Resampling
from regexp.augmentation.user_transform import UserTransform
from regexp.config.schemas.augmentation import STEPS
from regexp.utils.device import move_together
from regexp.utils.html.elements import escape_text
from regexp.utils.keyed_draws import draw_keys, draw_table, keyed_draws
from regexp.utils.lazy import load_object
from regexp.utils.rng import random_stream

# The number of draws that a notebook shows.
_SHOWN_DRAWS = 8
# The class of each step in the schema; the step's fields are the arguments of the class.
TRANSFORMS_BY_STEP: dict[str, type[Any]] = {name: load_object(schema.transform) for name, schema in STEPS.items()}


class PixelwiseTransform(Operation, Protocol):
    """A transform that leaves pixels where they are, and is an operation by itself."""

    def describe(self) -> str:
        """Return the transform's name and strength, in words."""
        ...


Transform = GeometricTransform | PixelwiseTransform


@final
@dataclass(frozen=True)
class Draws:
    """The random draws for the images of an epoch.

    Attributes:
        parameters: for each operation, the parameters of the images by name, [count, ...]; `keys` [count, 2] among them
            if the operation has draws for every pixel.
        tables: for each operation, the table that the keys belong to, the same for all seeds; empty without keys.
    """

    parameters: Sequence[Mapping[str, Tensor]]
    tables: Sequence[Tensor]

    def __getitem__(self, images: slice) -> "Draws":
        """Return the draws of some images."""
        sliced = [{name: values[images] for name, values in parameters.items()} for parameters in self.parameters]
        return Draws(sliced, self.tables)

    def to(self, device: torch.device) -> "Draws":
        """Return the draws on a device."""
        values = [values for parameters in self.parameters for values in parameters.values()]
        moved = iter(move_together([*values, *self.tables], device))
        parameters = [{name: next(moved) for name in parameters} for parameters in self.parameters]
        return Draws(parameters, list(moved))


@final
class Pipeline:
    """Transforms that are applied in order to images [n, C, height, width].

    Attributes:
        transforms: the transforms.
        operations: the transforms as they are applied, neighbouring geometric ones merged into one resampling.
        sizes: height and width of the images before each operation and after the last.
        output_size: height and width of the results.
        channels: the number of channels of the images.
    """

    def __init__(self, transforms: Sequence[Transform], height: int, width: int, channels: int = 1) -> None:
        """Prepare the transforms for images of one size.

        Args:
            transforms: the transforms, in order.
            height: height of the images, in pixels.
            width: width of the images, in pixels.
            channels: the number of channels of the images.

        Raises:
            ConfigError: a transform cannot be applied to images of this size.
        """
        self.transforms = tuple(transforms)
        self.operations = _merge_geometric(transforms)
        self.sizes = [(height, width)]
        for operation in self.operations:
            self.sizes.append(operation.output_size(*self.sizes[-1]))
        self.output_size = self.sizes[-1]
        self.channels = channels

    def draw(self, count: int, seed: int, epoch: int, purpose: str = "augmentation") -> Draws:
        """Draw the parameters of the images of an epoch, on the CPU.

        Args:
            count: number of images.
            seed: the run's seed.
            epoch: number of the epoch; with the seed and the purpose it decides all draws.
            purpose: the name of the random streams.
        """
        generator = random_stream(seed, purpose, epoch)
        all_parameters, tables = [], []
        kind_counts = Counter[str]()
        for operation, size in zip(self.operations, self.sizes, strict=False):
            parameters = operation.draw(count, *size, generator)
            table = torch.empty(0, dtype=torch.int32)
            if isinstance(operation, PixelDraws):
                # Keys come from streams that are numbered within their kind: two of a kind differ, and adding an
                # operation of another kind changes neither.
                name = f"{purpose}/{operation.kind}/{kind_counts[operation.kind]}"
                draws_per_image = operation.draws_per_image(self.channels, *size)
                if draws_per_image > 0:
                    kind_counts[operation.kind] += 1
                    parameters["keys"] = draw_keys(count, random_stream(seed, name, epoch))
                    table = draw_table(name, epoch, draws_per_image)
            all_parameters.append(parameters)
            tables.append(table)
        return Draws(all_parameters, tables)

    def __call__(self, images: Tensor, draws: Draws) -> Tensor:
        """Augment images.

        Args:
            images: [n, C, H, W], in [0, 1].
            draws: the draws of these n images, on the same device.

        Returns:
            [n, C, *output_size].
        """
        for operation, parameters, table in zip(self.operations, draws.parameters, draws.tables, strict=True):
            if len(table) > 0:
                parameters = {**parameters, "draws": keyed_draws(table, parameters["keys"])}
            images = operation.apply(images, parameters)
        return images

    def describe(self) -> str:
        """Return the transforms in words."""
        return ", ".join(transform.describe() for transform in self.transforms) or "none"

    def _repr_html_(self) -> str:
        """Return the transforms in words, and a test pattern with several draws of it, which notebooks show."""
        pattern = make_test_pattern(self.channels, *self.sizes[0])
        copies = pattern.expand(_SHOWN_DRAWS, -1, -1, -1)
        draws = self(copies, self.draw(len(copies), seed=0, epoch=1, purpose="preview"))
        text = self.describe()
        return f"<div>{escape_text(text)}</div>{show_images([pattern[0], *draws], text)}"

    def unbatched_transforms(self) -> list[str]:
        """Return the names of the transforms that are applied image by image."""
        slow_kinds = (ImageByImage, UserTransform)
        transforms = [transform for transform in self.transforms if isinstance(transform, slow_kinds)]
        return [transform.name for transform in transforms if not transform.is_batched]


def _merge_geometric(transforms: Sequence[Transform]) -> list[Operation]:
    """Return the operations of transforms: neighbouring geometric ones are merged where their options allow it."""
    operations: list[Operation] = []
    for transform in transforms:
        if isinstance(transform, Operation):
            operations.append(transform)
            continue
        previous = operations[-1] if operations else None
        if isinstance(previous, Resampling) and previous.can_append(transform):
            operations[-1] = Resampling((*previous.transforms, transform))
        else:
            operations.append(Resampling((transform,)))
    return operations
