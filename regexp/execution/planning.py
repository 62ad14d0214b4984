"""The plan of a sweep: its cohorts, what each needs, and how they are split over workers. Imports no torch."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field, replace
from itertools import groupby, pairwise

from regexp.config.schema import cohort_key, stream_key
from regexp.runs.directories import PlannedRun

# Where runs may leave early, each worker gets several cohorts, so that all workers end at about the same time.
COHORTS_PER_WORKER = 2
# Cohorts are not made smaller than this for that purpose: a run costs less the more runs train together.
MIN_RUNS = 16
# How many parts for each worker are tried, until more would not end the sweep earlier by this fraction of its time.
FINENESS = (1.0, 1.5, 2.0, 3.0, 4.0)
MIN_GAIN = 0.05
# A cut between cohorts moves by at most this fraction of a cohort so that no image stream is split.
MAX_SHIFT = 0.15


@dataclass(frozen=True)
class CohortCosts:
    """What a cohort costs, measured on a part of it.

    Attributes:
        data_bytes: the memory of the images and of evaluation, in bytes.
        run_bytes: the memory of a run.
        stream_bytes: the memory of an image stream.
        epoch_seconds: the time of an epoch that does not depend on the number of runs, in seconds.
        run_seconds: the time that a run adds to an epoch.
        stream_seconds: the time that an image stream adds to an epoch.
        recording_seconds: the time that a run takes once, at its beginning and its end.
        are_rough: whether other programs kept the processor busy while the times were measured.
    """

    data_bytes: int
    run_bytes: int
    stream_bytes: int
    epoch_seconds: float
    run_seconds: float
    stream_seconds: float
    recording_seconds: float
    are_rough: bool = False


@dataclass(frozen=True)
class PlannedCohort:
    """Runs that will train together.

    Attributes:
        runs: the runs.
        epochs_done: the epoch after which they resume; 0 for runs that start.
        costs: what the cohort costs; None where it was not tried or could not be tried.
        problem: why it could not be tried; empty where it could.
        data_notes: what a user should know about the data, by a heading; empty where the cohort was not tried.
    """

    runs: Sequence[PlannedRun]
    epochs_done: int = 0
    costs: CohortCosts | None = None
    problem: str = ""
    data_notes: Mapping[str, str] = field(default_factory=dict)
    num_streams: int = field(init=False)

    def __post_init__(self) -> None:
        """Count the image streams."""
        streams = len({stream_key(planned.job.config) for planned in self.runs})
        object.__setattr__(self, "num_streams", streams)

    @property
    def memory_bytes(self) -> int | None:
        """The memory that the cohort needs, in bytes; None where it is not known."""
        costs = self.costs
        if costs is None:
            return None
        return costs.data_bytes + len(self.runs) * costs.run_bytes + self.num_streams * costs.stream_bytes

    @property
    def seconds(self) -> float | None:
        """The time that the cohort needs if no run ends before its last epoch; None where it is not known."""
        costs = self.costs
        if costs is None:
            return None
        epochs_left = [planned.job.config.epochs - self.epochs_done for planned in self.runs]
        # A stream ends with the last of its runs; what runs share ends with the last of all.
        longest = max(epochs_left)
        return (
            costs.run_seconds * sum(epochs_left)
            + (costs.stream_seconds * self.num_streams + costs.epoch_seconds) * longest
            + costs.recording_seconds * len(self.runs)
        )


def distinguishing_values(cohorts: Sequence[PlannedCohort]) -> list[dict[str, str]]:
    """Return for each cohort the `shared` values that distinguish it from the others, by key.

    Where the option of a group differs, the other keys of the group are left out.
    """
    all_values = [dict(cohort_key(cohort.runs[0].job.config)) for cohort in cohorts]
    all_keys = dict.fromkeys(key for values in all_values for key in values)
    differing_keys = [key for key in all_keys if len({values.get(key) for values in all_values}) > 1]
    keys = [
        key for key in differing_keys if key.endswith(".name") or f"{key.rpartition('.')[0]}.name" not in differing_keys
    ]
    return [{key.removesuffix(".name"): values.get(key, "").strip("'") for key in keys} for values in all_values]


def split_for_workers(cohorts: Sequence[PlannedCohort], num_workers: int) -> list[PlannedCohort]:
    """Split cohorts so that so many workers end at about the same time, and return them in the order of their start.

    Runs that resume start first, and then what takes longest.

    Args:
        cohorts: the largest cohorts that shapes and memory allow.
        num_workers: the number of workers.
    """
    if num_workers == 1:
        return list(cohorts)
    plans = [_split_by_share(cohorts, factor * num_workers) for factor in FINENESS]
    ends = [_last_end(_weights(plan), num_workers) for plan in plans]
    return next(plan for plan, end in zip(plans, ends, strict=True) if end <= (1 + MIN_GAIN) * min(ends))


def _split_by_share(cohorts: Sequence[PlannedCohort], count: float) -> list[PlannedCohort]:
    """Split cohorts into about `count` parts of about the same weight, and return them in the order of their start."""
    weights = _weights(cohorts)
    parts: list[PlannedCohort] = []
    for cohort, weight in zip(cohorts, weights, strict=True):
        share = count * weight / sum(weights)
        leaves_early = any(planned.job.config.early_stopping.can_end_a_run for planned in cohort.runs)
        # A pruner ends most runs: those of small parts that it leaves would train nearly alone.
        is_to_even_out = leaves_early and not _may_be_pruned(cohort)
        to_even_out = min(round(share * COHORTS_PER_WORKER), len(cohort.runs) // MIN_RUNS) if is_to_even_out else 0
        parts += split_cohort(cohort, max(1, round(share), to_even_out))
    weights = _weights(parts)
    order = sorted(range(len(parts)), key=lambda i: (-parts[i].epochs_done, -weights[i]))
    return [parts[i] for i in order]


def _may_be_pruned(cohort: PlannedCohort) -> bool:
    return any(planned.trial is not None for planned in cohort.runs)


def split_cohort(cohort: PlannedCohort, count: int) -> list[PlannedCohort]:
    """Split a cohort into `count` of about the same size, with the runs of an image stream side by side.

    An image stream is split only where the parts would otherwise differ much in size. Of runs that may be pruned those
    of a trial stay together instead, unless there are more parts than trials: the pruner reads the mean over them.
    """
    runs = sorted(cohort.runs, key=_group_key)
    count = min(count, len(runs))
    boundaries = [0]
    for _, stream in groupby(runs, key=_group_key):
        boundaries.append(boundaries[-1] + len(list(stream)))
    keeps_trials = _may_be_pruned(cohort) and count < len(boundaries)
    cuts = [0]
    for i in range(1, count):
        even_cut = round(i * len(runs) / count)
        nearest = min(boundaries, key=lambda boundary: abs(boundary - even_cut))
        is_near = keeps_trials or abs(nearest - even_cut) <= MAX_SHIFT * len(runs) / count
        cuts.append(nearest if is_near else even_cut)
    cuts.append(len(runs))
    parts = [runs[start:end] for start, end in pairwise(cuts)]
    return [replace(cohort, runs=part) for part in parts if part]


def _group_key(planned: PlannedRun) -> tuple[int, str]:
    """Return a key that is equal for runs that should stay in one cohort."""
    return (0, stream_key(planned.job.config)) if planned.trial is None else (planned.trial.number, "")


def forecast_seconds(cohorts: Sequence[PlannedCohort], num_workers: int) -> float | None:
    """Return the time until the last cohort has ended, if workers take the cohorts in order; None if it is not known.

    Args:
        cohorts: the cohorts, in the order in which they start.
        num_workers: the number of workers.
    """
    seconds = [cohort.seconds for cohort in cohorts]
    known_seconds = [value for value in seconds if value is not None]
    return _last_end(known_seconds, num_workers) if len(known_seconds) == len(seconds) else None


def _last_end(weights: Sequence[float], num_workers: int) -> float:
    """Return when the last cohort ends if each in order goes to the worker that is free first."""
    ends = [0.0] * num_workers
    for weight in weights:
        ends[ends.index(min(ends))] += weight
    return max(ends)


def _weights(cohorts: Sequence[PlannedCohort]) -> list[float]:
    """Return how long each cohort takes, in seconds, or in epochs of runs where some of the times are not known."""
    seconds = [cohort.seconds for cohort in cohorts]
    known_seconds = [max(value, 1e-9) for value in seconds if value is not None]
    if len(known_seconds) == len(cohorts):
        return known_seconds
    return [
        float(sum(planned.job.config.epochs - cohort.epochs_done for planned in cohort.runs) or 1) for cohort in cohorts
    ]
