"""Batched augmentation: torchvision's transforms, drawn anew for every image, on the device.

Images are in [0, 1]. Transforms that move the sampling grid are composed with their neighbours, and the image is
resampled once (see resampling); the others follow one another. What belongs to an image (an angle, a factor, a
rectangle) is drawn on the CPU for a whole epoch, so that it does not depend on the device; what belongs to a pixel
(noise, displacements) would not fit in memory, and is drawn on the device when its images' turn comes.
"""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any, final

import torch
from torch import Generator, Tensor

from regexp.augmentation.elastic import ElasticTransform
from regexp.augmentation.geometry import (
    GeometricTransform,
    RandomAffine,
    RandomCrop,
    RandomHorizontalFlip,
    RandomRotation,
    RandomShift,
)
from regexp.augmentation.image_by_image import ImageByImage
from regexp.augmentation.perspective import RandomPerspective
from regexp.augmentation.pixels import ColorJitter, GaussianBlur, GaussianNoise, RandomErasing, Transformation
from regexp.augmentation.resampling import Resampling
from regexp.utils.rng import random_stream

# The class behind each step of the schema, whose fields are its arguments.
TRANSFORMS: dict[str, type[Any]] = {
    "rotate": RandomRotation,
    "flip": RandomHorizontalFlip,
    "shift": RandomShift,
    "crop": RandomCrop,
    "affine": RandomAffine,
    "perspective": RandomPerspective,
    "elastic": ElasticTransform,
    "noise": GaussianNoise,
    "erase": RandomErasing,
    "blur": GaussianBlur,
    "jitter": ColorJitter,
}

PixelwiseTransform = GaussianNoise | RandomErasing | GaussianBlur | ColorJitter | ImageByImage
Transform = GeometricTransform | PixelwiseTransform


@final
@dataclass(frozen=True)
class Draws:
    """What is drawn for an epoch's images.

    Attributes:
        parameters: of each stage, by name, [count, ...] on the device.
        generators: one a stage, on the device, for what is drawn pixel by pixel.
    """

    parameters: Sequence[Mapping[str, Tensor]]
    generators: Sequence[Generator]

    def __getitem__(self, chunk: slice) -> "Draws":
        """Of some images. Chunks have to be used in order: the generators go on."""
        parts = [{name: values[chunk] for name, values in own.items()} for own in self.parameters]
        return Draws(parts, self.generators)


@final
class Pipeline:
    """Transforms applied in order to images [n, C, height, width].

    Attributes:
        size: height and width of the results.
    """

    def __init__(self, steps: Sequence[Transform], height: int, width: int) -> None:
        """Raises ConfigError if a step does not suit images of this size."""
        self.steps, self.transformations = tuple(steps), _stages(steps)
        self.sizes = [(height, width)]  # before each stage, and after the last
        for stage in self.transformations:
            self.sizes.append(stage.output_size(*self.sizes[-1]))
        self.output_size = self.sizes[-1]

    def draw(
        self, count: int, seed: int, epoch: int, device: torch.device | str = "cpu", purpose: str = "augmentation"
    ) -> Draws:
        """Fresh draws for `count` images, from the random streams of a run's seed, a purpose and an epoch."""
        generator = random_stream(seed, purpose, epoch)
        parameters = [
            {name: drawn.to(device) for name, drawn in stage.draw(count, *size, generator).items()}
            for stage, size in zip(self.transformations, self.sizes, strict=False)
        ]
        # Numbered within their kind: two of a kind differ, and another kind beside them changes neither.
        kinds = [stage.kind for stage in self.transformations]
        names = [f"{purpose}/{kind}/{kinds[:place].count(kind)}" for place, kind in enumerate(kinds)]
        return Draws(parameters, [random_stream(seed, name, epoch, device) for name in names])

    def __call__(self, images: Tensor, draws: Draws) -> Tensor:
        """images [n, C, H, W] in [0, 1], and the draws of these n on the same device -> [n, C, *size]."""
        for stage, parameters, generator in zip(self.transformations, draws.parameters, draws.generators, strict=True):
            images = stage.apply(images, parameters, generator)
        return images

    def describe(self) -> str:
        """The steps in words."""
        return ", ".join(step.describe() for step in self.steps) or "none"

    def unbatched_transforms(self) -> list[str]:
        """Names of the transforms that go image by image."""
        return [step.name for step in self.steps if isinstance(step, ImageByImage)]


def _stages(steps: Sequence[Transform]) -> list[Transformation]:
    """The steps, neighbours that move the grid put together where their interpolation and fill do not contradict."""
    stages: list[Transformation] = []
    for step in steps:
        if isinstance(step, PixelwiseTransform):
            stages.append(step)
            continue
        before = stages[-1] if stages else None
        if isinstance(before, Resampling) and before.can_append(step):
            stages[-1] = Resampling((*before.steps, step))
        else:
            stages.append(Resampling((step,)))
    return stages
