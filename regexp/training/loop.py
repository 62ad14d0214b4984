"""The one training loop. It trains a cohort; a single run is a cohort of one.

Read every shape without its K and you have ordinary PyTorch.
"""

import math
import time
from collections.abc import Sequence

import torch

from regexp.training.cohort import Cohort
from regexp.training.evaluation import Evaluation, confusion, cross_entropy, evaluate
from regexp.training.member import Member, Reporter, RunResult, StopSignal
from regexp.training.metrics import EpochMetrics, TestMetrics

# Writing checkpoints takes at most one part in this many of a cohort's time.
CHECKPOINT_SHARE = 100


def train(cohort: Cohort, reporter: Reporter, interruption: StopSignal) -> None:
    """Train every run of a cohort to its end, or until interrupted."""
    for member in cohort.members:
        member.record(member.recorder.begin)
    drop_finished_runs(cohort)  # also those whose end was cut off while it was recorded
    while cohort.members:
        cohort.begin_epoch()
        for batch in cohort.batches():  # images [S, B, C, H, W], labels [K, B]
            logits = cohort.forward(batch.images)  # [K, B, classes]
            losses = cross_entropy(logits, batch.labels, cohort.smoothing)  # [K]
            losses.sum().backward()  # runs share no parameters: each gets its own gradient
            cohort.step(losses, batch.labels.shape[1])
        measured = evaluate_epoch(cohort)  # [K]
        end_epoch(cohort, measured)
        reporter.epoch(measured)
        drop_finished_runs(cohort)
        if interruption.requested:
            for k, member in enumerate(cohort.members):
                member.record(member.recorder.interrupt, cohort.state(k))
            return


def evaluate_epoch(cohort: Cohort) -> list[EpochMetrics]:
    """The epoch's metrics [K]; the one place in it that waits for the device."""
    data, runs = cohort.dataset, len(cohort.members)
    train = evaluate(cohort.model, runs, data.measured, cohort.compute, labels=cohort.measured_labels)
    validation = evaluate(cohort.model, runs, data.validation, cohort.compute)
    columns = {
        "objective": cohort.objective / len(data.train),
        "train_loss": train.loss,
        "train_accuracy": train.accuracy,
        "val_loss": validation.loss,
        "val_accuracy": validation.accuracy,
        "gradient_norm": cohort.norms / cohort.norms_taken,
    }
    table = torch.stack([column.to(cohort.compute.sum_dtype) for column in columns.values()], 1).tolist()  # [K, 6]
    seconds = time.perf_counter() - cohort.started
    return [
        EpochMetrics(epoch=cohort.epoch, lr=rate, seconds=seconds, **dict(zip(columns, row, strict=True)))
        for row, rate in zip(table, cohort.optimizer.rates(), strict=True)
    ]


def end_epoch(cohort: Cohort, measured: Sequence[EpochMetrics]) -> None:
    """Record every run, and decide which have ended. `measured` [K]."""
    stops = cohort.note(measured)
    for member, metrics, stop in zip(cohort.members, measured, stops, strict=True):
        member.status = _status(member, metrics, stop)
        member.record(member.recorder.epoch, metrics)
    began = time.perf_counter()
    if began - cohort.saved >= CHECKPOINT_SHARE * cohort.saving:
        for k, member in enumerate(cohort.members):
            if member.status is None:
                member.record(member.recorder.save, cohort.state(k))
        cohort.saved = time.perf_counter()
        cohort.saving = cohort.saved - began


def drop_finished_runs(cohort: Cohort) -> None:
    """Test and record the runs that have ended, and remove them from the cohort."""
    leaving = [k for k, member in enumerate(cohort.members) if member.status is not None]
    if leaving:
        if ended := [k for k in leaving if cohort.members[k].failure is None]:
            _test_and_record(cohort, ended)
        cohort.keep([k for k, member in enumerate(cohort.members) if member.status is None])


def _status(member: Member, metrics: EpochMetrics, stop: bool) -> str | None:
    """How a run has ended; None if it has not."""
    if not metrics.finite():
        return "diverged"
    if metrics.epoch >= member.plan.epochs:
        return "completed"
    return "stopped_early" if stop else None


def _test_and_record(cohort: Cohort, leaving: Sequence[int]) -> None:
    """Test the runs of these rows, with their last weights and with those they keep, and record how they ended."""
    rows = torch.tensor(leaving, device=cohort.compute.device)
    members = [cohort.members[k] for k in leaving]
    data = cohort.dataset
    part = data.validation if data.test is None else data.test
    model = cohort.model.take(rows)
    last = evaluate(model, len(rows), part, cohort.compute)
    for i, (k, member) in enumerate(zip(leaving, members, strict=True)):
        if member.plan.restore_best and member.best is not None:
            for name, tensor in model.state_dict().items():
                tensor[i].copy_(cohort.best[name][k])
    kept = evaluate(model, len(rows), part, cohort.compute, predict=True)
    assert kept.predictions is not None
    for i, (k, member) in enumerate(zip(leaving, members, strict=True)):
        assert member.last is not None
        assert member.status is not None
        counts = confusion(kept.predictions[i], part.labels, len(data.classes)).cpu()
        test, test_last = (None if data.test is None else _score(measurement, i) for measurement in (kept, last))
        state = cohort.state(k)
        outcome = RunResult(member.status, member.best, member.last, test, test_last, counts, state, member.seconds)
        member.record(member.recorder.finish, outcome)


def _score(measurement: Evaluation, i: int) -> TestMetrics | None:
    """Run i's; None if its loss is not finite."""
    loss, accuracy = float(measurement.loss[i]), float(measurement.accuracy[i])
    return TestMetrics(loss, accuracy) if math.isfinite(loss) else None
