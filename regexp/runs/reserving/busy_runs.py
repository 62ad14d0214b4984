"""Runs that other processes train. Imports no torch."""

from collections.abc import Sequence

from regexp.errors import RunBusy
from regexp.runs.directories import PlannedRun
from regexp.utils.messages import say

# The number of busy runs that a message lists.
MAX_BUSY_LINES = 10


def find_busy_runs(planned_runs: Sequence[PlannedRun]) -> list[RunBusy]:
    """Return an error that names the runs which other processes train; none if there are no such runs.

    Args:
        planned_runs: all runs of the command.
    """
    busy_runs = [planned for planned in dict.fromkeys(planned_runs) if planned.trained_by]
    if not busy_runs:
        return []
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
    return [RunBusy(message, [planned.directory for planned in planned_runs])]
