"""The schema of mixing: its keys for each option."""

from dataclasses import dataclass
from typing import ClassVar

from regexp.config.fields import per_run


@dataclass
class MixingConfig:
    """No mixing, and the key that all options share.

    `transform` is the path of an option's class, for utils.lazy; its arguments are the other keys. A field with which
    nothing is mixed says at which value: `off`.
    """

    transform: ClassVar[str | None] = None
    suits_tables: ClassVar[bool] = True

    name: str = per_run(
        "none",
        "mixtures of two training images and of their labels",
        choices=("none", "mixup", "cutmix"),
        omitted="none",
    )


@dataclass
class MixupConfig(MixingConfig):
    """Weighted means of two images (Zhang et al. 2018), as torchvision.transforms.v2.MixUp."""

    transform: ClassVar[str | None] = "augmentation.mixing.Mixup"

    name: str = per_run("mixup", "weighted means of two images, as torchvision.transforms.v2.MixUp")
    alpha: float = per_run(
        1.0,
        "parameter of the distribution Beta(alpha, alpha) of the weights: 1 makes them uniform, a smaller one brings "
        "them close to 0 and 1",
        at_least=0,
        at_most=1000,
        off=0,
        example=0.2,
    )
    probability: float = per_run(1.0, "probability that a batch is mixed", at_least=0, at_most=1, off=0, example=0.8)


@dataclass
class CutmixConfig(MixingConfig):
    """A rectangle from another image (Yun et al. 2019), as torchvision.transforms.v2.CutMix."""

    transform: ClassVar[str | None] = "augmentation.mixing.Cutmix"
    suits_tables: ClassVar[bool] = False

    name: str = per_run("cutmix", "a rectangle from another image, as torchvision.transforms.v2.CutMix")
    alpha: float = per_run(
        1.0,
        "parameter of the distribution Beta(alpha, alpha) of the share of the image outside of the rectangle",
        at_least=0,
        at_most=1000,
        off=0,
        example=0.2,
    )
    probability: float = per_run(0.5, "probability that a batch is mixed", at_least=0, at_most=1, off=0, example=0.8)


MIXING_SCHEMAS: dict[str, type[MixingConfig]] = {"none": MixingConfig, "mixup": MixupConfig, "cutmix": CutmixConfig}
