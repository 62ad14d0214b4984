"""The plan of a sweep: its cohorts, what each needs, and how they are split over workers. Imports no torch."""

from collections.abc import Sequence
from dataclasses import dataclass, field
from itertools import groupby, pairwise

from regexp.config.schema import cohort_key, stream_key
from regexp.runs.directories import PlannedRun

# Where runs may leave early, each worker gets several cohorts, so that all workers end at about the same time.
COHORTS_PER_WORKER = 2
# Cohorts are not made smaller than this for that purpose: a run costs less the more runs train together.
MIN_RUNS = 16
# Cohorts are halved only where the sweep then ends at least this much earlier, as a fraction of its time.
MIN_GAIN = 0.05
# A cut between cohorts moves by at most this fraction of a cohort so that no image stream is split.
MAX_SHIFT = 0.15


@dataclass(frozen=True)
class CohortCosts:
    """What a cohort costs, measured on a part of it.

    Attributes:
        data_bytes: the memory of the images, in bytes.
        run_bytes: the memory of a run.
        stream_bytes: the memory of an image stream.
        epoch_seconds: the time of an epoch that does not depend on the number of runs, in seconds.
        run_seconds: the time that a run adds to an epoch.
        stream_seconds: the time that an image stream adds to an epoch.
        recording_seconds: the time that a run takes once, at its beginning and its end.
    """

    data_bytes: int
    run_bytes: int
    stream_bytes: int
    epoch_seconds: float
    run_seconds: float
    stream_seconds: float
    recording_seconds: float


@dataclass(frozen=True)
class PlannedCohort:
    """Runs that will train together.

    Attributes:
        runs: the runs.
        epochs_done: the epoch after which they resume; 0 for runs that start.
        costs: what the cohort costs; None where it was not tried or could not be tried.
        problem: why it could not be tried; empty where it could.
    """

    runs: Sequence[PlannedRun]
    epochs_done: int = 0
    costs: CohortCosts | None = None
    problem: str = ""
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
    total = sum(_weights(cohorts))
    parts: list[PlannedCohort] = []
    for cohort, weight in zip(cohorts, _weights(cohorts), strict=True):
        share = num_workers * weight / total
        leaves_early = any(planned.job.config.early_stopping.patience is not None for planned in cohort.runs)
        to_even_out = min(round(share * COHORTS_PER_WORKER), len(cohort.runs) // MIN_RUNS) if leaves_early else 0
        parts += split_cohort(cohort, max(1, round(share), to_even_out))
    parts = _in_order(parts)
    while True:
        # Halve the longest cohort of the worker that ends last, as long as that helps.
        assigned_to, ends = _assign(_weights(parts), num_workers)
        last = ends.index(max(ends))
        longest = parts[assigned_to.index(last)]
        halves = _in_order([part for part in parts if part is not longest] + split_cohort(longest, 2))
        if max(_assign(_weights(halves), num_workers)[1]) > (1 - MIN_GAIN) * max(ends):
            return parts
        parts = halves


def split_cohort(cohort: PlannedCohort, count: int) -> list[PlannedCohort]:
    """Split a cohort into `count` of about the same size, with the runs of an image stream side by side.

    An image stream is split only where the parts would otherwise differ much in size.
    """
    runs = sorted(cohort.runs, key=lambda planned: stream_key(planned.job.config))
    count = min(count, len(runs))
    boundaries = [0]
    for _, stream in groupby(runs, key=lambda planned: stream_key(planned.job.config)):
        boundaries.append(boundaries[-1] + len(list(stream)))
    cuts = [0]
    for i in range(1, count):
        even_cut = round(i * len(runs) / count)
        nearest = min(boundaries, key=lambda boundary: abs(boundary - even_cut))
        is_near = abs(nearest - even_cut) <= MAX_SHIFT * len(runs) / count
        cuts.append(nearest if is_near else even_cut)
    cuts.append(len(runs))
    parts = [runs[start:end] for start, end in pairwise(cuts)]
    return [PlannedCohort(part, cohort.epochs_done, cohort.costs, cohort.problem) for part in parts if part]


def forecast_seconds(cohorts: Sequence[PlannedCohort], num_workers: int) -> float | None:
    """Return the time until the last cohort has ended, if workers take the cohorts in order; None if it is not known.

    Args:
        cohorts: the cohorts, in the order in which they start.
        num_workers: the number of workers.
    """
    seconds = [cohort.seconds for cohort in cohorts]
    known_seconds = [value for value in seconds if value is not None]
    return max(_assign(known_seconds, num_workers)[1]) if len(known_seconds) == len(seconds) else None


def _assign(weights: Sequence[float], num_workers: int) -> tuple[list[int], list[float]]:
    """Give cohorts in order to the worker that is free first, and return its number for each, and when workers end."""
    assigned_to, ends = [], [0.0] * num_workers
    for weight in weights:
        worker = ends.index(min(ends))
        assigned_to.append(worker)
        ends[worker] += weight
    return assigned_to, ends


def _in_order(cohorts: Sequence[PlannedCohort]) -> list[PlannedCohort]:
    """Return cohorts in the order in which workers should take them."""
    weights = _weights(cohorts)
    order = sorted(range(len(cohorts)), key=lambda i: (-cohorts[i].epochs_done, -weights[i]))
    return [cohorts[i] for i in order]


def _weights(cohorts: Sequence[PlannedCohort]) -> list[float]:
    """Return how long each cohort takes, in seconds, or in epochs of runs where some of the times are not known."""
    seconds = [cohort.seconds for cohort in cohorts]
    known_seconds = [max(value, 1e-9) for value in seconds if value is not None]
    if len(known_seconds) == len(cohorts):
        return known_seconds
    return [
        float(sum(planned.job.config.epochs - cohort.epochs_done for planned in cohort.runs) or 1) for cohort in cohorts
    ]
