"""Helpers for tests of augmentation: examples of every transform, their draws, and torchvision's results for these."""

from collections.abc import Callable, Mapping, Sequence
from dataclasses import fields
from typing import Any
from unittest.mock import patch

import torch
import torchvision.transforms.functional as TF
import torchvision.transforms.v2.functional as TF2
from torch import Tensor
from torchvision.transforms import InterpolationMode, v2

from regexp.augmentation.pipeline import TRANSFORMS_BY_STEP, Pipeline, Transform
from regexp.augmentation.policies import OPERATIONS
from regexp.utils.keyed_draws import draw_keys, draw_table, keyed_draws
from regexp.utils.rng import random_stream

SEED, EPOCH, COUNT = 5, 3, 12

# Arguments with which each transform has a strong effect. A transform without an entry fails its tests.
STRONG_ARGUMENTS: dict[str, dict[str, Any]] = {
    "rotate": {"degrees": 180.0},
    "flip": {"p": 0.5},
    "shift": {"padding": 3},
    "crop": {"size": 0.7},
    "affine": {"degrees": 30.0, "translate": (0.2, 0.1), "scale": (0.7, 1.4), "shear": 20.0},
    "perspective": {"distortion_scale": 0.6, "p": 0.7},
    "elastic": {"alpha": 60.0, "sigma": 4.0},
    "noise": {"std": 0.3},
    "erase": {"p": 0.7, "scale": (0.1, 0.5), "fill": 0.3},
    "blur": {"kernel_size": 5, "sigma": (0.5, 2.0)},
    "jitter": {"brightness": 0.7, "contrast": 0.9},
    "trivial": {"p": 0.9},
    "randaugment": {"num_ops": 3, "magnitude": 20},
}

# Arguments with which each transform has no effect.
NEUTRAL_ARGUMENTS: dict[str, dict[str, Any]] = {
    "rotate": {"degrees": 0.0},
    "flip": {"p": 0.0},
    "shift": {"padding": 0},
    "crop": {"size": 1.0},
    "affine": {"degrees": 0.0, "translate": (0.0, 0.0), "scale": (1.0, 1.0), "shear": 0.0},
    "perspective": {"distortion_scale": 0.0, "p": 1.0},
    "elastic": {"alpha": 0.0},
    "noise": {"std": 0.0},
    "erase": {"p": 0.0},
    "blur": {"sigma": (0.0, 0.0)},
    "jitter": {"brightness": 0.0, "contrast": 0.0},
    "trivial": {"p": 0.0},
    "randaugment": {"num_ops": 0},
}


def field_names(kind: str) -> list[str]:
    return [field.name for field in fields(TRANSFORMS_BY_STEP[kind])]


def make_transform(kind: str, mode: str | None = None, fill: float | None = None) -> Any:
    """Return a strong transform of this kind, with this interpolation and fill if it has such fields."""
    arguments = dict(STRONG_ARGUMENTS[kind])
    names = field_names(kind)
    if mode is not None and "interpolation" in names:
        arguments["interpolation"] = mode
    if fill is not None and "fill" in names:
        arguments["fill"] = fill
    return TRANSFORMS_BY_STEP[kind](**arguments)


def kind_of(step: Transform) -> str:
    return next(kind for kind, transform_class in TRANSFORMS_BY_STEP.items() if transform_class is type(step))


def random_images(shape: Sequence[int], count: int = COUNT) -> Tensor:
    return torch.rand(count, *shape, generator=torch.Generator().manual_seed(1))


def apply_steps(steps: Sequence[Transform], images: Tensor) -> tuple[Tensor, list[dict[str, Tensor]]]:
    """Return what a pipeline makes of images, and the draws of every step, those for every pixel included."""
    count, channels, height, width = images.shape
    pipeline = Pipeline(steps, height, width, channels)
    generator, all_drawn = random_stream(SEED, "augmentation", EPOCH), []
    for step in steps:
        drawn = step.draw(count, height, width, generator)
        if kind_of(step) == "elastic":
            pixel_draws = draw_for_pixels("augmentation/elastic/0", count, 2 * height * width)
            drawn["displacements"] = step.displacements(pixel_draws, height, width)
        if kind_of(step) == "noise":
            pixel_draws = draw_for_pixels("augmentation/noise/0", count, channels * height * width)
            probabilities = (pixel_draws.double() + 2**15 + 0.5) / 2**16
            drawn["noise"] = torch.special.ndtri(probabilities).float().view(count, channels, height, width)
        all_drawn.append(drawn)
        height, width = step.output_size(height, width)
    return pipeline(images, pipeline.draw(count, SEED, EPOCH)), all_drawn


def draw_for_pixels(name: str, count: int, draws_per_image: int) -> Tensor:
    """Return the 16-bit draws of the first step of a kind, [count, draws_per_image]."""
    keys = draw_keys(count, random_stream(SEED, name, EPOCH))
    return keyed_draws(draw_table(name, EPOCH, draws_per_image), keys)[:, :draws_per_image]


def drawn_for_image(drawn: Mapping[str, Tensor], n: int) -> dict[str, Any]:
    """Return the draws for image n: numbers, or tensors where a draw has several."""
    return {name: values[n].item() if values.dim() == 1 else values[n] for name, values in drawn.items()}


def apply_torchvision(
    step: Any, image: Tensor, drawn: Mapping[str, Any], fill: Sequence[float] | None = None, border: int = 0
) -> Tensor:
    """Return torchvision's result for one image and its draws.

    Args:
        step: the transform.
        image: [C, H, W], with the actual image in the middle of a border.
        drawn: the draws for this image.
        fill: brightness of what comes from outside, per channel.
        border: width of the border, in pixels.
    """
    return ORACLES[kind_of(step)](step, image, drawn, fill, border)


Oracle = Callable[[Any, Tensor, Mapping[str, Any], Sequence[float] | None, int], Tensor]


def _mode(step: Any) -> InterpolationMode:
    return InterpolationMode(step.interpolation or "nearest")


def _shift(step: Any, image: Tensor, drawn: Mapping[str, Any], fill: Any, border: int) -> Tensor:
    down, right = (step.padding_pixels(side - 2 * border) for side in image.shape[1:])
    padded = TF.pad(image, [right, down], fill=fill[0] if fill else 0.0)
    return TF.crop(padded, int(drawn["i"]) + down, int(drawn["j"]) + right, *image.shape[1:])


def _crop(step: Any, image: Tensor, drawn: Mapping[str, Any], fill: Any, border: int) -> Tensor:
    height, width = (step.cropped_side(side - 2 * border) + 2 * border for side in image.shape[1:])
    return TF.crop(image, int(drawn["i"]), int(drawn["j"]), height, width)


def _perspective(step: Any, image: Tensor, drawn: Mapping[str, Any], fill: Any, border: int) -> Tensor:
    if not drawn["applied"]:
        return image
    bottom, right = (side - border - 1 for side in image.shape[1:])
    start = [[border, border], [right, border], [right, bottom], [border, bottom]]
    end = [[int(x) + border, int(y) + border] for x, y in drawn["corners"]]
    return TF.perspective(image, start, end, _mode(step), fill)


def _elastic(step: Any, image: Tensor, drawn: Mapping[str, Any], fill: Any, border: int) -> Tensor:
    displacements = TF.pad(drawn["displacements"].to(image.dtype), [border])
    height, width = image.shape[1:]
    normalized = torch.stack([displacements[0] * 2 / width, displacements[1] * 2 / height], -1)  # [H, W, 2]
    return TF.elastic_transform(image, normalized.unsqueeze(0), _mode(step), fill)


def _noise(step: Any, image: Tensor, drawn: Mapping[str, Any], fill: Any, border: int) -> Tensor:
    with patch("torch.randn_like", lambda image: drawn["noise"].to(image.dtype)):
        return TF2.gaussian_noise(image, 0.0, step.std, clip=True)


def _erase(step: Any, image: Tensor, drawn: Mapping[str, Any], fill: Any, border: int) -> Tensor:
    return TF.erase(image, *(int(drawn[name]) for name in "ijhw"), torch.tensor(step.fill))


def _blur(step: Any, image: Tensor, drawn: Mapping[str, Any], fill: Any, border: int) -> Tensor:
    return TF.gaussian_blur(image, [step.kernel_size] * 2, [drawn["sigma"]] * 2)


def _jitter(step: Any, image: Tensor, drawn: Mapping[str, Any], fill: Any, border: int) -> Tensor:
    if drawn["contrast_first"]:
        return TF.adjust_brightness(TF.adjust_contrast(image, drawn["contrast"]), drawn["brightness"])
    return TF.adjust_contrast(TF.adjust_brightness(image, drawn["brightness"]), drawn["contrast"])


def _policy(step: Any, image: Tensor, drawn: Mapping[str, Any], fill: Any, border: int) -> Tensor:
    """Return what torchvision makes of the image in uint8; an image that no operation changes stays as it is."""
    operations = [OPERATIONS[code] for code in drawn["operation"].tolist()]
    if set(operations) <= {"Identity"}:
        return image
    policy = v2.RandAugment(interpolation=_mode(step))
    levels = (image.float() * 255).round().byte()
    for name, magnitude in zip(operations, drawn["magnitude"].tolist(), strict=True):
        levels = policy._apply_image_or_video_transform(levels, name, magnitude, policy.interpolation, policy._fill)
    return levels.to(image.dtype) / 255


# torchvision's functional form of each transform. A transform without an entry fails its tests.
ORACLES: dict[str, Oracle] = {
    "rotate": lambda step, image, drawn, fill, border: TF.rotate(image, drawn["angle"], _mode(step), fill=fill),
    "flip": lambda step, image, drawn, fill, border: TF.hflip(image) if drawn["flipped"] else image,
    "shift": _shift,
    "crop": _crop,
    "affine": lambda step, image, drawn, fill, border: TF.affine(
        image, drawn["angle"], [drawn["tx"], drawn["ty"]], drawn["scale"], [drawn["shear"], 0.0], _mode(step), fill=fill
    ),
    "perspective": _perspective,
    "elastic": _elastic,
    "noise": _noise,
    "erase": _erase,
    "blur": _blur,
    "jitter": _jitter,
    "trivial": _policy,
    "randaugment": _policy,
}
