"""What tests of augmentation share: examples of every transform, what it drew, and torchvision's result for that."""

from collections.abc import Callable, Mapping, Sequence
from dataclasses import fields
from typing import Any
from unittest.mock import patch

import torch
import torchvision.transforms.functional as TF
import torchvision.transforms.v2.functional as TF2
from torch import Tensor
from torchvision.transforms import InterpolationMode

from regexp.augmentation.pipeline import TRANSFORMS, Pipeline, Transform
from regexp.utils.rng import random_stream

SEED, EPOCH, COUNT = 5, 3, 12

# Arguments with which every transform does much. A transform without an entry fails its tests.
STRONG: dict[str, dict[str, Any]] = {
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
}

# Arguments with which it does nothing.
NOTHING: dict[str, dict[str, Any]] = {
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
}


def own_fields(kind: str) -> list[str]:
    return [item.name for item in fields(TRANSFORMS[kind])]


def make(kind: str, mode: str | None = None, fill: float | None = None) -> Any:
    """A strong one, with this interpolation and fill where it has them."""
    arguments = dict(STRONG[kind])
    names = own_fields(kind)
    if mode is not None and "interpolation" in names:
        arguments["interpolation"] = mode
    if fill is not None and "fill" in names:
        arguments["fill"] = fill
    return TRANSFORMS[kind](**arguments)


def kind_of(step: Transform) -> str:
    return next(kind for kind, found in TRANSFORMS.items() if found is type(step))


def random_images(shape: Sequence[int], count: int = COUNT) -> Tensor:
    return torch.rand(count, *shape, generator=torch.Generator().manual_seed(1))


def apply(steps: Sequence[Transform], images: Tensor) -> tuple[Tensor, list[dict[str, Tensor]]]:
    """What the pipeline makes of the images, and all that every step drew for that."""
    count, _, height, width = images.shape
    pipeline = Pipeline(steps, height, width)
    generator, everything = random_stream(SEED, "augmentation", EPOCH), []
    for step in steps:
        drawn = step.draw(count, height, width, generator)
        if kind_of(step) == "elastic":
            field = random_stream(SEED, "augmentation/elastic/0", EPOCH)
            drawn["displacements"] = step.displacements(count, height, width, field, images.device)
        if kind_of(step) == "noise":
            shape = (count, images.shape[1], height, width)
            drawn["noise"] = torch.randn(shape, generator=random_stream(SEED, "augmentation/noise/0", EPOCH))
        everything.append(drawn)
        height, width = step.output_size(height, width)
    return pipeline(images, pipeline.draw(count, SEED, EPOCH)), everything


def of(drawn: Mapping[str, Tensor], n: int) -> dict[str, Any]:
    """What was drawn for one image: numbers, or what an image has several of."""
    return {name: values[n].item() if values.dim() == 1 else values[n] for name, values in drawn.items()}


def torchvisions(
    step: Any, image: Tensor, drawn: Mapping[str, Any], fill: Sequence[float] | None = None, border: int = 0
) -> Tensor:
    """torchvision's result for one image [C, H, W], which stands in the middle of a border of this many pixels."""
    return ORACLES[kind_of(step)](step, image, drawn, fill, border)


Oracle = Callable[[Any, Tensor, Mapping[str, Any], Sequence[float] | None, int], Tensor]


def _mode(step: Any) -> InterpolationMode:
    return InterpolationMode(step.interpolation or "nearest")


def _shift(step: Any, image: Tensor, p: Mapping[str, Any], fill: Any, border: int) -> Tensor:
    down, right = (step.pixels(side - 2 * border) for side in image.shape[1:])
    padded = TF.pad(image, [right, down], fill=fill[0] if fill else 0.0)
    return TF.crop(padded, int(p["i"]) + down, int(p["j"]) + right, *image.shape[1:])


def _crop(step: Any, image: Tensor, p: Mapping[str, Any], fill: Any, border: int) -> Tensor:
    height, width = (step.pixels(side - 2 * border) + 2 * border for side in image.shape[1:])
    return TF.crop(image, int(p["i"]), int(p["j"]), height, width)


def _perspective(step: Any, image: Tensor, p: Mapping[str, Any], fill: Any, border: int) -> Tensor:
    if not p["applied"]:
        return image
    bottom, right = (side - border - 1 for side in image.shape[1:])
    start = [[border, border], [right, border], [right, bottom], [border, bottom]]
    end = [[int(x) + border, int(y) + border] for x, y in p["corners"]]
    return TF.perspective(image, start, end, _mode(step), fill)


def _elastic(step: Any, image: Tensor, p: Mapping[str, Any], fill: Any, border: int) -> Tensor:
    field = TF.pad(p["displacements"].to(image.dtype), [border])
    height, width = image.shape[1:]
    normal = torch.stack([field[0] * 2 / width, field[1] * 2 / height], -1)  # [H, W, 2]
    return TF.elastic_transform(image, normal.unsqueeze(0), _mode(step), fill)


def _noise(step: Any, image: Tensor, p: Mapping[str, Any], fill: Any, border: int) -> Tensor:
    with patch("torch.randn_like", lambda like: p["noise"].to(like.dtype)):
        return TF2.gaussian_noise(image, 0.0, step.std, clip=True)


def _erase(step: Any, image: Tensor, p: Mapping[str, Any], fill: Any, border: int) -> Tensor:
    return TF.erase(image, *(int(p[name]) for name in "ijhw"), torch.tensor(step.fill))


def _blur(step: Any, image: Tensor, p: Mapping[str, Any], fill: Any, border: int) -> Tensor:
    return TF.gaussian_blur(image, [step.kernel_size] * 2, [p["sigma"]] * 2)


def _jitter(step: Any, image: Tensor, p: Mapping[str, Any], fill: Any, border: int) -> Tensor:
    if p["contrast_first"]:
        return TF.adjust_brightness(TF.adjust_contrast(image, p["contrast"]), p["brightness"])
    return TF.adjust_contrast(TF.adjust_brightness(image, p["brightness"]), p["contrast"])


# torchvision's functional form with what was drawn. A transform without an entry fails its tests.
ORACLES: dict[str, Oracle] = {
    "rotate": lambda step, image, p, fill, border: TF.rotate(image, p["angle"], _mode(step), fill=fill),
    "flip": lambda step, image, p, fill, border: TF.hflip(image) if p["flipped"] else image,
    "shift": _shift,
    "crop": _crop,
    "affine": lambda step, image, p, fill, border: TF.affine(
        image, p["angle"], [p["tx"], p["ty"]], p["scale"], [p["shear"], 0.0], _mode(step), fill=fill
    ),
    "perspective": _perspective,
    "elastic": _elastic,
    "noise": _noise,
    "erase": _erase,
    "blur": _blur,
    "jitter": _jitter,
}
