"""Batched augmentation, and torchvision's own transforms image by image. Knows nothing of runs and models.

The transforms can be imported from this package, as the documented `_target_: regexp.augmentation.RandomRotation` says.
"""

from typing import Any


def __getattr__(name: str) -> Any:
    from regexp.augmentation.pipeline import TRANSFORMS_BY_STEP

    for transform in TRANSFORMS_BY_STEP.values():
        if transform.__name__ == name:
            return transform
    raise AttributeError(f"module 'regexp.augmentation' has no attribute {name!r}")
