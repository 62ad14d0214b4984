"""Rows of a comparison, with the metrics of their seeds, and the differences between rows. Imports no torch."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path

from regexp.comparison.deciding.equivalence import count_seeds_for_equivalence, test_equivalence
from regexp.comparison.deciding.sample import Sample, correct_for_looks
from regexp.comparison.grouping import Configuration
from regexp.comparison.key_names import format_label
from regexp.comparison.statistics import (
    ALPHA,
    MAX_SEEDS,
    Estimate,
    PairedTest,
    adjust_p_values,
    count_required_seeds,
    estimate_mean,
    paired_test,
    sd_confidence_interval,
)
from regexp.runs.run_record import RunRecord
from regexp.runs.seed_plan import SeedPlan


@dataclass
class Row:
    """A row of the comparison: a configuration, or the mean of several.

    Attributes:
        values: the value of each key that varied, by key.
        records: all runs of the row, also those that have not finished.
        scores: the value of each metric for each seed, by metric and seed, of the finished runs.
        difference: the difference to the baseline; None for the baseline itself.
        plans: the plans of sweeps that added seeds to the row until its verdict was decided.
    """

    values: dict[str, str]
    records: list[RunRecord]
    scores: dict[str, dict[int, float]]
    difference: "Difference | None" = None
    plans: frozenset[SeedPlan] = frozenset()

    @property
    def title(self) -> str:
        """The label of the row in one line: "norm=batch aug=affine", or the value where a single key varied."""
        return format_label(self.values)

    @property
    def seed_count(self) -> int:
        """The number of seeds whose runs have finished."""
        return max((len(scores) for scores in self.scores.values()), default=0)

    @property
    def diverged_seeds(self) -> frozenset[int]:
        """The seeds of which a run diverged."""
        return frozenset(record.seed for record in self.records if record.status == "diverged")

    def estimate(self, metric: str) -> Estimate | None:
        """Return the mean and interval of a metric over the seeds that have it, or None if no seed has it."""
        scores = list(self.scores.get(metric, {}).values())
        return estimate_mean(scores) if scores else None


@dataclass
class Difference:
    """A mean difference between two rows, paired by seed, in the metric's unit.

    The t test after Holm's correction decides whether it is significant. The sign-flip test is shown beside it and does
    not decide: with few pairs the smallest p-value that it can reach is large.

    Attributes:
        test: the paired test of the difference; None if the rows have no seed in common.
        adjusted_p_value: the p-value of the t test after Holm's correction; None if there is no test.
        family_size: the number of tests that were corrected together.
        required_seeds: how many seeds would be needed to find a difference as large as this, from the lower and from
            the upper end of the interval of its standard deviation; None if it is significant, or if nothing is known.
        has_diverged_runs: whether runs of either row diverged, so that the difference leaves them out.
        margin: the difference that does not matter, in the metric's unit; None: none was named.
        equivalence_p_value: the p-value of two one-sided tests against the margin, after Holm's correction; None if
            there is no test.
        sample: the differences by seed, with the looks that were taken while seeds were added. The p-values after
            Holm's correction are corrected for these looks as well.
    """

    test: PairedTest | None
    adjusted_p_value: float | None = None
    family_size: int = 1
    required_seeds: tuple[int, int] | None = None
    has_diverged_runs: bool = False
    margin: float | None = None
    equivalence_p_value: float | None = None
    sample: Sample = field(default_factory=lambda: Sample({}))

    @property
    def significant(self) -> bool:
        """Whether the difference is distinguishable from zero at level ALPHA."""
        return self.test is not None and self.adjusted_p_value is not None and self.adjusted_p_value <= ALPHA

    @property
    def equivalent(self) -> bool:
        """Whether a difference of the margin or more is excluded at level ALPHA."""
        return self.equivalence_p_value is not None and self.equivalence_p_value <= ALPHA

    @property
    def num_looks(self) -> int:
        """The number of looks taken while seeds were added; 0 where the number of seeds was fixed."""
        return max((len(looks) for looks in self.sample.looks.values()), default=0)

    @property
    def contradicted_by_sign_flips(self) -> bool:
        """Whether the sign-flip test, without correction, could have reached level ALPHA and did not."""
        if self.test is None or self.test.sign_flip_p_value is None or self.test.min_sign_flip_p_value is None:
            return False
        return self.test.min_sign_flip_p_value <= ALPHA < self.test.sign_flip_p_value


def make_row(configuration: Configuration, plans: Mapping[Path, frozenset[SeedPlan]]) -> Row:
    """Return the row of a configuration, with the metrics of its finished runs.

    Args:
        configuration: the configuration.
        plans: the plans of sweeps that added seeds, by the directory of the run.
    """
    scores: dict[str, dict[int, float]] = {}
    for record in configuration.records:
        if record.finished:
            for metric, value in record.metric_values.items():
                scores.setdefault(metric, {})[record.seed] = value
    return Row(
        configuration.values,
        configuration.records,
        scores,
        plans=frozenset(plan for record in configuration.records for plan in plans.get(record.directory, ())),
    )


def average_rows(cells: Sequence[Row], keys: Sequence[str]) -> tuple[list[Row], list[str]]:
    """Average configurations over all keys except those given, for every seed separately.

    All rows are averaged over the same combinations of the other keys: over those that all rows have. A seed counts if
    it has all of these combinations.

    Args:
        cells: a row for each configuration.
        keys: the keys to keep; the configurations are averaged over the others.

    Returns:
        A row for each combination of values of `keys`, none if no combination of the others is common to all; and the
        combinations that are left out, in words.
    """
    groups: dict[tuple[str, ...], dict[tuple[str, ...], Row]] = {}  # by the values of `keys`, then of the other keys
    for cell in cells:
        kept_values = tuple(cell.values[key] for key in keys)
        other_values = tuple(value for key, value in cell.values.items() if key not in keys)
        groups.setdefault(kept_values, {})[other_values] = cell
    combinations = dict.fromkeys(combination for group in groups.values() for combination in group)
    common, left_out = [], []
    for combination in combinations:
        if all(combination in group and group[combination].scores for group in groups.values()):
            common.append(combination)
        else:
            left_out.append(", ".join(combination))
    if not common:
        return [], left_out
    rows = []
    for kept_values, group in groups.items():
        members = [group[combination] for combination in common]
        scores = {}
        for metric in dict.fromkeys(metric for member in members for metric in member.scores):
            member_scores = [member.scores.get(metric, {}) for member in members]
            seeds = [seed for seed in member_scores[0] if all(seed in by_seed for by_seed in member_scores)]
            if seeds:
                scores[metric] = {
                    seed: sum(by_seed[seed] for by_seed in member_scores) / len(members) for seed in seeds
                }
        records = [record for member in members for record in member.records]
        plans = frozenset(plan for member in members for plan in member.plans)
        rows.append(Row(dict(zip(keys, kept_values, strict=True)), records, scores, plans=plans))
    return rows, left_out


def pair_by_seed(row: Row, baseline: Row, metric: str) -> Sample:
    """Return the differences of two rows in a metric, for the seeds that both have."""
    scores, baseline_scores = row.scores.get(metric, {}), baseline.scores.get(metric, {})
    return Sample(
        {seed: score - baseline_scores[seed] for seed, score in scores.items() if seed in baseline_scores},
        row.diverged_seeds | baseline.diverged_seeds,
        tuple(row.plans | baseline.plans),
    )


def test_differences(samples: Sequence[Sample], margin: float | None) -> list[Difference]:
    """Test whether the means of samples of differences are zero, with p-values corrected for all of them together.

    Where seeds were added until a verdict was decided, p-values are corrected for the looks before. Differences and
    equivalences are two kinds of claims: each is corrected for all samples, so that each has its error rate.

    Args:
        samples: the samples.
        margin: the difference that does not matter, in the unit of the samples; None: there is none.
    """
    tests = [paired_test(sample.differences) if sample.by_seed else None for sample in samples]
    adjusted = _adjust([correct_for_looks(sample, _t_test) if sample.by_seed else None for sample in samples])
    equivalences: dict[int, float] = {}
    if margin is not None:
        equivalences = _adjust([test_equivalence(sample, margin) for sample in samples])
    differences = [
        Difference(
            test,
            adjusted.get(i),
            max(1, len(adjusted)),
            margin=margin,
            equivalence_p_value=equivalences.get(i),
            sample=samples[i],
        )
        for i, test in enumerate(tests)
    ]
    for difference in differences:
        difference.required_seeds = _required_seeds(difference)
    return differences


def _t_test(differences: Sequence[float]) -> float | None:
    return paired_test(differences).p_value


def _adjust(p_values: Sequence[float | None]) -> dict[int, float]:
    """Return the p-values after Holm's correction by their places; there is none where there was none."""
    return adjust_p_values({i: p_value for i, p_value in enumerate(p_values) if p_value is not None})


def _required_seeds(difference: Difference) -> tuple[int, int] | None:
    """Return the range of the number of seeds that would be needed for a verdict at the corrected level."""
    if difference.test is None or difference.significant or difference.equivalent:
        return None
    estimate, margin = difference.test.estimate, difference.margin
    if not estimate.sd or (estimate.mean == 0 and margin is None):
        return None
    alpha = ALPHA / difference.family_size
    low, high = (
        min(
            count_required_seeds(estimate.mean, sd, alpha),
            MAX_SEEDS + 1 if margin is None else count_seeds_for_equivalence(estimate.mean, sd, margin, alpha),
        )
        for sd in sd_confidence_interval(estimate.sd, estimate.n)
    )
    return max(low, estimate.n + 1), max(high, estimate.n + 1)
