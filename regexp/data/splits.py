"""A data set as its files hold it: parts of decoded images and labels."""

from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray


@dataclass(frozen=True)
class Split:
    """images [N, C, H, W] uint8, labels [N] int64."""

    images: NDArray[np.uint8]
    labels: NDArray[np.int64]

    def __len__(self) -> int:
        return len(self.labels)


@dataclass(frozen=True)
class Splits:
    """What was decoded; validation and test are None where the files have none.

    Attributes:
        classes: their names, by label.
    """

    train: Split
    validation: Split | None
    test: Split | None
    classes: tuple[str, ...]

    def named(self) -> dict[str, Split]:
        """Those that are there, by their attributes' names."""
        parts = {"train": self.train, "validation": self.validation, "test": self.test}
        return {name: part for name, part in parts.items() if part is not None}

    def whole(self) -> bool:
        """Whether shapes, types and labels fit each other."""
        shape = self.train.images.shape[1:]
        return len(shape) == 3 and all(
            part.images.dtype == np.uint8
            and part.labels.dtype == np.int64
            and part.images.shape == (len(part), *shape)
            and part.labels.shape == (len(part),)
            and len(part) > 0
            and 0 <= part.labels.min() <= part.labels.max() < len(self.classes)
            for part in self.named().values()
        )
