"""Rows of a comparison, with the metrics of their seeds, and the differences between rows. Imports no torch."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass

from regexp.comparison.grouping import Configuration
from regexp.comparison.key_names import format_label
from regexp.comparison.statistics import (
    ALPHA,
    Estimate,
    PairedTest,
    adjust_p_values,
    count_required_seeds,
    estimate_mean,
    paired_test,
    sd_confidence_interval,
)
from regexp.runs.run_record import RunRecord


@dataclass
class Row:
    """A row of the comparison: a configuration, or the mean of several.

    Attributes:
        values: the value of each key that varied, by key.
        records: all runs of the row, also those that have not finished.
        scores: the value of each metric for each seed, by metric and seed, of the finished runs.
        difference: the difference to the baseline; None for the baseline itself.
    """

    values: dict[str, str]
    records: list[RunRecord]
    scores: dict[str, dict[int, float]]
    difference: "Difference | None" = None

    @property
    def title(self) -> str:
        """The label of the row in one line: "norm=batch aug=affine", or the value where a single key varied."""
        return format_label(self.values)

    @property
    def seed_count(self) -> int:
        """The number of seeds whose runs have finished."""
        return max((len(scores) for scores in self.scores.values()), default=0)

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
    """

    test: PairedTest | None
    adjusted_p_value: float | None = None
    family_size: int = 1
    required_seeds: tuple[int, int] | None = None
    has_diverged_runs: bool = False

    @property
    def significant(self) -> bool:
        """Whether the difference is distinguishable from zero at level ALPHA."""
        return self.test is not None and self.adjusted_p_value is not None and self.adjusted_p_value <= ALPHA

    @property
    def contradicted_by_sign_flips(self) -> bool:
        """Whether the sign-flip test, without correction, could have reached level ALPHA and did not."""
        if self.test is None or self.test.sign_flip_p_value is None or self.test.min_sign_flip_p_value is None:
            return False
        return self.test.min_sign_flip_p_value <= ALPHA < self.test.sign_flip_p_value


def make_row(configuration: Configuration) -> Row:
    """Return the row of a configuration, with the metrics of its finished runs."""
    scores: dict[str, dict[int, float]] = {}
    for record in configuration.records:
        if record.finished:
            for metric, value in record.metric_values.items():
                scores.setdefault(metric, {})[record.seed] = value
    return Row(configuration.values, configuration.records, scores)


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
        rows.append(Row(dict(zip(keys, kept_values, strict=True)), records, scores))
    return rows, left_out


def paired_differences(scores: Mapping[int, float], baseline_scores: Mapping[int, float]) -> list[float]:
    """Return the differences of two rows' scores, for the seeds that both have."""
    return [score - baseline_scores[seed] for seed, score in scores.items() if seed in baseline_scores]


def test_differences(samples: Sequence[Sequence[float]]) -> list[Difference]:
    """Test whether the means of samples of differences are zero, with p-values corrected for all of them together."""
    tests = [paired_test(sample) if sample else None for sample in samples]
    p_values = {i: test.p_value for i, test in enumerate(tests) if test is not None and test.p_value is not None}
    adjusted_p_values = adjust_p_values(p_values)
    differences = [
        Difference(test, adjusted_p_values.get(i), max(1, len(adjusted_p_values))) for i, test in enumerate(tests)
    ]
    for difference in differences:
        difference.required_seeds = _required_seeds(difference)
    return differences


def _required_seeds(difference: Difference) -> tuple[int, int] | None:
    """Return the range of the number of seeds that would be needed to find a difference at the corrected level."""
    if difference.test is None or difference.significant:
        return None
    estimate = difference.test.estimate
    if not estimate.sd or estimate.mean == 0:
        return None
    low_sd, high_sd = sd_confidence_interval(estimate.sd, estimate.n)
    alpha = ALPHA / difference.family_size
    low = count_required_seeds(estimate.mean, low_sd, alpha)
    high = count_required_seeds(estimate.mean, high_sd, alpha)
    return max(low, estimate.n + 1), max(high, estimate.n + 1)
