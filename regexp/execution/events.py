"""What a cohort tells about its training, wherever it trains: in this process or in another. Imports no torch."""

from collections.abc import Mapping
from contextlib import AbstractContextManager
from dataclasses import dataclass
from typing import Protocol


@dataclass(frozen=True)
class CohortDescription:
    """A cohort that is about to train.

    Attributes:
        facts: what the header shows, by its name there: device, data, model, augmentation, and perhaps a note.
        num_runs: the number of runs.
        num_streams: the number of image streams.
        epochs: the largest number of epochs of a run.
        epoch: the epoch after which the runs resume; 0 for runs that start.
    """

    facts: Mapping[str, str]
    num_runs: int
    num_streams: int
    epochs: int
    epoch: int


@dataclass(frozen=True)
class EpochSummary:
    """An epoch of a cohort: the metrics of the run with the lowest validation loss.

    Attributes:
        epoch: the number of the epoch, counted from 1.
        num_runs: how many runs trained in it.
        train_loss: the training loss of that run, in nats.
        val_loss: its validation loss, in nats.
        val_accuracy: its validation accuracy, a fraction.
    """

    epoch: int
    num_runs: int
    train_loss: float
    val_loss: float
    val_accuracy: float


@dataclass(frozen=True)
class CohortEnd:
    """The end of a cohort that was described before: none of its runs trains any more."""


class CohortDisplay(Protocol):
    """The display of cohorts that train one after the other."""

    def print_line(self, message: str) -> None:
        """Print a message on a line of its own."""
        ...

    def watch(self, cohort: CohortDescription) -> AbstractContextManager[None]:
        """Show a cohort while the body of the `with` statement trains it."""
        ...

    def show_summary(self, summary: EpochSummary) -> None:
        """Show the progress after an epoch."""
        ...

    def print_interruption(self, epoch: int) -> None:
        """Print that training was interrupted after an epoch."""
        ...
