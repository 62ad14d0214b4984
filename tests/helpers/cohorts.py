"""Small cohorts for tests, whose runs are recorded in memory."""

import json
from collections.abc import Sequence

from regexp.config.compose import compose_job
from regexp.config.schema import Config
from regexp.execution.builders import load_dataset, make_architecture, make_settings, make_user_loss, make_user_metrics
from regexp.training.checkpoints import Checkpoint
from regexp.training.cohort import Cohort
from regexp.training.loop import train
from regexp.training.member import FinalMeasures, Member, RunResult
from regexp.training.metrics import EpochMetrics
from regexp.utils.device import choose_backend
from regexp.utils.signals import StopRequest

DOUBLE = "device.precision=float64"


class MemoryRecorder:
    """A recorder that keeps a run's results in memory.

    Attributes:
        epochs: the metrics of each epoch.
        result: how the run ended; None while it trains.
        checkpoint: the last checkpoint.
    """

    def __init__(self) -> None:
        self.epochs: list[EpochMetrics] = []
        self.result: RunResult | None = None
        self.checkpoint: Checkpoint | None = None

    def record_start(self) -> None:
        pass

    def record_failure(self, error: Exception) -> None:
        raise error

    def record_epoch(self, metrics: EpochMetrics) -> None:
        self.epochs.append(metrics)

    def record_checkpoint(self, checkpoint: Checkpoint) -> None:
        self.checkpoint = copy_checkpoint(checkpoint)

    record_interruption = record_checkpoint

    def record_result(self, result: RunResult) -> None:
        self.result = result

    @property
    def final_result(self) -> RunResult:
        """The result of a run that has ended."""
        assert self.result is not None, "the run has not ended"
        return self.result

    @property
    def final_measures(self) -> FinalMeasures:
        """What was measured of a run that has ended and was not pruned."""
        assert self.final_result.measures is not None, "the run was not tested"
        return self.final_result.measures

    def column(self, name: str) -> list[float]:
        """Return the values of a metric, one for each epoch."""
        return [metrics.row()[name] for metrics in self.epochs]


class QuietReporter:
    """A reporter that shows nothing, and that may request a stop after some epoch."""

    def __init__(self, stop_request: StopRequest | None = None, last_epoch: int = 0) -> None:
        self.stop_request, self.last_epoch = stop_request, last_epoch

    def show_epoch(self, metrics: Sequence[EpochMetrics]) -> None:
        if self.stop_request is not None and metrics[0].epoch == self.last_epoch:
            self.stop_request.signal = 2


def copy_checkpoint(checkpoint: Checkpoint) -> Checkpoint:
    """Return a checkpoint as it would be loaded from a file."""
    tensors = {name: tensor.clone() for name, tensor in checkpoint.tensors.items()}
    return Checkpoint(tensors, json.loads(json.dumps(dict(checkpoint.metadata))))


def make_cohort(
    *runs: Sequence[str], checkpoints: Sequence[Checkpoint | None] | None = None
) -> tuple[Cohort, list[MemoryRecorder]]:
    """Make a cohort of runs that start, or that resume from checkpoints, on the CPU.

    Args:
        runs: the overrides of each run.
        checkpoints: for each run, where it resumes; None for runs that start.

    Returns:
        The cohort, and the recorders in the order of the runs.
    """
    return make_configured_cohort([compose_job(overrides).config for overrides in runs], checkpoints)


def make_configured_cohort(
    configs: Sequence[Config], checkpoints: Sequence[Checkpoint | None] | None = None, device: str = "cpu"
) -> tuple[Cohort, list[MemoryRecorder]]:
    """Make a cohort of runs that start, or that resume from checkpoints.

    Args:
        configs: the configuration of each run.
        checkpoints: for each run, where it resumes; None for runs that start.
        device: the device to train on, such as "cuda:1".

    Returns:
        The cohort, and the recorders in the order of the runs.
    """
    first = configs[0]
    kind, _, index = device.partition(":")
    backend = choose_backend(kind, int(index) if index else None, first.device.precision, None, first.device.graphs)
    dataset = load_dataset(first).to(backend.device)
    recorders = [MemoryRecorder() for _ in configs]
    members = [
        Member(make_settings(config, dataset), recorder) for config, recorder in zip(configs, recorders, strict=True)
    ]
    cohort = Cohort(
        members,
        checkpoints or [None] * len(configs),
        make_architecture(first, dataset),
        first.optimizer.name,
        first.batch_size,
        dataset,
        backend,
        make_user_loss(first, dataset, backend),
        make_user_metrics(first, dataset),
    )
    return cohort, recorders


def train_runs(*runs: Sequence[str]) -> list[MemoryRecorder]:
    """Train runs, given by their overrides, in one cohort until all have ended; return their recorders in order."""
    cohort, recorders = make_cohort(*runs)
    train(cohort, QuietReporter(), StopRequest())
    return recorders
