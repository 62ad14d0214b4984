"""Cohorts for tests, recorded in memory."""

import json
from collections.abc import Sequence

from regexp.config.compose import compose_job
from regexp.execution.builders import load_dataset, make_architecture, make_settings
from regexp.training.cohort import Cohort
from regexp.training.loop import train
from regexp.training.member import Checkpoint, Member, RunResult
from regexp.training.metrics import EpochMetrics
from regexp.utils.device import choose_device
from regexp.utils.signals import StopRequest

DOUBLE = "device.precision=float64"


class Memory:
    """A recorder that keeps what it is told."""

    def __init__(self) -> None:
        self.epochs: list[EpochMetrics] = []
        self.outcome: RunResult | None = None
        self.saved: Checkpoint | None = None

    def begin(self) -> None:
        pass

    def fail(self, error: Exception) -> None:
        raise error

    def epoch(self, metrics: EpochMetrics) -> None:
        self.epochs.append(metrics)

    def save(self, state: Checkpoint) -> None:
        self.saved = copied(state)

    interrupt = save

    def finish(self, outcome: RunResult) -> None:
        self.outcome = outcome

    @property
    def end(self) -> RunResult:
        assert self.outcome is not None, "the run has not ended"
        return self.outcome

    def column(self, name: str) -> list[float]:
        return [getattr(metrics, name) for metrics in self.epochs]


class Quiet:
    """A reporter that shows nothing, and interrupts after some epoch where it is told to."""

    def __init__(self, interruption: StopRequest | None = None, after: int = 0) -> None:
        self.interruption, self.after = interruption, after

    def epoch(self, metrics: Sequence[EpochMetrics]) -> None:
        if self.interruption is not None and metrics[0].epoch == self.after:
            self.interruption.signal = 2


def copied(state: Checkpoint) -> Checkpoint:
    """As it comes back from a disk."""
    tensors = {name: tensor.clone() for name, tensor in state.tensors.items()}
    return Checkpoint(tensors, json.loads(json.dumps(dict(state.facts))))


def make_cohort(*runs: Sequence[str], states: Sequence[Checkpoint | None] | None = None) -> tuple[Cohort, list[Memory]]:
    """A cohort of the runs with these overrides, and their recorders in the order given."""
    configs = [compose_job(overrides).config for overrides in runs]
    first = configs[0]
    compute = choose_device("cpu", None, first.device.precision, None)
    dataset = load_dataset(first)
    memories = [Memory() for _ in configs]
    members = [Member(make_settings(config, dataset), memory) for config, memory in zip(configs, memories, strict=True)]
    cohort = Cohort(
        members,
        states or [None] * len(runs),
        make_architecture(first, dataset),
        first.model.init,
        first.optimizer.name,
        first.batch_size,
        dataset,
        compute,
    )
    return cohort, memories


def trained(*runs: Sequence[str]) -> list[Memory]:
    """The recorders of runs that trained together to their ends."""
    cohort, memories = make_cohort(*runs)
    train(cohort, Quiet(), StopRequest())
    return memories
