"""Groups of claims, each trained together, one group after the other."""

import traceback
from collections.abc import Sequence

from regexp.errors import Interrupted, MemoryShortage
from regexp.execution import builders
from regexp.execution.terminal import Terminal
from regexp.runs.directories import Claim, record_failure
from regexp.training import loop
from regexp.utils.signals import Interruption


def train_all(groups: Sequence[Sequence[Claim]], terminal: Terminal, interruption: Interruption) -> list[Exception]:
    """Train every group as a cohort; returns the errors of runs that failed, which leave the others alone.

    Raises Interrupted if a signal came before all had ended.
    """
    errors: list[Exception] = []
    queue = [list(group) for group in groups]
    while queue:
        group = queue.pop(0)
        smaller: list[list[Claim]] = []
        try:
            errors += train_one(group, terminal, interruption, last=not queue)
        except MemoryShortage as error:
            smaller = _halves(group)
            if not smaller:
                _failed(group, error, errors)
        except Exception as error:
            _failed(group, error, errors)
        # Not before the error is gone, whose traceback holds the cohort's tensors.
        if smaller:
            terminal.say(f"{len(group)} runs take more memory than there is; they go on in halves")
            queue = smaller + queue
    return errors


def train_one(group: Sequence[Claim], terminal: Terminal, interruption: Interruption, last: bool) -> list[Exception]:
    """Train a group as one cohort; returns the errors of runs that could not be recorded."""
    with builders.enough_memory():
        cohort = builders.build(group)
        with terminal.watching(cohort):
            loop.train(cohort, terminal, interruption)
    if interruption.requested and (cohort.members or not last):
        terminal.interrupted(cohort)
        raise Interrupted(interruption.signal)
    return [member.failure for member in cohort.everyone if member.failure is not None]


def _halves(group: Sequence[Claim]) -> list[list[Claim]]:
    """Those that have not ended, in two; they go on from their checkpoints. Empty if there is nothing to divide."""
    left = [claim for claim in group if not (claim.directory / "summary.json").exists()]
    return builders.groups(left, -(-len(left) // 2)) if len(left) > 1 else []


def _failed(group: Sequence[Claim], error: Exception, errors: list[Exception]) -> None:
    for claim in group:
        record_failure(claim, error)
    traceback.clear_frames(error.__traceback__)  # which hold the cohort's tensors
    errors.append(error)
