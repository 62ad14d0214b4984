"""Groups of claims, each trained together, one group after the other."""

import traceback
from collections.abc import Sequence

from regexp.errors import Interrupted, OutOfMemory
from regexp.execution import builders
from regexp.execution.terminal import Terminal
from regexp.runs.directories import PlannedRun, record_failure
from regexp.training import loop
from regexp.utils.signals import StopRequest


def train_cohorts(
    groups: Sequence[Sequence[PlannedRun]], terminal: Terminal, interruption: StopRequest
) -> list[Exception]:
    """Train every group as a cohort; returns the errors of runs that failed, which leave the others alone.

    Raises Interrupted if a signal came before all had ended.
    """
    errors: list[Exception] = []
    queue = [list(group) for group in groups]
    while queue:
        group = queue.pop(0)
        smaller: list[list[PlannedRun]] = []
        try:
            errors += train_cohort(group, terminal, interruption, last=not queue)
        except OutOfMemory as error:
            smaller = _halves(group)
            if not smaller:
                _failed(group, error, errors)
        except Exception as error:
            _failed(group, error, errors)
        # Not before the error is gone, whose traceback holds the cohort's tensors.
        if smaller:
            terminal.print_line(f"{len(group)} runs take more memory than there is; they go on in halves")
            queue = smaller + queue
    return errors


def train_cohort(
    group: Sequence[PlannedRun], terminal: Terminal, interruption: StopRequest, last: bool
) -> list[Exception]:
    """Train a group as one cohort; returns the errors of runs that could not be recorded."""
    with builders.shortages_explained():
        cohort = builders.build_cohort(group)
        with terminal.watch(cohort):
            loop.train(cohort, terminal, interruption)
    if interruption.requested and (cohort.members or not last):
        terminal.print_interruption(cohort)
        raise Interrupted(interruption.signal)
    return [member.failure for member in cohort.everyone if member.failure is not None]


def _halves(group: Sequence[PlannedRun]) -> list[list[PlannedRun]]:
    """Those that have not ended, in two; they go on from their checkpoints. Empty if there is nothing to divide."""
    left = [claim for claim in group if not (claim.directory / "summary.json").exists()]
    return builders.group_into_cohorts(left, -(-len(left) // 2)) if len(left) > 1 else []


def _failed(group: Sequence[PlannedRun], error: Exception, errors: list[Exception]) -> None:
    for claim in group:
        record_failure(claim, error)
    traceback.clear_frames(error.__traceback__)  # which hold the cohort's tensors
    errors.append(error)
