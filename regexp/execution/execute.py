"""Training of planned cohorts in this process, one after the other."""

import math
import traceback
from collections.abc import Sequence

from regexp.errors import Interrupted, OutOfMemory
from regexp.execution import builders
from regexp.execution.terminal import Terminal
from regexp.runs.directories import PlannedRun, record_failure
from regexp.training import loop
from regexp.utils.signals import StopRequest


def train_cohorts(
    planned_cohorts: Sequence[Sequence[PlannedRun]], terminal: Terminal, stop_request: StopRequest
) -> list[Exception]:
    """Train cohorts one after the other, and return the errors of the runs that failed.

    A cohort that fails leaves the others alone. A cohort that does not fit in memory is split in two, and both halves
    resume from the checkpoints of its runs.

    Args:
        planned_cohorts: for each cohort, the runs that it trains.
        terminal: shows the progress.
        stop_request: the user's request to stop after the current epoch.

    Raises:
        Interrupted: the user asked to stop before all runs had ended.
    """
    errors: list[Exception] = []
    queue = [list(planned_runs) for planned_runs in planned_cohorts]
    while queue:
        planned_runs = queue.pop(0)
        halves: list[list[PlannedRun]] = []
        try:
            errors += train_cohort(planned_runs, terminal, stop_request, is_last=not queue)
        except OutOfMemory as error:
            halves = _split_in_two(planned_runs)
            if not halves:
                errors.append(_record_failures(planned_runs, error))
        except Exception as error:
            errors.append(_record_failures(planned_runs, error))
        # Here the error is gone, and with its traceback the tensors of the cohort.
        if halves:
            terminal.print_line(f"{len(planned_runs)} runs do not fit in memory together; training them in two halves")
            queue = halves + queue
    return errors


def train_cohort(
    planned_runs: Sequence[PlannedRun], terminal: Terminal, stop_request: StopRequest, is_last: bool
) -> list[Exception]:
    """Build one cohort, train it with the training loop, and return the errors of runs that could not be recorded.

    Args:
        planned_runs: the runs that the cohort trains.
        terminal: shows the progress.
        stop_request: the user's request to stop after the current epoch.
        is_last: whether no other cohort follows. A request that comes in its very last epoch then interrupts nothing.

    Raises:
        Interrupted: the user asked to stop, and some runs have not ended.
        OutOfMemory: the cohort does not fit in the memory of its device.
    """
    with builders.explain_out_of_memory():
        cohort = builders.build_cohort(planned_runs)
        with terminal.watch(cohort):
            loop.train(cohort, terminal, stop_request)
    if stop_request.requested and (cohort.members or not is_last):
        terminal.print_interruption(cohort)
        raise Interrupted(stop_request.signal)
    return [member.failure for member in cohort.all_members if member.failure is not None]


def _split_in_two(planned_runs: Sequence[PlannedRun]) -> list[list[PlannedRun]]:
    """Split the runs that have not ended into two cohorts; into none where fewer than two runs are left."""
    unfinished = [planned for planned in planned_runs if not (planned.directory / "summary.json").exists()]
    return builders.group_into_cohorts(unfinished, math.ceil(len(unfinished) / 2)) if len(unfinished) > 1 else []


def _record_failures(planned_runs: Sequence[PlannedRun], error: Exception) -> Exception:
    """Record in the directory of each run that it failed, free the tensors of its cohort, and return the error."""
    for planned in planned_runs:
        record_failure(planned, error)
    traceback.clear_frames(error.__traceback__)  # the frames hold the cohort's tensors
    return error
