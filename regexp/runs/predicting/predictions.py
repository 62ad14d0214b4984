"""What networks say about pictures, arrays or rows."""

from collections.abc import Mapping
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

from regexp.utils.console import warn_caller
from regexp.utils.html.elements import escape_text, make_table
from regexp.utils.messages import list_first

if TYPE_CHECKING:
    import numpy as np
    from numpy.typing import NDArray

# The number of predictions that a notebook shows.
_MAX_ROWS = 20


@dataclass(frozen=True, eq=False, repr=False)
class Predictions:
    """The predictions for N pictures, images of arrays, or rows of tables.

    Attributes:
        inputs: the name of each, [N]: the path of a picture, "line 2" of a table, "0" of an array.
        classes: the names of the classes.
        probabilities: [N, classes], float64; the mean over the runs where several have predicted.
        problems: what is wrong with each input that could not be read, by its name. It is not among the N.
        notes: reasons why predictions may be of no use.

    Example:
        >>> from regexp import load_run
        >>> predictions = load_run("outputs/default/seed=1").predict(["four.png", "nine.png"])
        >>> predictions.labels
        ('4', '9')
        >>> predictions.probabilities.shape
        (2, 10)
    """

    inputs: tuple[str, ...]
    classes: tuple[str, ...]
    probabilities: "NDArray[np.float64]"
    problems: Mapping[str, str]
    notes: tuple[str, ...]

    @property
    def indices(self) -> "NDArray[np.int64]":
        """The number of the most probable class of each input, [N]."""
        indices: NDArray[np.int64] = self.probabilities.argmax(1)
        return indices

    @property
    def labels(self) -> tuple[str, ...]:
        """The name of the most probable class of each input, [N]."""
        return tuple(self.classes[index] for index in self.indices.tolist())

    def records(self) -> list[dict[str, Any]]:
        """Return a record for each input, for `pandas.DataFrame(predictions.records())` or a CSV file.

        The keys are "input", "class", "probability" and "p_NAME", the probability of each class NAME.
        """
        keys = [f"p_{name}" for name in self.classes]
        return [
            {"input": name, "class": label, "probability": max(row), **dict(zip(keys, row, strict=True))}
            for name, label, row in zip(self.inputs, self.labels, self.probabilities.tolist(), strict=True)
        ]

    def warn(self) -> None:
        """Give the problems and notes to Python's `warnings`."""
        if self.problems:
            lines = list_first([f"{name} {problem}" for name, problem in self.problems.items()])
            total = len(self) + len(self.problems)
            warn_caller(f"{len(self.problems):,} of {total:,} inputs cannot be read and have no prediction:{lines}")
        for note in self.notes:
            warn_caller(note)

    def __len__(self) -> int:
        return len(self.inputs)

    def _repr_html_(self) -> str:
        """Return a table of the first predictions, which notebooks show."""
        rows = [
            [escape_text(record["input"]), escape_text(record["class"]), f"{record['probability']:.1%}"]
            for record in self.records()[:_MAX_ROWS]
        ]
        lines = [f"and {len(self) - _MAX_ROWS:,} more"] if len(self) > _MAX_ROWS else []
        lines += [f"{name} {problem}" for name, problem in self.problems.items()][:_MAX_ROWS]
        rest = "".join(f"<div>{escape_text(line)}</div>" for line in lines)
        return make_table(["input", "class", "probability"], rows, [True, True, False]) + rest

    def __repr__(self) -> str:
        problems = f", {len(self.problems)} problems" if self.problems else ""
        return f"Predictions({len(self)} inputs, {len(self.classes)} classes{problems})"
