"""The grouping of runs into cohorts by their configurations alone, for machines other than this one. Imports no torch.

What a cohort needs shows where it trains: there it is checked against the device and the data, and goes on in halves if
the memory is short.
"""

import math
from collections.abc import Sequence
from itertools import groupby

from regexp.config.schema import cohort_key
from regexp.execution.planning import PlannedCohort, split_cohort, split_for_workers
from regexp.runs.directories import PlannedRun


def group_by_shape(
    planned_runs: Sequence[PlannedRun], max_runs: int | None, num_workers: int = 1
) -> list[PlannedCohort]:
    """Group runs into cohorts by their `shared` fields, in the order in which they will start.

    Args:
        planned_runs: the runs to train.
        max_runs: the largest number of runs in a cohort; None for any number.
        num_workers: how many cohorts will train at the same time.
    """

    def key(planned: PlannedRun) -> tuple[tuple[str, str], ...]:
        return tuple(cohort_key(planned.job.config))

    cohorts: list[PlannedCohort] = []
    for _, group in groupby(sorted(planned_runs, key=key), key=key):
        runs = list(group)
        cohorts += split_cohort(PlannedCohort(runs), 1 if max_runs is None else math.ceil(len(runs) / max_runs))
    return split_for_workers(cohorts, num_workers)
