"""The one training loop. It trains a cohort; a single run is a cohort of one.

Read every shape without its K and you have ordinary PyTorch.
"""

import math
import time
from collections.abc import Mapping, Sequence

import torch
from torch import Tensor

from regexp.models.protocol import Predictor
from regexp.training.batches import Batch
from regexp.training.cohort import Cohort
from regexp.training.epoch_graph import EpochGraph
from regexp.training.evaluation import count_confusions, evaluate
from regexp.training.measures.robustness import Robustness, measure_robustness
from regexp.training.measures.tally import Tally
from regexp.training.member import FinalMeasures, Member, Pruner, Reporter, RunResult, call_recorders
from regexp.training.metrics import EpochMetrics
from regexp.utils.signals import StopRequest

# Writing checkpoints takes at most one part in this many of a cohort's time.
CHECKPOINT_SHARE = 100


def train(cohort: Cohort, reporter: Reporter, stop_request: StopRequest, pruner: Pruner | None = None) -> None:
    """Train every run of a cohort to its end, or until a stop is requested.

    Args:
        cohort: K runs, at their beginning or resumed.
        reporter: shows every epoch.
        stop_request: the request to stop, which is checked after every epoch.
        pruner: ends runs of a search that promise little; None to train all of them.
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
        record_epoch(cohort, metrics, pruner)
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
    is_changed = cohort.evaluated.find_changed(cohort.epoch)  # [K]; an ensemble only changes with its snapshots
    values = _evaluate_splits(cohort) if any(is_changed) else {}
    objectives = cohort.objective_sums / len(cohort.dataset.train)
    gradient_norms = cohort.gradient_norm_sums / len(cohort.gradient_norm_steps)
    columns = [objectives, gradient_norms, *values.values()]
    table = torch.stack([column.to(cohort.backend.sum_dtype) for column in columns], 1).tolist()  # [K, columns]
    seconds = time.perf_counter() - cohort.epoch_start
    metrics = []
    runs = zip(cohort.members, is_changed, table, cohort.optimizer.learning_rates(), strict=True)
    for member, is_run_changed, (objective, gradient_norm, *row), lr in runs:
        run_values: Mapping[str, float] = dict(zip(values, row, strict=True))
        if not is_run_changed:
            assert member.last is not None
            run_values = member.last.values
        metrics.append(EpochMetrics(cohort.epoch, objective, run_values, lr, seconds, gradient_norm))
    return metrics


def _evaluate_splits(cohort: Cohort) -> dict[str, Tensor]:
    """Return every metric [K] of the training and validation images, by the names of an epoch's metrics."""
    dataset, num_runs, user_metrics = cohort.dataset, len(cohort.members), cohort.user_metrics
    model = cohort.evaluated.model
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
    return values | {f"val_{name}": value for name, value in validation.values.items()}


def record_epoch(cohort: Cohort, metrics: Sequence[EpochMetrics], pruner: Pruner | None = None) -> None:
    """Record an epoch's metrics [K], and decide which runs have ended."""
    stops = cohort.end_epoch(metrics)
    for member, run_metrics, stop in zip(cohort.members, metrics, stops, strict=True):
        member.status = _find_status(member, run_metrics, stop)
    for member in () if pruner is None else pruner.choose_pruned():
        member.status = "pruned"
    for member, run_metrics in zip(cohort.members, metrics, strict=True):
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
            _record_results(cohort, rows)
        cohort.keep_runs([k for k, member in enumerate(cohort.members) if member.status is None])


def _find_status(member: Member, metrics: EpochMetrics, stop: bool) -> str | None:
    """Return how a run has ended; None if it goes on."""
    if not metrics.is_finite():
        return "diverged"
    if metrics.epoch >= member.settings.epochs:
        return "completed"
    return "stopped_early" if stop else None


def _record_results(cohort: Cohort, rows: Sequence[int]) -> None:
    """Record how the runs at these rows have ended. Pruned ones are not tested, for no result counts them."""
    tested_rows = [k for k in rows if cohort.members[k].status != "pruned"]
    measures = dict(zip(tested_rows, _test_runs(cohort, tested_rows), strict=True)) if tested_rows else {}
    members = [cohort.members[k] for k in rows]
    results = []
    for k, member, checkpoint in zip(rows, members, cohort.checkpoints(rows), strict=True):
        assert member.last is not None
        assert member.status is not None
        results.append(RunResult(member.status, member.best, member.last, measures.get(k), checkpoint, member.seconds))
    call_recorders(members, "record_result", results)


def _test_runs(cohort: Cohort, rows: Sequence[int]) -> list[FinalMeasures]:
    """Measure the runs at these rows, with their last weights and with those that they keep."""
    index = torch.tensor(rows, device=cohort.backend.device)
    members = [cohort.members[k] for k in rows]
    dataset = cohort.dataset
    split = dataset.validation if dataset.test is None else dataset.test
    model = cohort.evaluated.select_runs(index)
    user_metrics = cohort.user_metrics
    backend, num_classes = cohort.backend, len(dataset.classes)

    def make_tally() -> Tally:
        return Tally(len(rows), num_classes, backend.device, backend.sum_dtype)

    last = None
    if not all(map(_keeps_last_weights, members)):
        last = evaluate(model, len(rows), split, backend, user_metrics=user_metrics, tally=make_tally())
        _restore_kept_weights(cohort, model, rows)
    logit_positions = [i for i, member in enumerate(members) if member.settings.keeps_logits]
    logit_rows = torch.tensor(logit_positions, device=backend.device) if logit_positions else None
    tally = make_tally()
    kept = evaluate(
        model,
        len(rows),
        split,
        backend,
        predict=True,
        user_metrics=user_metrics,
        tally=tally,
        logit_rows=logit_rows,
    )
    all_values = kept.values_of_runs()
    all_last_values = [dict(values) for values in all_values] if last is None else last.values_of_runs()
    logits_by_position = {} if kept.logits is None else dict(zip(logit_positions, kept.logits, strict=True))
    assert kept.predictions is not None
    confusion_matrices = count_confusions(kept.predictions, split.labels, num_classes).cpu()
    reliability = tally.reliability().cpu()
    robustness = _measure_robustness(cohort, model, rows)
    labels = split.labels.cpu()
    measures = []
    for i, (k, values, last_values) in enumerate(zip(rows, all_values, all_last_values, strict=True)):
        if k in robustness:
            values |= {name: value for name, value in robustness[k].values().items() if name not in values}
        measures.append(
            FinalMeasures(
                test=None if dataset.test is None else _values_if_finite(values),
                test_last=None if dataset.test is None else _values_if_finite(last_values),
                confusion_matrix=confusion_matrices[i],
                reliability=reliability[i],
                robustness=robustness.get(k),
                logits=logits_by_position.get(i),
                labels=labels,
            )
        )
    return measures


def _keeps_last_weights(member: Member) -> bool:
    """Return whether the weights that a run keeps are its last ones."""
    if member.best is None or member.last is None or not member.settings.restore_best:
        return True
    return member.best.epoch == member.last.epoch


def _restore_kept_weights(cohort: Cohort, model: Predictor, rows: Sequence[int]) -> None:
    """Set the networks of a model, with the last weights of the runs at these rows, to the weights that these keep."""
    index = torch.tensor(rows, device=cohort.backend.device)
    members = [cohort.members[k] for k in rows]
    keeps_best = [member.settings.restore_best and member.best is not None for member in members]
    positions = torch.tensor(keeps_best).nonzero().flatten().to(cohort.backend.device)
    cohort.evaluated.restore_best(model, positions, index[positions])


def _measure_robustness(cohort: Cohort, model: Predictor, rows: Sequence[int]) -> dict[int, Robustness]:
    """Return the robustness of the runs at these rows that ask for it, by row.

    Args:
        cohort: the cohort.
        model: the networks of the runs at these rows, with the weights that they keep.
        rows: the rows.
    """
    asking_rows = [k for k in rows if cohort.members[k].settings.measures_robustness]
    if not asking_rows or cohort.dataset.test is None:
        return {}
    if len(asking_rows) < len(rows):
        model = cohort.evaluated.select_runs(torch.tensor(asking_rows, device=cohort.backend.device))
        _restore_kept_weights(cohort, model, asking_rows)
    results = measure_robustness(model, len(asking_rows), cohort.dataset.test, cohort.backend)
    return dict(zip(asking_rows, results, strict=True))


def _values_if_finite(values: Mapping[str, float]) -> Mapping[str, float] | None:
    """Return the values of a run's metrics; None if its loss is not finite."""
    return values if math.isfinite(values["loss"]) else None
