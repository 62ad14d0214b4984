"""The one training loop. It trains a cohort; a single run is a cohort of one.

Read every shape without its K and you have ordinary PyTorch.
"""

import math
import time
from collections.abc import Mapping, Sequence

import torch

from regexp.training.batches import Batch
from regexp.training.cohort import Cohort
from regexp.training.epoch_graph import EpochGraph
from regexp.training.evaluation import count_confusions, evaluate
from regexp.training.measures.tally import Tally
from regexp.training.member import Member, Reporter, RunResult, call_recorders
from regexp.training.metrics import EpochMetrics
from regexp.utils.signals import StopRequest

# Writing checkpoints takes at most one part in this many of a cohort's time.
CHECKPOINT_SHARE = 100


def train(cohort: Cohort, reporter: Reporter, stop_request: StopRequest) -> None:
    """Train every run of a cohort to its end, or until a stop is requested.

    Args:
        cohort: K runs, at their beginning or resumed.
        reporter: shows every epoch.
        stop_request: the request to stop, which is checked after every epoch.
    """
    for member in cohort.members:
        member.call_recorder(member.recorder.record_start)
    test_and_drop_finished_runs(cohort)  # a resumed run may have ended before its result was recorded
    take_steps = EpochGraph(train_one_epoch) if cohort.uses_graphs else train_one_epoch
    while cohort.members:
        cohort.begin_epoch()
        take_steps(cohort)
        cohort.draw_ahead()  # while a GPU still computes the last steps, for which evaluation waits
        cohort.average_weights()
        metrics = evaluate_epoch(cohort)  # [K]
        record_epoch(cohort, metrics)
        write_checkpoints_if_due(cohort)
        reporter.show_epoch(metrics)
        test_and_drop_finished_runs(cohort)
        if stop_request.requested:
            checkpoints = cohort.checkpoints(range(len(cohort.members)))
            call_recorders(cohort.members, "record_interruption", checkpoints)
            return


def train_one_epoch(cohort: Cohort) -> None:
    """Take the optimizer steps of an epoch. Nothing here waits for the device."""
    for batch in cohort.batches():  # images [S, B, C, H, W], labels [K, B]
        take_step(cohort, batch)


def take_step(cohort: Cohort, batch: Batch) -> None:
    """Take one optimizer step."""
    losses = cohort.losses(batch)  # [K]
    losses.sum().backward()  # runs share no parameters: each gets its own gradient
    if cohort.optimizer.sharpness is not None:  # SAM takes another one
        with cohort.worst_weights_nearby():
            cohort.losses(batch).sum().backward()
    cohort.step(losses, len(batch))  # also sets the gradients to zero


def evaluate_epoch(cohort: Cohort) -> list[EpochMetrics]:
    """Return the epoch's metrics, [K]. This is the one place in an epoch that waits for the device."""
    dataset = cohort.dataset
    num_runs = len(cohort.members)
    user_metrics = cohort.user_metrics
    model = cohort.evaluated_model
    train = evaluate(
        model,
        num_runs,
        dataset.measured,
        cohort.backend,
        labels=cohort.measured_labels,
        user_metrics=user_metrics,
    )
    validation = evaluate(model, num_runs, dataset.validation, cohort.backend, user_metrics=user_metrics)
    values = {f"train_{name}": value for name, value in train.values.items()}
    values |= {f"val_{name}": value for name, value in validation.values.items()}
    objectives = cohort.objective_sums / len(dataset.train)
    gradient_norms = cohort.gradient_norm_sums / len(cohort.gradient_norm_steps)
    columns = [objectives, gradient_norms, *values.values()]
    table = torch.stack([column.to(cohort.backend.sum_dtype) for column in columns], 1).tolist()  # [K, columns]
    seconds = time.perf_counter() - cohort.epoch_start
    metrics = []
    for (objective, gradient_norm, *row), lr in zip(table, cohort.optimizer.learning_rates(), strict=True):
        run_values = dict(zip(values, row, strict=True))
        metrics.append(EpochMetrics(cohort.epoch, objective, run_values, lr, seconds, gradient_norm))
    return metrics


def record_epoch(cohort: Cohort, metrics: Sequence[EpochMetrics]) -> None:
    """Record an epoch's metrics [K], and decide which runs have ended."""
    stops = cohort.end_epoch(metrics)
    for member, run_metrics, stop in zip(cohort.members, metrics, stops, strict=True):
        member.status = _find_status(member, run_metrics, stop)
        member.call_recorder(member.recorder.record_epoch, run_metrics)


def write_checkpoints_if_due(cohort: Cohort) -> None:
    """Write the checkpoints of the runs that go on, unless that would take too much of the cohort's time."""
    start = time.perf_counter()
    if start - cohort.last_checkpoint_time >= CHECKPOINT_SHARE * cohort.checkpoint_seconds:
        rows = [k for k, member in enumerate(cohort.members) if member.status is None]
        call_recorders([cohort.members[k] for k in rows], "record_checkpoint", cohort.checkpoints(rows))
        cohort.last_checkpoint_time = time.perf_counter()
        cohort.checkpoint_seconds = cohort.last_checkpoint_time - start


def test_and_drop_finished_runs(cohort: Cohort) -> None:
    """Test and record the runs that have ended, and remove them from the cohort."""
    finished_rows = [k for k, member in enumerate(cohort.members) if member.status is not None]
    if finished_rows:
        if rows := [k for k in finished_rows if cohort.members[k].failure is None]:
            _test_and_record(cohort, rows)
        cohort.keep_runs([k for k, member in enumerate(cohort.members) if member.status is None])


def _find_status(member: Member, metrics: EpochMetrics, stop: bool) -> str | None:
    """Return how a run has ended; None if it goes on."""
    if not metrics.is_finite():
        return "diverged"
    if metrics.epoch >= member.settings.epochs:
        return "completed"
    return "stopped_early" if stop else None


def _test_and_record(cohort: Cohort, rows: Sequence[int]) -> None:
    """Test the runs at these rows with their last weights and with those they keep, and record how they ended."""
    index = torch.tensor(rows, device=cohort.backend.device)
    members = [cohort.members[k] for k in rows]
    dataset = cohort.dataset
    split = dataset.validation if dataset.test is None else dataset.test
    model = cohort.select_evaluated(index)
    user_metrics = cohort.user_metrics
    backend, num_classes = cohort.backend, len(dataset.classes)
    last_tally, tally = (Tally(len(rows), num_classes, backend.device, backend.sum_dtype) for _ in range(2))
    last_evaluation = evaluate(model, len(rows), split, backend, user_metrics=user_metrics, tally=last_tally)
    keeps_best = [member.settings.restore_best and member.best is not None for member in members]
    positions = torch.tensor(keeps_best).nonzero().flatten().to(cohort.backend.device)
    for name, tensor in model.state_dict().items():
        tensor.index_copy_(0, positions, cohort.best_weights[name].index_select(0, index[positions]))
    kept_evaluation = evaluate(model, len(rows), split, backend, predict=True, user_metrics=user_metrics, tally=tally)
    assert kept_evaluation.predictions is not None
    confusion_matrices = count_confusions(kept_evaluation.predictions, split.labels, num_classes).cpu()
    columns = (
        members,
        kept_evaluation.values_of_runs(),
        last_evaluation.values_of_runs(),
        confusion_matrices,
        tally.reliability().cpu(),
        cohort.checkpoints(rows),
    )
    results = []
    for member, values, last_values, confusion_matrix, reliability, checkpoint in zip(*columns, strict=True):
        assert member.last is not None
        assert member.status is not None
        results.append(
            RunResult(
                status=member.status,
                best=member.best,
                last=member.last,
                test=None if dataset.test is None else _values_if_finite(values),
                test_last=None if dataset.test is None else _values_if_finite(last_values),
                confusion_matrix=confusion_matrix,
                reliability=reliability,
                checkpoint=checkpoint,
                seconds=member.seconds,
            )
        )
    call_recorders(members, "record_result", results)


def _values_if_finite(values: Mapping[str, float]) -> Mapping[str, float] | None:
    """Return the values of a run's metrics; None if its loss is not finite."""
    return values if math.isfinite(values["loss"]) else None
