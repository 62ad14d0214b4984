"""The features of a table: standardized numbers and one-hot categories, by the figures of the training rows alone."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from regexp.data.tables.columns import Column
from regexp.errors import DataError

# How many columns a note lists.
_MAX_NAMES = 10


@dataclass(frozen=True)
class Feature:
    """A feature: what a network's input is computed from.

    It is (x - mean) / std of a numeric column; of a categorical one, 1 where the row has the category and 0 elsewhere.

    Attributes:
        column: the name of the column.
        category: the category; None for a number.
        mean: the mean of the training rows; of a number's missing values, too, which therefore become 0.
        std: the standard deviation of the training rows.
    """

    column: str
    category: str | None
    mean: float = 0.0
    std: float = 1.0

    def record(self) -> dict[str, str | float]:
        """Return the feature as summary.json has it."""
        if self.category is None:
            return {"column": self.column, "mean": self.mean, "std": self.std}
        return {"column": self.column, "category": self.category}


@dataclass(frozen=True)
class Encoding:
    """The encoding of rows as features.

    Attributes:
        features: the features, in order.
        indices: for each feature the number of its column.
        codes: for each feature the place of its category in the column's list; -1 for numbers.
        notes: what a user should know about the columns, by a heading.
    """

    features: tuple[Feature, ...]
    indices: tuple[int, ...]
    codes: tuple[int, ...]
    notes: Mapping[str, str]

    def encode(self, values: NDArray[np.float64]) -> NDArray[np.float32]:
        """Return the features [n, features] of rows [n, columns].

        A category that no training row has is encoded as zeros, and a missing number as 0, the mean.
        """
        encoded = np.empty((len(values), len(self.features)), np.float32)
        for j, (feature, index, code) in enumerate(zip(self.features, self.indices, self.codes, strict=True)):
            column = values[:, index]
            if feature.category is None:
                encoded[:, j] = np.nan_to_num((column - feature.mean) / feature.std, nan=0.0)
            else:
                encoded[:, j] = column == code
        return encoded


def fit_encoding(name: str, columns: Sequence[Column], train: NDArray[np.float64]) -> Encoding:
    """Find the encoding that the training rows decide.

    Columns with one value in all training rows are left out: nothing can be learnt from them.

    Args:
        name: the name of the data set.
        columns: the columns.
        train: the values of the training rows, [n, columns], as `columns.type_columns` returns them.

    Raises:
        DataError: no column is left.
    """
    features: list[Feature] = []
    indices, codes = [], []
    constant = []
    for index, column in enumerate(columns):
        present = train[:, index][~np.isnan(train[:, index])]
        different = np.unique(present)
        size = float(np.abs(present).max(initial=0.0))
        if len(different) < 2 or np.std(present / size) == 0:
            constant.append(column.name)
        elif column.categories is None:
            # Scaled, because the squares of large numbers overflow.
            mean, std = float((present / size).mean() * size), float((present / size).std() * size)
            features.append(Feature(column.name, None, mean, std))
            indices.append(index)
            codes.append(-1)
        else:
            for code in different.astype(int).tolist():
                features.append(Feature(column.name, column.categories[code]))
                indices.append(index)
                codes.append(code)
    if not features:
        raise DataError(f"data={name}: every column has a single value in all training rows, so nothing can be learnt")
    notes = {}
    if constant:
        listed = ", ".join(constant[:_MAX_NAMES]) + (", ..." if len(constant) > _MAX_NAMES else "")
        notes["left out"] = f"{listed} (a single value in all training rows)"
    return Encoding(tuple(features), tuple(indices), tuple(codes), notes)


def encode_splits(
    name: str, columns: Sequence[Column], splits: Sequence[NDArray[np.float64]]
) -> tuple[list[NDArray[np.float32]], tuple[Feature, ...], dict[str, str]]:
    """Encode the rows of all splits by the figures of the first one.

    Args:
        name: the name of the data set.
        columns: the columns.
        splits: the values of the training rows, [n, columns], then those of the other splits.

    Returns:
        The features [n, features] of each split; the features; and what a user should know, by a heading.

    Raises:
        DataError: the training rows have no column that varies.
    """
    train, *others = splits
    encoding = fit_encoding(name, columns, train)
    notes = dict(encoding.notes)
    if num_unseen := sum(_count_unseen(columns, train, rows) for rows in others):
        rows_hold = "1 row holds" if num_unseen == 1 else f"{num_unseen:,} rows hold"
        notes["unseen"] = f"{rows_hold} a category that no training row has; it is encoded as zeros"
    return [encoding.encode(rows) for rows in splits], encoding.features, notes


def _count_unseen(columns: Sequence[Column], train: NDArray[np.float64], rows: NDArray[np.float64]) -> int:
    """Return how many rows [n, columns] hold a category that no training row has."""
    is_unseen = np.zeros(len(rows), bool)
    for index, column in enumerate(columns):
        if column.categories is not None:
            is_unseen |= ~np.isin(rows[:, index], train[:, index])
    return int(is_unseen.sum())
