"""A run as a member of a cohort: its settings, checkpoint and result, and the protocols of recorder and reporter."""

import math
from collections.abc import Callable, Mapping, Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import asdict, dataclass
from typing import Any, Protocol

from torch import Tensor

from regexp.training.checkpoints import Checkpoint
from regexp.training.early_stopping import StoppingRule
from regexp.training.losses.training_loss import LossSettings
from regexp.training.measures.robustness import Robustness
from regexp.training.metrics import EpochMetrics
from regexp.training.parameter_groups import Hyperparameters
from regexp.training.regularizers.adversary import AttackSettings
from regexp.training.regularizers.averaging import Averaging
from regexp.training.regularizers.snapshots import SnapshotRule
from regexp.training.streams import ImageStream

# So many runs are recorded at the same time, beyond which the disk gains nothing.
_RECORDERS_AT_ONCE = 16


@dataclass(frozen=True)
class RunSettings:
    """The settings in which the runs of a cohort may differ.

    They are made anew for every cohort, because a plateau schedule has a state.

    Attributes:
        seed: the seed of initial weights, order of images, augmentation and dropout.
        epochs: the largest number of epochs.
        rates: the rates of the model's random layers by name, such as {"dropout": 0.2}.
        loss: the settings of the loss.
        stopping: the rule that ends the run early.
        monitor: the monitored value: val_NAME of a metric.
        better: 1 where larger values of it are better, -1 where smaller ones are.
        restore_best: whether the run keeps its best weights; otherwise its last.
        hyperparameters: those of the optimizer.
        attack: how training images are changed so that the network errs; None for not at all.
        averaging: how the weights, or the predictions of snapshots of them, are averaged; None for the weights
            themselves.
        measures_robustness: whether the accuracy on corrupted test images is measured when it has ended.
        keeps_logits: whether the logits of the test images are kept then.
        stream: the image stream.
        stream_key: equal for runs that share their image stream.
    """

    seed: int
    epochs: int
    rates: Mapping[str, float]
    loss: LossSettings
    stopping: StoppingRule
    monitor: str
    better: int
    restore_best: bool
    hyperparameters: Hyperparameters
    attack: AttackSettings | None
    averaging: Averaging | SnapshotRule | None
    measures_robustness: bool
    keeps_logits: bool
    stream: ImageStream
    stream_key: str


@dataclass(frozen=True)
class FinalMeasures:
    """What is measured of a run that has ended: on the test set, or else on the validation set.

    Attributes:
        test: every metric on the test set, with the weights that the run keeps; None without a test set, or where the
            loss is not finite.
        test_last: the same with the last weights.
        confusion_matrix: [classes, classes], counts of images by label (row) and prediction (column), with the weights
            that the run keeps.
        reliability: [bins, 3], the number of these images, the sum of their confidences, and the correct ones, by
            bins of the confidence.
        robustness: the accuracy on corrupted test images with the weights that the run keeps; None where it was not
            asked for, or not without a test set.
        logits: [N, classes] of these images, float32, in their order; None where they are not asked for.
        labels: [N], those of these images.
    """

    test: Mapping[str, float] | None
    test_last: Mapping[str, float] | None
    confusion_matrix: Tensor
    reliability: Tensor
    robustness: Robustness | None
    logits: Tensor | None
    labels: Tensor


@dataclass(frozen=True)
class RunResult:
    """The result of a run that has ended.

    Attributes:
        status: completed, stopped_early, diverged or pruned.
        best: metrics of the best epoch; None where none had a finite score.
        last: metrics of the last epoch.
        measures: what is measured of it at its end; None of a pruned run, which no result counts.
        checkpoint: the last checkpoint of the run.
        seconds: how long its epochs took.
    """

    status: str
    best: EpochMetrics | None
    last: EpochMetrics
    measures: FinalMeasures | None
    checkpoint: Checkpoint
    seconds: float

    @property
    def test(self) -> Mapping[str, float] | None:
        """Every metric on the test set, with the weights that the run keeps; None where there is none."""
        return None if self.measures is None else self.measures.test

    @property
    def test_last(self) -> Mapping[str, float] | None:
        """The same with the last weights."""
        return None if self.measures is None else self.measures.test_last


class Recorder(Protocol):
    """The recorder of one run."""

    def record_start(self) -> None:
        """Record that the run starts or resumes."""

    def record_epoch(self, metrics: EpochMetrics) -> None:
        """Record an epoch."""

    def record_checkpoint(self, checkpoint: Checkpoint) -> None:
        """Record a checkpoint, from which the run can resume."""

    def record_interruption(self, checkpoint: Checkpoint) -> None:
        """Record that the run stops before its end, and the checkpoint from which it can resume."""

    def record_result(self, result: RunResult) -> None:
        """Record how the run ended."""

    def record_failure(self, error: Exception) -> None:
        """Record that one of the other methods failed, and the run with it."""


class Reporter(Protocol):
    """The display of a cohort's progress."""

    def show_epoch(self, metrics: Sequence[EpochMetrics]) -> None:
        """Show an epoch, given the metrics of each run that still trained."""


class Pruner(Protocol):
    """What ends runs before their end, because others of a search promise more."""

    def choose_pruned(self) -> "Sequence[Member]":
        """Return the runs that are pruned after the epoch that has just ended."""
        ...


@dataclass
class Member:
    """A run in a cohort: its settings, its recorder, and how far it has come.

    Attributes:
        settings: what may differ between runs.
        recorder: what records the run.
        status: how it ended; None while it trains.
        failure: the error that ended its recording.
        best: metrics of the best epoch so far.
        last: metrics of the last epoch.
        seconds: how long its epochs took.
    """

    settings: RunSettings
    recorder: Recorder
    status: str | None = None
    failure: Exception | None = None
    best: EpochMetrics | None = None
    last: EpochMetrics | None = None
    seconds: float = 0.0

    def call_recorder(self, method: Callable[..., None], *arguments: Any) -> None:
        """Call a method of the recorder. If it raises, this run has failed; the other runs of its cohort go on."""
        try:
            method(*arguments)
        except Exception as error:
            self.status, self.failure = "failed", error
            self.recorder.record_failure(error)

    def progress(self) -> dict[str, Any]:
        """Return how far the run has come, for the metadata of its checkpoint."""
        plateau = self.settings.hyperparameters.plateau
        return {
            "status": self.status,
            "seconds": self.seconds,
            "best": None if self.best is None else asdict(self.best),
            "last": None if self.last is None else asdict(self.last),
            "schedule": None if plateau is None else plateau.state(),
        }

    def restore_progress(self, metadata: Mapping[str, Any]) -> None:
        """Go on from the metadata of a checkpoint."""
        self.status, self.seconds = metadata["status"], metadata["seconds"]
        if self.status == "pruned":  # what asks for the run now wants more of it
            self.status = None
        self.best = EpochMetrics.from_dict(metadata["best"])
        self.last = EpochMetrics.from_dict(metadata["last"])
        if (plateau := self.settings.hyperparameters.plateau) is not None:
            plateau.load_state(metadata["schedule"])

    def score(self, metrics: EpochMetrics) -> float:
        """Return the value that the run monitors, with its sign chosen so that lower is better; see EpochMetrics."""
        return metrics.score(self.settings.monitor, self.settings.better)

    def training_score(self, metrics: EpochMetrics) -> float:
        """Return the same as `score` for the training images; NaN where the metric is not measured on them."""
        name = self.settings.monitor.replace("val_", "train_", 1)
        return -self.settings.better * metrics.values.get(name, math.nan)

    def update(self, metrics: EpochMetrics) -> bool:
        """Keep an epoch's metrics, and return whether it is the best so far. An epoch whose score is NaN never is."""
        self.last = metrics
        self.seconds += metrics.seconds
        is_best = self.score(metrics) < (math.inf if self.best is None else self.score(self.best))
        if is_best:
            self.best = metrics
        return is_best


def call_recorders(members: Sequence[Member], method: str, arguments: Sequence[Any]) -> None:
    """Call a method of the recorders of several runs, many at the same time.

    Recording waits for the disk, which takes in many files in the time of one: for 100 runs 0.1 s instead of 1.5 s.

    Args:
        members: the runs.
        method: the name of the method.
        arguments: its argument for each run.
    """

    def call(member: Member, argument: Any) -> None:
        member.call_recorder(getattr(member.recorder, method), argument)

    if len(members) == 1:
        call(members[0], arguments[0])
        return
    with ThreadPoolExecutor(_RECORDERS_AT_ONCE) as executor:
        list(executor.map(call, members, arguments))  # the list raises what a call has raised
