"""The trial of a search that a run belongs to. Imports no torch."""

from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any


@dataclass(frozen=True)
class PrunableTrial:
    """A trial that may be pruned while its runs train, perhaps in another process.

    Attributes:
        study: the file of its study.
        number: its number within the study.
        metric: the metric of every epoch that the pruner reads.
        pruner: the name of the pruner and its arguments.
        max_epochs: the largest number of epochs of a run of the search.
    """

    study: Path
    number: int
    metric: str
    pruner: Mapping[str, Any]
    max_epochs: int
