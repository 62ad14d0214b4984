"""The typed schema of augmentation: each step's keys, their defaults and rules. Lengths are in pixels."""

from dataclasses import dataclass, field
from typing import Any

from regexp.config.fields import per_run, shared

INTERPOLATIONS = ("nearest", "bilinear")


def _interpolation(default: str) -> Any:
    return per_run(default, "of the resampling", choices=INTERPOLATIONS)


def _fill(help: str = "brightness of what comes from outside, in [0, 1]") -> Any:
    return per_run(0.0, help, at_least=0, at_most=1)


def _probability(default: float) -> Any:
    return per_run(default, "probability", at_least=0, at_most=1)


@dataclass
class RotateConfig:
    """torchvision.transforms.RandomRotation, about the centre."""

    degrees: float = per_run(10.0, "largest angle, either way", at_least=0, at_most=180)
    interpolation: str = _interpolation("nearest")
    fill: float = _fill()


@dataclass
class FlipConfig:
    """torchvision.transforms.RandomHorizontalFlip."""

    p: float = _probability(0.5)


@dataclass
class ShiftConfig:
    """torchvision.transforms.RandomCrop back to the image's own size, with padding."""

    padding: float = per_run(0.125, "on every side: pixels, or below 1 a fraction of the side", at_least=0)
    fill: float = _fill("brightness of the padding, in [0, 1]")


@dataclass
class CropConfig:
    """torchvision.transforms.RandomCrop; the network's input follows, and evaluation takes the centre."""

    size: float = shared(
        24 / 28, "side of what is kept: pixels, or up to 1 a fraction of the image's", above=0, whole_from=1
    )


@dataclass
class AffineConfig:
    """torchvision.transforms.RandomAffine, about the centre."""

    degrees: float = per_run(10.0, "largest angle, either way", at_least=0, at_most=180)
    translate: list[float] = per_run(
        [0.1, 0.1], "largest shift, as fractions of width and height", each_at_least=0, each_at_most=1, length=2
    )
    scale: list[float] = per_run(
        [0.9, 1.1], "smallest and largest factor", each_above=0, each_at_most=100, length=2, ascending=True
    )
    shear: float = per_run(0.0, "largest shear along x, in degrees", at_least=0, below=90)
    interpolation: str = _interpolation("nearest")
    fill: float = _fill()


@dataclass
class PerspectiveConfig:
    """torchvision.transforms.RandomPerspective."""

    distortion_scale: float = per_run(
        0.5, "how far corners move, at most: a fraction of half the side", at_least=0, at_most=1
    )
    p: float = _probability(0.5)
    interpolation: str = _interpolation("bilinear")
    fill: float = _fill()


@dataclass
class ElasticConfig:
    """Elastic distortion (Simard, Steinkraus and Platt 2003); ElasticTransform's alpha is twice this one."""

    alpha: float = per_run(
        34.0, "factor on the smoothed displacements, in pixels of a 28-pixel image", at_least=0, at_most=1000
    )
    sigma: float = per_run(
        4.0, "of the Gaussian that smooths them, in pixels of a 28-pixel image", above=0, at_most=1000
    )
    interpolation: str = _interpolation("bilinear")
    fill: float = _fill()


@dataclass
class NoiseConfig:
    """torchvision.transforms.v2.GaussianNoise, clipped to [0, 1]."""

    std: float = per_run(0.1, "standard deviation of the brightness, of which white is 1", at_least=0, at_most=100)


@dataclass
class EraseConfig:
    """torchvision.transforms.RandomErasing (Zhong et al. 2020)."""

    p: float = _probability(0.5)
    scale: list[float] = per_run(
        [0.02, 0.33],
        "smallest and largest area, as fractions of the image's",
        each_above=0,
        each_at_most=1,
        length=2,
        ascending=True,
    )
    ratio: list[float] = per_run(
        [0.3, 3.3], "smallest and largest height over width", each_above=0, each_at_most=100, length=2, ascending=True
    )
    fill: float = _fill("brightness of what is erased, in [0, 1]")


@dataclass
class BlurConfig:
    """torchvision.transforms.GaussianBlur."""

    kernel_size: int = per_run(5, "side of the kernel", at_least=1, at_most=99, odd=True)
    sigma: list[float] = per_run(
        [0.1, 1.0],
        "smallest and largest standard deviation",
        each_at_least=0,
        each_at_most=100,
        length=2,
        ascending=True,
    )


@dataclass
class JitterConfig:
    """torchvision.transforms.ColorJitter."""

    brightness: float = per_run(0.2, "largest relative change", at_least=0, at_most=100)
    contrast: float = per_run(0.2, "largest relative change", at_least=0, at_most=100)


@dataclass
class TorchvisionConfig:
    """A transform of torchvision's that has no batched form: applied image by image, which takes far longer."""

    target: str = per_run("", "the class, as torchvision.transforms.NAME or torchvision.transforms.v2.NAME")
    arguments: dict[str, Any] = field(
        default_factory=dict, metadata={"default": {}, "mark": "per_run", "help": "its arguments"}
    )


STEPS: dict[str, type[Any]] = {
    "rotate": RotateConfig,
    "flip": FlipConfig,
    "shift": ShiftConfig,
    "crop": CropConfig,
    "affine": AffineConfig,
    "perspective": PerspectiveConfig,
    "elastic": ElasticConfig,
    "noise": NoiseConfig,
    "erase": EraseConfig,
    "blur": BlurConfig,
    "jitter": JitterConfig,
}

# What `_target_: regexp.augmentation.NAME` stands for: a step under a name of the user's choice.
TARGETS = {
    "RandomRotation": "rotate",
    "RandomHorizontalFlip": "flip",
    "RandomShift": "shift",
    "RandomCrop": "crop",
    "RandomAffine": "affine",
    "RandomPerspective": "perspective",
    "ElasticTransform": "elastic",
    "GaussianNoise": "noise",
    "RandomErasing": "erase",
    "GaussianBlur": "blur",
    "ColorJitter": "jitter",
}
