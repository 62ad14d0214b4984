"""A run as a cohort sees it: its plan, its state, how it ends, and whom the loop tells."""

import math
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any, Protocol

from torch import Tensor

from regexp.training.batches import ImageStream
from regexp.training.metrics import EpochMetrics, TestMetrics
from regexp.training.optimizers import Hyperparameters


@dataclass(frozen=True)
class RunSettings:
    """One run's numbers, in which the runs of a cohort may differ. Made anew for every cohort: a schedule may remember.

    Attributes:
        patience: in epochs; inf for never.
        stream, stream_key: runs with equal keys share their image stream.
    """

    seed: int
    epochs: int
    dropout: float
    label_smoothing: float
    patience: float
    min_delta: float
    monitor: str
    restore_best: bool
    numbers: Hyperparameters
    stream: ImageStream
    stream_key: str


@dataclass(frozen=True)
class Checkpoint:
    """All that a run needs to go on from the end of an epoch.

    Attributes:
        tensors: "model/...", "best/..." and "optimizer/...", as they are for a run alone.
        facts: JSON: epoch, status, best and last metrics, early stopping's memory and the schedule's, seconds.
    """

    tensors: Mapping[str, Tensor]
    facts: Mapping[str, Any]

    def part(self, name: str) -> dict[str, Tensor]:
        """The tensors below `name`/."""
        return {
            key.removeprefix(f"{name}/"): value for key, value in self.tensors.items() if key.startswith(f"{name}/")
        }


@dataclass(frozen=True)
class RunResult:
    """How a run ended.

    Attributes:
        status: completed, stopped_early or diverged.
        best: metrics of the best epoch; None where none had a finite score.
        last: metrics of the last epoch.
        test: with the weights that the run keeps; None without a test set, or when they are not finite.
        test_last: likewise with the last weights.
        confusion: [classes, classes] counts, row the label, of the kept weights on the test set (else on validation).
        state: the run's last.
    """

    status: str
    best: EpochMetrics | None
    last: EpochMetrics
    test: TestMetrics | None
    test_last: TestMetrics | None
    confusion: Tensor
    state: Checkpoint
    seconds: float


class Recorder(Protocol):
    """What the loop tells of one run."""

    def begin(self) -> None:
        """The run starts, or goes on."""

    def epoch(self, metrics: EpochMetrics) -> None:
        """An epoch ended."""

    def save(self, state: Checkpoint) -> None:
        """Keep what is needed to go on."""

    def interrupt(self, state: Checkpoint) -> None:
        """The run stops before its end; what is needed to go on."""

    def finish(self, outcome: RunResult) -> None:
        """The run ended."""

    def fail(self, error: Exception) -> None:
        """Something of the above failed, and with it the run."""


class Reporter(Protocol):
    """What the loop shows of a cohort."""

    def epoch(self, metrics: Sequence[EpochMetrics]) -> None:
        """An epoch ended, for each run still training."""


class StopSignal(Protocol):
    """A wish to stop after the current epoch."""

    @property
    def requested(self) -> bool:
        """Whether it was uttered."""
        ...


@dataclass
class Member:
    """A run in a cohort: its plan, where it is recorded, and how far it has come.

    Attributes:
        status: how it ended; None while it trains.
        failure: why nothing more of it can be recorded.
    """

    plan: RunSettings
    recorder: Recorder
    status: str | None = None
    failure: Exception | None = None
    best: EpochMetrics | None = None
    last: EpochMetrics | None = None
    seconds: float = 0.0

    def record(self, act: Callable[..., None], *facts: Any) -> None:
        """Have something recorded. Where that fails this run has failed, and no other of its cohort."""
        try:
            act(*facts)
        except Exception as error:
            self.status, self.failure = "failed", error
            self.recorder.fail(error)

    def take(self, metrics: EpochMetrics) -> bool:
        """Note an epoch; whether it is the best so far. NaN never is."""
        self.last = metrics
        self.seconds += metrics.seconds
        best = math.inf if self.best is None else self.best.score(self.plan.monitor)
        if metrics.score(self.plan.monitor) < best:
            self.best = metrics
            return True
        return False
