"""The typed schema of augmentation: the keys of each step, their defaults and constraints. Lengths are in pixels.

`transform` is the path of a step's class, for utils.lazy; the fields are the arguments of that class. A step with
`suits_tables` also changes rows of features. A field that by itself switches its step off says at which value: `off`.
Where several do so together, each says at which: `neutral`.
"""

from dataclasses import dataclass, field
from typing import Any, ClassVar

from regexp.config.fields import per_run, shared
from regexp.user_code.targets import normalize_target
from regexp.utils.counts import normalize_size

INTERPOLATIONS = ("nearest", "bilinear")
# The key by which a step of the user's own takes single images. None of their arguments has such a name.
BATCHED_KEY = "_batched_"


def _interpolation(default: str) -> Any:
    return per_run(default, "interpolation between pixels", choices=INTERPOLATIONS)


def _fill(help: str = "brightness of pixels from outside the image, from 0 (black) to 1 (white)") -> Any:
    return per_run(0.0, help, at_least=0, at_most=1)


def _probability(default: float) -> Any:
    return per_run(default, "probability that the step changes an image", at_least=0, at_most=1, off=0)


@dataclass
class RotateConfig:
    """Rotation about the centre by a random angle, as torchvision.transforms.RandomRotation."""

    transform: ClassVar[str] = "augmentation.geometry.RandomRotation"

    degrees: float = per_run(10.0, "largest angle in degrees, in either direction", at_least=0, at_most=180, off=0)
    interpolation: str = _interpolation("nearest")
    fill: float = _fill()


@dataclass
class FlipConfig:
    """Random mirroring left to right, as torchvision.transforms.RandomHorizontalFlip."""

    transform: ClassVar[str] = "augmentation.geometry.RandomHorizontalFlip"

    p: float = _probability(0.5)


@dataclass
class ShiftConfig:
    """Random shifts: the image is padded and cropped to its own size, as by torchvision.transforms.RandomCrop."""

    transform: ClassVar[str] = "augmentation.geometry.RandomShift"

    padding: int | float = per_run(
        0.125, "padding on every side in pixels; or a fraction of the side, up to 1.0", at_least=0, whole_from=1, off=0
    )
    fill: float = _fill("brightness of the padding, from 0 (black) to 1 (white)")

    def __post_init__(self) -> None:
        """Make equal sizes equal values."""
        self.padding = normalize_size(self.padding)


@dataclass
class CropConfig:
    """Random crops, as torchvision.transforms.RandomCrop; the network's input shrinks, evaluation uses the centre."""

    transform: ClassVar[str] = "augmentation.geometry.RandomCrop"

    size: int | float = shared(
        24 / 28, "side of the crop in pixels; or a fraction of the image's side, up to 1.0", above=0, whole_from=1
    )

    def __post_init__(self) -> None:
        """Make equal sizes equal values."""
        self.size = normalize_size(self.size)


@dataclass
class AffineConfig:
    """Rotation, shift, scaling and shear in one, as torchvision.transforms.RandomAffine."""

    transform: ClassVar[str] = "augmentation.geometry.RandomAffine"

    degrees: float = per_run(10.0, "largest angle in degrees, in either direction", at_least=0, at_most=180, neutral=0)
    translate: list[float] = per_run(
        [0.1, 0.1],
        "largest shift, as fractions of the width and of the height",
        each_at_least=0,
        each_at_most=1,
        length=2,
        neutral=[0, 0],
    )
    scale: list[float] = per_run(
        [0.9, 1.1],
        "smallest and largest scale factor",
        each_above=0,
        each_at_most=100,
        length=2,
        ascending=True,
        neutral=[1, 1],
    )
    shear: float = per_run(
        0.0, "largest shear along x in degrees, in either direction", at_least=0, below=90, neutral=0
    )
    interpolation: str = _interpolation("nearest")
    fill: float = _fill()


@dataclass
class PerspectiveConfig:
    """Random change of perspective, as torchvision.transforms.RandomPerspective."""

    transform: ClassVar[str] = "augmentation.perspective.RandomPerspective"

    distortion_scale: float = per_run(
        0.5, "largest movement of a corner, as a fraction of half the side", at_least=0, at_most=1, off=0
    )
    p: float = _probability(0.5)
    interpolation: str = _interpolation("bilinear")
    fill: float = _fill()


@dataclass
class ElasticConfig:
    """Elastic distortion (Simard, Steinkraus and Platt 2003); torchvision's ElasticTransform has twice this alpha."""

    transform: ClassVar[str] = "augmentation.elastic.ElasticTransform"

    alpha: float = per_run(
        34.0, "factor of the smoothed displacements, in pixels of a 28-pixel image", at_least=0, at_most=1000, off=0
    )
    sigma: float = per_run(
        4.0,
        "standard deviation of the Gaussian that smooths the displacements, in pixels of a 28-pixel image",
        above=0,
        at_most=1000,
    )
    interpolation: str = _interpolation("bilinear")
    fill: float = _fill()


@dataclass
class NoiseConfig:
    """Gaussian noise clipped to [0, 1], as torchvision.transforms.v2.GaussianNoise."""

    transform: ClassVar[str] = "augmentation.noise.GaussianNoise"
    suits_tables: ClassVar[bool] = True

    std: float = per_run(
        0.1,
        "standard deviation of the noise, where black is 0 and white is 1; in a table, where the training rows have a "
        "standard deviation of 1",
        at_least=0,
        at_most=100,
        off=0,
    )


@dataclass
class EraseConfig:
    """Random erasing of a rectangle (Zhong et al. 2020), as torchvision.transforms.RandomErasing."""

    transform: ClassVar[str] = "augmentation.pixels.RandomErasing"

    p: float = _probability(0.5)
    scale: list[float] = per_run(
        [0.02, 0.33],
        "smallest and largest area of the rectangle, as fractions of the image's area",
        each_above=0,
        each_at_most=1,
        length=2,
        ascending=True,
    )
    ratio: list[float] = per_run(
        [0.3, 3.3],
        "smallest and largest ratio of the rectangle's height to its width",
        each_above=0,
        each_at_most=100,
        length=2,
        ascending=True,
    )
    fill: float = _fill("brightness of the rectangle, from 0 (black) to 1 (white)")


@dataclass
class BlurConfig:
    """Gaussian blur of random strength, as torchvision.transforms.GaussianBlur."""

    transform: ClassVar[str] = "augmentation.pixels.GaussianBlur"

    kernel_size: int = per_run(5, "side of the kernel in pixels", at_least=1, at_most=99, odd=True, off=1)
    sigma: list[float] = per_run(
        [0.1, 1.0],
        "smallest and largest standard deviation of the kernel, in pixels",
        each_at_least=0,
        each_at_most=100,
        length=2,
        ascending=True,
        off=[0, 0],
    )


@dataclass
class JitterConfig:
    """Random changes of brightness and contrast, as torchvision.transforms.ColorJitter."""

    transform: ClassVar[str] = "augmentation.pixels.ColorJitter"

    brightness: float = per_run(0.2, "largest relative change of brightness", at_least=0, at_most=100, neutral=0)
    contrast: float = per_run(0.2, "largest relative change of contrast", at_least=0, at_most=100, neutral=0)


@dataclass
class TrivialConfig:
    """One random operation of random strength for each image, as torchvision.transforms.TrivialAugmentWide."""

    transform: ClassVar[str] = "augmentation.policies.TrivialAugment"

    p: float = _probability(1.0)
    interpolation: str = _interpolation("nearest")
    fill: float = _fill()


@dataclass
class RandAugmentConfig:
    """A few random operations of the same strength for each image, as torchvision.transforms.RandAugment."""

    transform: ClassVar[str] = "augmentation.policies.RandAugment"

    num_ops: int = per_run(2, "number of operations for each image", at_least=0, at_most=14, off=0)
    magnitude: int = per_run(9, "strength of the operations", at_least=0, at_most=30)
    interpolation: str = _interpolation("nearest")
    fill: float = _fill()


@dataclass
class TorchvisionConfig:
    """A torchvision transform without a batched form: it is applied image by image, which takes far longer."""

    target: str = per_run("", "class of the transform: torchvision.transforms.NAME or torchvision.transforms.v2.NAME")
    arguments: dict[str, Any] = field(
        default_factory=dict, metadata={"default": {}, "mark": "per_run", "help": "arguments of the class"}
    )


@dataclass
class UserTransformConfig:
    """A transform of the user's own."""

    target: str = per_run("", "class or function: FILE.py:NAME, or MODULE:NAME", is_target=True, key="_target_")
    batched: bool = per_run(True, "whether it takes batches of images, rather than single ones", key=BATCHED_KEY)
    arguments: dict[str, Any] = per_run({}, "keyword arguments of the target", is_open=True, is_inline=True)

    def __post_init__(self) -> None:
        """Make equal targets equal values."""
        self.target = normalize_target(self.target)


# The registry of steps: a new one is a class here, its entry, and the transform that it names.
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
    "trivial": TrivialConfig,
    "randaugment": RandAugmentConfig,
}

# The step of each NAME in `_target_: regexp.augmentation.NAME`, with which users call a step by a name of their own.
STEPS_BY_TARGET = {schema.transform.rpartition(".")[2]: name for name, schema in STEPS.items()}
