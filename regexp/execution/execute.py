"""Training of planned cohorts in this process, one after the other."""

import math
import traceback
from collections.abc import Sequence
from typing import cast

from regexp.errors import DeviceLost, Interrupted, OutOfMemory
from regexp.execution import builders, grouping
from regexp.execution.checkpoint_file import describe_damage
from regexp.execution.events import CohortDescription, CohortDisplay, EpochSummary
from regexp.execution.run_recorder import RunRecorder
from regexp.runs.directories import PlannedRun, record_failure
from regexp.training import loop
from regexp.training.cohort import Cohort
from regexp.training.member import Pruner
from regexp.training.metrics import EpochMetrics
from regexp.utils.device import cpu_settings_of_training
from regexp.utils.signals import StopRequest


def train_cohorts(
    cohorts: Sequence[Sequence[PlannedRun]], display: CohortDisplay, stop_request: StopRequest
) -> list[Exception]:
    """Train cohorts one after the other, and return the errors of the runs that failed.

    A cohort that fails leaves the others alone. A cohort that does not fit in memory is split in two, and both halves
    resume from the checkpoints of its runs.

    Args:
        cohorts: for each cohort, the runs that it trains.
        display: shows the progress.
        stop_request: the user's request to stop after the current epoch.

    Raises:
        Interrupted: the user asked to stop before all runs had ended.
        DeviceLost: a GPU stopped working, so that the cohorts that follow would fail as well.
    """
    errors: list[Exception] = []
    queue = [list(planned_runs) for planned_runs in cohorts]
    while queue:
        planned_runs = queue.pop(0)
        shortage: OutOfMemory | None = None
        try:
            errors += train_cohort(planned_runs, display, stop_request, is_last=not queue)
        except OutOfMemory as error:
            shortage = error
        except DeviceLost as error:
            _record_failures(planned_runs, error)
            raise
        except Exception as error:
            errors.append(_record_failures(planned_runs, error))
        if shortage is not None:
            _free_tensors(shortage)  # otherwise the memory is as short for what follows
            try:
                halves = split_in_two(planned_runs)
            except Exception as error:  # grouping reads data and checkpoints, which may fail by now
                errors.append(_record_failures(planned_runs, error))
                continue
            if halves:
                display.print_line(
                    f"{len(planned_runs)} runs do not fit in memory together; training them in two halves"
                )
                queue = halves + queue
            else:
                errors.append(_record_failures(planned_runs, shortage))
    return errors


def train_cohort(
    planned_runs: Sequence[PlannedRun], display: CohortDisplay, stop_request: StopRequest, is_last: bool
) -> list[Exception]:
    """Build one cohort, train it with the training loop, and return the errors of runs that could not be recorded.

    Args:
        planned_runs: the runs that the cohort trains.
        display: shows the progress.
        stop_request: the user's request to stop after the current epoch.
        is_last: whether no other cohort follows. A request that comes in its very last epoch then interrupts nothing.

    Raises:
        Interrupted: the user asked to stop, and some runs have not ended.
        OutOfMemory: the cohort does not fit in the memory of its device.
        DeviceLost: the GPU stopped working.
    """
    with builders.explain_errors(planned.job.config for planned in planned_runs):
        cohort = builders.build_cohort(planned_runs)
        for member in cohort.members:
            cast(RunRecorder, member.recorder).count_cohort = lambda: len(cohort.members)
        for planned in planned_runs:
            if damage := describe_damage(planned.directory):
                display.print_line(damage)
        pruner = make_pruner(cohort)
        if pruner is not None:
            for member in pruner.choose_pruned():  # decided after the epoch of a checkpoint, but never recorded
                member.status = "pruned"
        with display.watch(describe_cohort(cohort)), cpu_settings_of_training():
            loop.train(cohort, SummaryReporter(display), stop_request, pruner)
    if stop_request.requested and (cohort.members or not is_last):
        display.print_interruption(cohort.epoch)
        raise Interrupted(stop_request.signal)
    return [member.failure for member in cohort.all_members if member.failure is not None]


def make_pruner(cohort: Cohort) -> Pruner | None:
    """Return the pruner of the trials that train in a cohort; None where none can be pruned."""
    planned_runs = [(member, cast(RunRecorder, member.recorder).planned) for member in cohort.members]
    trials = [(member, planned.trial) for member, planned in planned_runs if planned.trial is not None]
    if not trials:
        return None
    from regexp.execution.searching.pruning import TrialPruner  # imports Optuna

    return TrialPruner(trials)


def describe_cohort(cohort: Cohort) -> CohortDescription:
    """Return what a display shows about a cohort."""
    pipelines = [member.settings.stream.pipeline for member in cohort.members]
    parameters = sum(parameter[0].numel() for parameter in cohort.model.parameters())
    facts = {
        "device": cohort.backend.describe(),
        "data": cohort.dataset.describe(),
        **cohort.dataset.notes,
        "model": f"{cohort.model.architecture.describe()}; {parameters:,} parameters",
        "augmentation": "; ".join(dict.fromkeys(pipeline.describe() for pipeline in pipelines)),
    }
    mixings = [member.settings.stream.mixing for member in cohort.members]
    if any(mixings):
        names = ["none" if mixing is None else mixing.describe() for mixing in mixings]
        facts["mixing"] = "; ".join(dict.fromkeys(names))
    if slow_transforms := sorted({name for pipeline in pipelines for name in pipeline.unbatched_transforms()}):
        facts["note"] = f"image by image, about 0.1 ms each: {', '.join(slow_transforms)}"
    if warning := _find_idle_lookahead(cohort):
        facts["warning"] = "; ".join(filter(None, (facts.get("warning"), warning)))
    epochs = max(member.settings.epochs for member in cohort.members)
    return CohortDescription(facts, len(cohort.members), len(cohort.streams), epochs, cohort.epoch)


def _find_idle_lookahead(cohort: Cohort) -> str | None:
    """Return a warning about the longest period of Lookahead that is longer than its run; None if there is none."""
    periods = [
        (period, steps)
        for member in cohort.members
        if (period := member.settings.hyperparameters.lookahead_period) is not None
        and period > (steps := member.settings.epochs * cohort.steps_per_epoch)
    ]
    if not periods:
        return None
    period, steps = max(periods)
    return f"optimizer.lookahead_k={period} has no effect: the run has {steps} steps"


class SummaryReporter:
    """A reporter that hands the epoch of the best run to a display. Implements training.member.Reporter."""

    def __init__(self, display: CohortDisplay) -> None:
        self.display = display

    def show_epoch(self, metrics: Sequence[EpochMetrics]) -> None:
        """Show the progress after an epoch, given its metrics for every run that trained in it."""
        all_values = [run_metrics.values for run_metrics in metrics]
        lowest = min(all_values, key=lambda values: (math.isnan(values["val_loss"]), values["val_loss"]))  # NaN last
        losses = lowest["train_loss"], lowest["val_loss"], lowest["val_accuracy"]
        self.display.show_summary(EpochSummary(metrics[0].epoch, len(metrics), *losses))


def split_in_two(planned_runs: Sequence[PlannedRun]) -> list[list[PlannedRun]]:
    """Split the runs that have not ended into two cohorts; into none where fewer than two runs are left."""
    unfinished = [planned for planned in planned_runs if not (planned.directory / "summary.json").exists()]
    if len(unfinished) < 2:
        return []
    return [list(cohort.runs) for cohort in grouping.group_into_cohorts(unfinished, math.ceil(len(unfinished) / 2))]


def _record_failures(planned_runs: Sequence[PlannedRun], error: Exception) -> Exception:
    """Record in the directory of each run that it failed, free the tensors of its cohort, and return the error."""
    for planned in planned_runs:
        record_failure(planned, error)
    _free_tensors(error)
    return error


def _free_tensors(error: BaseException) -> None:
    """Clear the frames in which an error and its causes were raised: they hold the tensors of a cohort."""
    cause: BaseException | None = error
    while cause is not None:
        traceback.clear_frames(cause.__traceback__)
        cause = cause.__cause__ or cause.__context__
