"""Runs that other processes train. Imports no torch."""

from collections.abc import Sequence

from regexp.errors import RunBusy
from regexp.runs.directories import PlannedRun
from regexp.utils.messages import say

# The number of busy runs that a message lists.
MAX_BUSY_LINES = 10


def add_busy_runs(errors: Sequence[Exception], planned_runs: Sequence[PlannedRun]) -> list[Exception]:
    """Return errors, with one more that names the runs which other processes train, if there are such runs.

    Args:
        errors: the errors that ended runs. Those of runs in a queue get the directories of all runs.
        planned_runs: all runs of the command.
    """
    directories = [planned.directory for planned in planned_runs]
    for error in errors:
        if isinstance(error, RunBusy):
            error.directories = directories
    busy_runs = [planned for planned in dict.fromkeys(planned_runs) if planned.trained_by]
    if not busy_runs:
        return list(errors)
    if len(planned_runs) == 1:
        message = f"{busy_runs[0].directory} is being trained by {busy_runs[0].trained_by}; wait for it, or stop it"
    else:
        count = "1 run is" if len(busy_runs) == 1 else f"{len(busy_runs)} runs are"
        lines = [f"{planned.directory}: {planned.trained_by}" for planned in busy_runs[:MAX_BUSY_LINES]]
        if len(busy_runs) > MAX_BUSY_LINES:
            lines.append(f"and {len(busy_runs) - MAX_BUSY_LINES} more")
        lines = [f"{count} being trained by other processes:", *lines]
        later = say("the same command shows them with the others", "the same call returns them with the others")
        message = "\n  ".join(lines) + f"\nWhen they have ended, {later}."
    return [*errors, RunBusy(message, directories)]
