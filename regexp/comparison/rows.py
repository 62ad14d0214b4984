"""What is compared: rows with the figures of their seeds, and differences between them. Imports no torch."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass

from regexp.comparison.grouping import Configuration
from regexp.comparison.loading import Record
from regexp.comparison.statistics import ALPHA, Estimate, Paired, estimate, holm, paired, sd_interval, seeds_needed


@dataclass(frozen=True)
class Metric:
    """A figure of a run.

    Attributes:
        percent: a fraction, shown in percent.
        better: 1: the larger the better, -1: the smaller, 0: neither.
    """

    name: str
    title: str
    percent: bool = False
    better: int = 0


METRICS = {
    metric.name: metric
    for metric in (
        Metric("test_accuracy", "test accuracy", percent=True, better=1),
        Metric("val_accuracy", "validation accuracy", percent=True, better=1),
        Metric("train_accuracy", "training accuracy", percent=True, better=1),
        Metric("test_loss", "test loss", better=-1),
        Metric("val_loss", "validation loss", better=-1),
        Metric("train_loss", "training loss", better=-1),
        Metric("gap", "gap"),
        Metric("best_epoch", "best epoch"),
        Metric("epochs", "epochs"),
        Metric("seconds", "seconds"),
    )
}


@dataclass
class Row:
    """What is compared: a configuration, or the mean of several.

    Attributes:
        values: by the key that varied.
        records: its runs, the unfinished ones as well.
        scores: by metric and seed, of the runs that have finished.
        difference: to the baseline; None of the baseline itself.
    """

    values: dict[str, str]
    records: list[Record]
    scores: dict[str, dict[int, float]]
    difference: "Difference | None" = None

    @property
    def label(self) -> str:
        """Its values, such as "batch, affine"."""
        return ", ".join(self.values.values()) or "all"

    @property
    def seeds(self) -> int:
        """How many seeds have finished."""
        return max((len(seeds) for seeds in self.scores.values()), default=0)

    def estimate(self, metric: str) -> Estimate | None:
        """Mean and interval of a metric over the seeds that have it; None if none has."""
        scores = list(self.scores.get(metric, {}).values())
        return estimate(scores) if scores else None


@dataclass
class Difference:
    """A mean difference between two rows, paired by seed, in the metric's units.

    It is found by the t test after Holm's correction. Sign flips are shown beside it, and do not decide: with few pairs
    they can reach little, and less with one pair more.

    Attributes:
        paired: None where they have no seed in common.
        p_holm: the p-value, corrected for all that were made with it; None where there is no test.
        comparisons: how many those are.
        needed: seeds that a difference as large as this would need to be found; None where it was, or nothing is known.
        survivors: whether runs of either row have diverged, and so are not in it.
    """

    paired: Paired | None
    p_holm: float | None = None
    comparisons: int = 1
    needed: tuple[int, int] | None = None
    survivors: bool = False

    @property
    def found(self) -> bool:
        """Whether it is distinguished from zero."""
        return self.paired is not None and self.p_holm is not None and self.p_holm <= ALPHA

    @property
    def doubted(self) -> bool:
        """Whether a permutation test that could have distinguished it, before any correction, does not."""
        if self.paired is None or self.paired.p_flips is None or self.paired.least is None:
            return False
        return self.paired.least <= ALPHA < self.paired.p_flips


def make_row(configuration: Configuration) -> Row:
    """What a configuration's finished runs have reached."""
    scores: dict[str, dict[int, float]] = {}
    for record in configuration.records:
        for name, value in record.figures.items() if record.finished else ():
            scores.setdefault(name, {})[record.seed] = value
    return Row(configuration.values, configuration.records, scores)


def average(cells: Sequence[Row], keys: Sequence[str]) -> tuple[list[Row], list[str]]:
    """A row for each combination of values of these keys: for every seed the mean over the other keys' combinations.

    Only over such combinations as all rows have, and such seeds as have them all, so that all are averaged over the
    same. No rows if there are none. Returns the labels of the combinations that are left out, too.
    """
    groups: dict[tuple[str, ...], dict[tuple[str, ...], Row]] = {}
    for cell in cells:
        rest = tuple(value for key, value in cell.values.items() if key not in keys)
        groups.setdefault(tuple(cell.values[key] for key in keys), {})[rest] = cell
    combinations = dict.fromkeys(rest for group in groups.values() for rest in group)
    common = [c for c in combinations if all(c in group and group[c].scores for group in groups.values())]
    left_out = [", ".join(combination) for combination in combinations if combination not in common]
    rows = []
    for values, group in groups.items() if common else ():
        parts = [group[combination] for combination in common]
        scores = {}
        for metric in METRICS:
            each = [part.scores.get(metric, {}) for part in parts]
            seeds = [seed for seed in each[0] if all(seed in other for other in each)]
            if seeds:
                scores[metric] = {seed: sum(own[seed] for own in each) / len(each) for seed in seeds}
        rows.append(Row(dict(zip(keys, values, strict=True)), [r for part in parts for r in part.records], scores))
    return rows, left_out


def pairs(one: Mapping[int, float], other: Mapping[int, float]) -> list[float]:
    """Differences of the seeds that both have."""
    return [value - other[seed] for seed, value in one.items() if seed in other]


def test_differences(samples: Sequence[Sequence[float]]) -> list[Difference]:
    """Test samples of differences, as one family."""
    tests = [paired(sample) if sample else None for sample in samples]
    corrected = holm({i: test.p for i, test in enumerate(tests) if test is not None and test.p is not None})
    differences = [Difference(test, corrected.get(i), max(1, len(corrected))) for i, test in enumerate(tests)]
    for difference in differences:
        difference.needed = _needed(difference)
    return differences


def _needed(difference: Difference) -> tuple[int, int] | None:
    if difference.paired is None or difference.found:
        return None
    seen = difference.paired.estimate
    if not seen.sd or seen.mean == 0:
        return None
    low, high = (seeds_needed(seen.mean, sd, ALPHA / difference.comparisons) for sd in sd_interval(seen.sd, seen.n))
    return max(low, seen.n + 1), max(high, seen.n + 1)
