"""Groups of claims, each trained together, one group after the other."""

from collections.abc import Sequence

from regexp import building, training
from regexp.claims import Claim, recording_failure
from regexp.errors import Interrupted
from regexp.interruption import Interruption
from regexp.terminal import Terminal


def train_all(groups: Sequence[Sequence[Claim]], terminal: Terminal, interruption: Interruption) -> list[Exception]:
    """Train every group as a cohort; returns the errors of those that failed, which leave the others alone.

    Raises Interrupted if a signal came before all had ended.
    """
    errors: list[Exception] = []
    for group in groups:
        try:
            train_one(group, terminal, interruption, last=group is groups[-1])
        except Exception as error:
            errors.append(error)
    return errors


def train_one(group: Sequence[Claim], terminal: Terminal, interruption: Interruption, last: bool) -> None:
    """Train a group as one cohort, whose memory is free again afterwards."""
    with recording_failure(group), building.enough_memory():
        cohort = building.build(group)
        with terminal.watching(cohort):
            training.train(cohort, terminal, interruption)
    if interruption.requested and (cohort.members or not last):
        terminal.interrupted(cohort)
        raise Interrupted(interruption.signal)
