"""The splits of a data set as its files hold them: decoded images, or rows of a table, and labels in NumPy arrays."""

from collections.abc import Mapping
from dataclasses import dataclass, field

import numpy as np
from numpy.typing import NDArray

from regexp.data.tables.columns import Column


@dataclass(frozen=True)
class Split:
    """The decoded images and labels of one split.

    Attributes:
        images: [N, C, H, W], uint8; of a table the values of its columns, [N, columns], float64.
        labels: [N], int64, each the index of a class.
    """

    images: NDArray[np.uint8] | NDArray[np.float64]
    labels: NDArray[np.int64]

    def __len__(self) -> int:
        return len(self.labels)


@dataclass(frozen=True)
class Splits:
    """All splits that the files of a data set hold.

    Attributes:
        train: the training images.
        validation: the validation images; None if the files have none.
        test: the test images; None if the files have none.
        classes: the name of each class, in the order of the labels.
        notes: what a user should know about the files, by a heading such as "warning".
        columns: the columns of a table; None for images.
    """

    train: Split
    validation: Split | None
    test: Split | None
    classes: tuple[str, ...]
    notes: Mapping[str, str] = field(default_factory=dict)
    columns: tuple[Column, ...] | None = None

    def by_name(self) -> dict[str, Split]:
        """Return the splits that exist, by name: "train", "validation", "test"."""
        splits = {"train": self.train, "validation": self.validation, "test": self.test}
        return {name: split for name, split in splits.items() if split is not None}

    def is_consistent(self) -> bool:
        """Return whether shapes, types and labels of all splits fit each other."""
        image_shape = self.train.images.shape[1:]
        fits = len(image_shape) == 3 if self.columns is None else image_shape == (len(self.columns),)
        return fits and all(
            split.images.dtype == (np.uint8 if self.columns is None else np.float64)
            and split.labels.dtype == np.int64
            and split.images.shape == (len(split), *image_shape)
            and split.labels.shape == (len(split),)
            and len(split) > 0
            and 0 <= split.labels.min() <= split.labels.max() < len(self.classes)
            for split in self.by_name().values()
        )
