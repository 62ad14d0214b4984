"""The outcome of a trial: what its runs say about its objectives."""

import math
import statistics
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field

from regexp.runs.run_record import RunRecord
from regexp.search.objectives import SearchObjective

COMPLETE, PRUNED, FAILED = "complete", "pruned", "failed"


@dataclass(frozen=True)
class Outcome:
    """The outcome of a trial.

    Attributes:
        state: COMPLETE, PRUNED or FAILED.
        values: the mean of each objective over the seeds, where the trial is complete.
        standard_errors: the standard error of each mean; empty with a single seed.
        seed_values: the objectives of each seed whose run has finished.
        reason: why the trial failed; empty where it did not.
    """

    state: str
    values: tuple[float, ...] = ()
    standard_errors: tuple[float, ...] = ()
    seed_values: Mapping[int, tuple[float, ...]] = field(default_factory=dict)
    reason: str = ""


def judge_trial(records: Sequence[RunRecord], num_runs: int, objectives: Sequence[SearchObjective]) -> Outcome:
    """Return the outcome of a trial, given the records of its runs.

    A trial of which a single run diverged or failed has failed: the mean over the others would flatter it.

    Args:
        records: the runs that left a record.
        num_runs: how many there should be.
        objectives: what is optimized.
    """
    seed_values = {
        record.seed: values
        for record in records
        if record.finished and (values := _read_values(record, objectives)) is not None
    }
    faulty = [record for record in records if record.status not in ("completed", "stopped_early", "pruned")]
    if faulty:
        return Outcome(FAILED, seed_values=seed_values, reason=_describe_fault(faulty[0]))
    if len(records) < num_runs:
        return Outcome(FAILED, seed_values=seed_values, reason="a run of it left no record")
    if any(record.status == "pruned" for record in records):
        return Outcome(PRUNED, seed_values=seed_values)
    if len(seed_values) < num_runs:
        names = ", ".join(objective.name for objective in objectives)
        return Outcome(FAILED, seed_values=seed_values, reason=f"a run has no finite value of {names}")
    columns = list(zip(*seed_values.values(), strict=True))
    errors = tuple(statistics.stdev(column) / math.sqrt(num_runs) for column in columns) if num_runs > 1 else ()
    return Outcome(COMPLETE, tuple(statistics.fmean(column) for column in columns), errors, seed_values)


def _read_values(record: RunRecord, objectives: Sequence[SearchObjective]) -> tuple[float, ...] | None:
    """Return the objectives of a run; None where one is missing or not finite."""
    values = [record.metric_values.get(objective.name) for objective in objectives]
    known_values = tuple(value for value in values if value is not None)
    return known_values if len(known_values) == len(values) else None


def _describe_fault(record: RunRecord) -> str:
    """Return why a run has no result, in a line that begins with its seed."""
    if record.status == "diverged":
        return f"seed={record.seed} diverged in epoch {record.last_epoch}"
    return f"seed={record.seed} {record.status}" + (f": {record.problem}" if record.problem else "")
