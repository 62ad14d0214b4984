"""Looks at verdicts while seeds are added, equivalence, and the prospect of an open verdict."""

import math
from collections.abc import Sequence
from dataclasses import dataclass, replace

import numpy as np
import pytest
from helpers.run_directories import simulate_runs
from numpy.typing import NDArray
from scipy import special, stats

from regexp.comparison.compare import Comparison, compare_collection
from regexp.comparison.deciding.boundaries import LEVELS, compute_boundaries, correct_p_values, spend_alpha
from regexp.comparison.deciding.equivalence import (
    compute_one_sided_p_value,
    count_seeds_for_equivalence,
)
from regexp.comparison.deciding.equivalence import (
    test_equivalence as measure_equivalence,
)
from regexp.comparison.deciding.outlook import find_prospect
from regexp.comparison.deciding.sample import Sample
from regexp.comparison.explaining.notes import make_brief_notes, make_notes
from regexp.comparison.formats.tables import tabulate_differences, tabulate_overview
from regexp.comparison.rows import Difference
from regexp.comparison.rows import test_differences as compare_samples
from regexp.comparison.statistics import ALPHA, adjust_p_values, t_test_power
from regexp.comparison.verdicts import format_verdict
from regexp.errors import ConfigError
from regexp.execution.launching.rounds import find_open_rows
from regexp.runs.seed_plan import SeedPlan, make_seed_plan, read_seed_plan

PLAN = make_seed_plan([0, 1, 2], 8)
SAMPLES = ([0.3, 0.1, -0.2, 0.4], [0.02, 0.01, 0.03], [1.0, 1.2, 0.9, 1.1, 1.3])


def draw_p_values(rng: np.random.Generator, looks: Sequence[int], paths: int) -> NDArray[np.float64]:
    """Return the two-sided p-values of t tests at each look of samples without a difference [paths, looks]."""
    values = rng.normal(size=(paths, looks[-1]))
    return np.stack([stats.ttest_1samp(values[:, :n], 0, axis=1).pvalue for n in looks], axis=1)


def binomial_interval(trials: int, probability: float) -> tuple[float, float]:
    """Return the counts between which 99.8 % of binomial draws lie."""
    low, high = (float(stats.binom.ppf(tail, trials, probability)) for tail in (0.001, 0.999))
    return low, high


# Plans --------------------------------------------------------------------------------------------------------------


def test_a_plan_adds_as_many_seeds_as_it_begins_with() -> None:
    assert SeedPlan(tuple(range(8)), (3, 6, 8)) == PLAN
    assert make_seed_plan([5, 2], 4).seeds == (5, 2, 6, 7)
    plan = make_seed_plan([1, 2], 5, 0.2)
    assert read_seed_plan(plan.to_record()) == plan


@pytest.mark.parametrize("looks", [[], [3, 3, 8], [3, 9], [0, 8]], ids=str)
def test_a_damaged_plan_is_refused(looks: list[int]) -> None:
    with pytest.raises(ValueError, match="do not lead to the number of seeds"):
        read_seed_plan({**PLAN.to_record(), "looks": looks})


# Boundaries ---------------------------------------------------------------------------------------------------------


def test_alpha_is_spent_as_published() -> None:
    """The spending of O'Brien and Fleming's shape at five equal looks, two-sided at 5 %.

    Source: D. M. Reboussin, D. L. DeMets, K. Kim and K. K. G. Lan, Computations for group sequential boundaries using
    the Lan-DeMets spending function method, Controlled Clinical Trials 21, 2000.
    """
    spent = [float(spend_alpha(np.array([0.05]), fraction)[0]) for fraction in (0.2, 0.4, 0.6, 0.8, 1)]
    assert spent == pytest.approx([0.00000108, 0.00079, 0.00762, 0.02442, 0.05], rel=3e-3)


def test_repeated_t_tests_raise_no_more_false_alarms_than_their_level() -> None:
    looks, paths = PLAN.looks, 20_000
    p_values = draw_p_values(np.random.default_rng(0), looks, paths)
    corrected = correct_p_values(p_values, looks, tuple(n / 8 for n in looks))
    for level in (0.05, 0.2):
        low, high = binomial_interval(paths, level)
        assert low <= np.sum(corrected[:, -1] <= level) <= high
    # Without a correction, there are more than twice as many.
    assert np.mean(np.min(p_values, axis=1) <= 0.05) > 0.1
    assert np.all(np.diff(corrected, axis=1) <= 0)
    assert np.all(corrected >= np.minimum.accumulate(p_values, axis=1))


def test_the_first_boundary_is_what_may_be_spent_and_one_look_is_a_usual_test() -> None:
    levels = compute_boundaries((3, 6), (0.5, 1.0))
    assert levels[0] == pytest.approx(spend_alpha(LEVELS, 0.5))
    p_values = np.array([[1e-4], [0.03], [0.6]])
    assert correct_p_values(p_values, (5,), (1.0,)) == pytest.approx(p_values, rel=1e-6)


def test_boundaries_of_many_pairs_are_the_published_ones_of_normal_statistics() -> None:
    """Five equal looks at 5 %: z of 4.877, 3.357, 2.680, 2.290 and 2.031 (Reboussin and others, as above)."""
    pairs = (80, 160, 240, 320, 400)
    levels = compute_boundaries(pairs, (0.2, 0.4, 0.6, 0.8, 1.0))
    p_values = [math.exp(np.interp(math.log(0.05), np.log(LEVELS), np.log(look))) for look in levels]
    z_values = [-float(special.ndtri(p_value / 2)) for p_value in p_values]
    assert z_values == pytest.approx([4.8769, 3.3569, 2.6803, 2.2898, 2.0310], rel=5e-3)


def test_boundaries_equal_those_of_an_integral_over_the_normal_distribution() -> None:
    """Of many pairs, the probability to reach the first or the second boundary is what may be spent."""
    pairs = (200, 300)
    levels = compute_boundaries(pairs, (2 / 3, 1.0))
    correlation = math.sqrt(2 / 3)
    joint = stats.multivariate_normal([0, 0], [[1, correlation], [correlation, 1]])
    for i in (60, 70, 76):
        first, second = (-float(special.ndtri(look[i] / 2)) for look in levels)
        inside = joint.cdf([first, second], lower_limit=[-first, -second])
        assert 1 - inside == pytest.approx(LEVELS[i], rel=0.02)


@pytest.mark.slow
@pytest.mark.parametrize("looks", [(2, 3, 4, 5, 6), (3, 6, 9, 10), (5, 10, 15, 20)], ids=str)
def test_boundaries_hold_for_other_plans(looks: tuple[int, ...]) -> None:
    paths = 100_000
    p_values = draw_p_values(np.random.default_rng(1), looks, paths)
    corrected = correct_p_values(p_values, looks, tuple(n / looks[-1] for n in looks))[:, -1]
    for level in (0.05 / 8, 0.05, 0.1):
        low, high = binomial_interval(paths, level)
        # The cells that probability is counted in make boundaries 1 % smaller, at most 3 %.
        assert 0.97 * low <= np.sum(corrected <= level) <= high


def test_textbook_boundaries_would_raise_more_false_alarms() -> None:
    """Why boundaries are computed for Student's t: those of normal statistics, two seeds a look."""
    p_values = draw_p_values(np.random.default_rng(2), (2, 4, 6, 8, 10), 30_000)
    textbook = 2 * special.ndtr(-np.array([4.8769, 3.3569, 2.6803, 2.2898, 2.0310]))
    assert np.sum(np.any(p_values <= textbook, axis=1)) > binomial_interval(30_000, 0.05)[1]


# Samples ------------------------------------------------------------------------------------------------------------


def test_looks_are_those_whose_runs_have_ended() -> None:
    sizes = {}
    for name, seeds, diverged in (
        ("begun", range(5), ()),
        ("whole", range(8), ()),
        ("diverged", (0, 2, 3, 4, 5), (1,)),
        ("a seed is missing", (0, 2, 3, 4, 5), ()),
        ("no new pair", (0, 1, 2), (3, 4, 5)),
    ):
        sample = Sample(dict.fromkeys(seeds, 0.1), frozenset(diverged), (PLAN,))
        sizes[name] = [(look.num_seeds, len(look.differences)) for look in sample.looks[PLAN]]
    assert sizes == {
        "begun": [(3, 3)],
        "whole": [(3, 3), (6, 6), (8, 8)],
        "diverged": [(3, 2), (6, 5)],
        "a seed is missing": [],
        "no new pair": [(3, 3)],
    }


def test_a_sample_of_two_plans_gets_the_larger_p_value_and_one_without_looks_none() -> None:
    by_seed = dict(enumerate([0.5, 0.6, 0.55, 0.52, 0.58, 0.61, 0.4, 0.5]))
    longer = make_seed_plan([0, 1, 2], 12)
    [first], [second], [both] = (
        compare_samples([Sample(by_seed, plans=plans)], None) for plans in ((PLAN,), (longer,), (PLAN, longer))
    )
    assert first.adjusted_p_value is not None
    assert second.adjusted_p_value is not None
    assert both.adjusted_p_value == max(first.adjusted_p_value, second.adjusted_p_value)
    [early] = compare_samples([Sample({0: 0.5, 1: 0.500001}, plans=(PLAN,))], None)
    assert early.adjusted_p_value == 1.0


def test_holms_procedure_takes_the_corrected_p_values() -> None:
    rng = np.random.default_rng(3)
    samples = [Sample(dict(enumerate(rng.normal(mean, 1, size=8))), plans=(PLAN,)) for mean in (0, 1, 2)]
    fractions = tuple(n / 8 for n in PLAN.looks)
    expected = {}
    for i, sample in enumerate(samples):
        p_values = [stats.ttest_1samp(sample.differences[:n], 0).pvalue for n in PLAN.looks]
        expected[i] = float(correct_p_values(np.array(p_values), PLAN.looks, fractions)[-1])
    actual = [difference.adjusted_p_value for difference in compare_samples(samples, None)]
    adjusted = adjust_p_values(expected)
    assert actual == pytest.approx([adjusted[i] for i in range(3)], rel=1e-6)


# Equivalence --------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("values", SAMPLES, ids=str)
@pytest.mark.parametrize("margin", [0.05, 0.5, 2.0])
def test_one_sided_tests_equal_scipys(values: list[float], margin: float) -> None:
    for sign, alternative in ((1.0, "greater"), (-1.0, "less")):
        expected = stats.ttest_1samp(values, -sign * margin, alternative=alternative).pvalue
        assert compute_one_sided_p_value(values, sign, margin) == pytest.approx(expected, rel=1e-9)
    both = [stats.ttest_1samp(values, s * margin, alternative=a).pvalue for s, a in ((-1, "greater"), (1, "less"))]
    assert measure_equivalence(Sample(dict(enumerate(values))), margin) == pytest.approx(max(both), rel=1e-9)


def test_equal_differences_have_the_p_value_of_sign_flips() -> None:
    assert compute_one_sided_p_value([0.1] * 4, 1.0, 0.2) == 2**-4
    assert compute_one_sided_p_value([0.3] * 4, -1.0, 0.2) == 1.0
    assert compute_one_sided_p_value([0.3], 1.0, 0.2) is None
    assert measure_equivalence(Sample({}), 0.2) is None


def test_equivalence_is_corrected_for_looks() -> None:
    """Of two one-sided tests, both must be significant, and each is one side of a two-sided one at twice the level."""
    values = dict(enumerate([0.1, -0.2, 0.05, 0.0, 0.1, -0.1, 0.15, -0.05]))
    fractions = tuple(n / 8 for n in PLAN.looks)
    sides = []
    for margin, alternative in ((-0.15, "greater"), (0.15, "less")):
        p_values = [
            stats.ttest_1samp(list(values.values())[:n], margin, alternative=alternative).pvalue for n in PLAN.looks
        ]
        doubled = np.minimum(1, 2 * np.array(p_values))
        sides.append(correct_p_values(doubled, PLAN.looks, fractions)[-1] / 2)
    assert measure_equivalence(Sample(values, plans=(PLAN,)), 0.15) == pytest.approx(max(sides), rel=1e-9)


@pytest.mark.parametrize(("difference", "margin"), [(0.0, 1.0), (0.2, 1.0), (0.5, 0.8)])
def test_the_seeds_for_equivalence_are_the_fewest_that_have_the_power(difference: float, margin: float) -> None:
    rng = np.random.default_rng(4)
    n = count_seeds_for_equivalence(difference, 1.0, margin)

    def share_of_equivalence(n: int) -> float:
        values = rng.normal(difference, 1.0, size=(4000, n))
        lower = stats.ttest_1samp(values, -margin, axis=1, alternative="greater").pvalue
        upper = stats.ttest_1samp(values, margin, axis=1, alternative="less").pvalue
        return float(np.mean(np.maximum(lower, upper) <= ALPHA))

    assert share_of_equivalence(n) > 0.77
    assert share_of_equivalence(n - 1) < 0.83
    assert count_seeds_for_equivalence(margin, 1.0, margin) > 1000


# Prospects ----------------------------------------------------------------------------------------------------------


def make_sample(mean: float, sd: float, n: int) -> Sample:
    """Return a sample of exactly this mean and standard deviation."""
    values = np.linspace(-1, 1, n)
    values = mean + sd * (values - values.mean()) / values.std(ddof=1)
    return Sample(dict(enumerate(map(float, values))), plans=(PLAN,))


def test_the_prospect_of_a_verdict() -> None:
    # A difference of three standard deviations will be found, and one of 0 will not.
    assert find_prospect(make_sample(3.0, 1.0, 6), PLAN, 1, None) > 0.99
    assert find_prospect(make_sample(0.0, 1.0, 6), PLAN, 1, None) < 0.1
    # A margin of two standard deviations will be excluded, and one of a tenth will not.
    assert find_prospect(make_sample(0.0, 1.0, 6), PLAN, 1, 2.0) > 0.9
    assert find_prospect(make_sample(0.0, 1.0, 6), PLAN, 1, 0.1) < 0.1
    # The more verdicts are corrected together, the smaller is the prospect.
    chances = [find_prospect(make_sample(0.8, 1.0, 6), PLAN, size, None) for size in (1, 4, 16)]
    assert chances == sorted(chances, reverse=True)
    # Nothing is known before the first look, and nothing is left after the last.
    assert find_prospect(Sample({0: 0.1}, plans=(PLAN,)), PLAN, 1, None) == 1.0
    assert find_prospect(make_sample(3.0, 1.0, 8), PLAN, 1, None) == 0.0
    assert find_prospect(Sample({}, frozenset({0, 1, 2}), (PLAN,)), PLAN, 1, None) == 0.0
    # Differences that are all equal tell only what they are.
    assert find_prospect(Sample(dict.fromkeys(range(3), 0.0), plans=(PLAN,)), PLAN, 1, None) == 0.0
    assert find_prospect(Sample(dict.fromkeys(range(3), 0.0), plans=(PLAN,)), PLAN, 1, 0.5) == 1.0


@pytest.mark.slow
def test_the_prospect_is_at_least_the_share_of_sweeps_that_end_with_a_verdict() -> None:
    rng = np.random.default_rng(5)
    begun, difference = rng.normal(size=6) * 0.9 + 0.9, 0.9
    sample = Sample(dict(enumerate(map(float, begun))), plans=(PLAN,))
    found = 0
    for _ in range(500):
        later = rng.normal(difference, begun.std(ddof=1), size=2)
        [end] = compare_samples([Sample(dict(enumerate([*begun, *later])), plans=(PLAN,))], None)
        found += end.significant
    assert find_prospect(sample, PLAN, 1, None) >= found / 500 - 0.05


# Verdicts -----------------------------------------------------------------------------------------------------------


def compare_simulated(scores: dict[str, list[float]], plan: SeedPlan | None = None, **options: object) -> Comparison:
    """Return the comparison of simulated runs, whose seeds a plan may have added."""
    collection = simulate_runs({name: dict(enumerate(values)) for name, values in scores.items()})
    if plan is not None:
        collection.seed_plans = {record.directory: frozenset({plan}) for record in collection.records}
    return compare_collection(collection, **options)  # type: ignore[arg-type]


def find_difference(comparison: Comparison, title: str) -> Difference:
    difference = next(row.difference for row in comparison.rows if row.title == title)
    assert difference is not None
    return difference


WIGGLE = [0.001, -0.002, 0.0015, -0.0005, 0.002, -0.001, 0.0, -0.001]


@pytest.mark.parametrize(
    ("shift", "brief", "verdict"),
    [
        (0.03, "better", "better"),
        (-0.03, "worse", "worse"),
        (0.0, "equivalent", "equivalent within 1.00 points"),
        (0.005, "equivalent", "equivalent within 1.00 points, though better"),
        (0.0095, "better", "better"),
    ],
)
def test_verdicts_with_a_margin(shift: float, brief: str, verdict: str) -> None:
    scores = {"none": [0.9] * 8, "batch": [0.9 + shift + wiggle for wiggle in WIGGLE]}
    comparison = compare_simulated(scores, margin=1)
    difference = find_difference(comparison, "batch")
    assert format_verdict(difference, comparison.metric, brief=True) == brief
    assert format_verdict(difference, comparison.metric) == verdict


def test_an_undecided_verdict_says_how_many_seeds_it_would_take() -> None:
    scores = {"none": [0.9] * 8, "batch": [0.9001 + 10 * wiggle for wiggle in WIGGLE]}
    comparison = compare_simulated(scores, margin="0.5")
    difference = find_difference(comparison, "batch")
    assert difference.required_seeds is not None
    low, high = difference.required_seeds
    verdict = format_verdict(difference, comparison.metric)
    assert verdict == f"undecided with 8 seeds (a verdict would need {low} to {high} seeds)"
    assert low < high < 1000
    # Without a margin, so small a difference would need more seeds than anybody trains.
    without_margin = find_difference(compare_simulated(scores), "batch")
    assert without_margin.required_seeds is not None
    assert without_margin.required_seeds[0] > 1000
    assert any(note.startswith("equivalent: a difference of 0.50 points or more") for note in make_notes(comparison))


@pytest.mark.parametrize("margin", ["0", "-1", "two", "nan", "inf", True])
def test_a_margin_is_a_number_above_0(margin: object) -> None:
    with pytest.raises(
        ConfigError, match=r"--margin .*: must be a number above 0, the difference in percentage points"
    ):
        compare_simulated({"none": [0.9] * 3, "batch": [0.8] * 3}, margin=margin)


def test_a_margin_is_in_the_unit_of_its_metric() -> None:
    scores = {"none": [0.9] * 3, "batch": [0.8] * 3}
    assert compare_simulated(scores, margin=0.2).margin == pytest.approx(0.002)
    collection = simulate_runs({name: dict(enumerate(values)) for name, values in scores.items()}, "test_loss")
    assert compare_collection(collection, metric="test_loss", margin=0.2).margin == 0.2


def test_a_comparison_applies_the_correction_of_the_sweep_and_says_so() -> None:
    """Differences that a plain t test finds, and looks do not."""
    values = [0.01, 0.03, -0.004, 0.02, 0.015, 0.006]
    scores = {"none": [0.9] * 6, "batch": [0.9 + value for value in values]}
    plain, sequential = compare_simulated(scores), compare_simulated(scores, replace(PLAN, margin=0.1))
    differences = [find_difference(comparison, "batch") for comparison in (plain, sequential)]
    p_value = stats.ttest_1samp(values, 0).pvalue
    expected = correct_p_values(
        np.array([stats.ttest_1samp(values[:n], 0).pvalue for n in (3, 6)]), (3, 6), (3 / 8, 6 / 8)
    )[-1]
    assert [difference.adjusted_p_value for difference in differences] == pytest.approx([p_value, expected])
    assert p_value <= ALPHA < expected
    assert [difference.significant for difference in differences] == [True, False]
    assert sequential.margin == pytest.approx(0.001)
    for notes in (make_notes(sequential), make_brief_notes(sequential)):
        assert any("looks after 3 and 6 of at most 8 seeds. Verdicts and Holm's p are corrected" in x for x in notes)
    assert not any("looks" in note for note in make_notes(plain))
    overview, differences_table = tabulate_overview(sequential), tabulate_differences(sequential)
    assert differences_table is not None
    for table in (overview, differences_table):
        assert [row[table.columns.index("looks")] for row in table.rows if "batch" in row[0]] == ["2"]
    plain_table = tabulate_differences(plain)
    assert plain_table is not None
    assert "looks" not in [*tabulate_overview(plain).columns, *plain_table.columns]


def test_seeds_that_no_look_has_seen_decide_nothing() -> None:
    values = [0.01, 0.03, -0.02, 0.02, 0.015, -0.01]
    plan = make_seed_plan([0, 1, 2], 6)
    short = compare_simulated({"none": [0.9] * 6, "batch": [0.9 + value for value in values]}, plan)
    more = [*values, *[0.05, 0.0501, 0.0499] * 20]
    long = compare_simulated({"none": [0.9] * 66, "batch": [0.9 + value for value in more]}, plan)
    first, second = (find_difference(comparison, "batch") for comparison in (short, long))
    assert first.adjusted_p_value == pytest.approx(second.adjusted_p_value)
    assert not second.significant
    assert any("with more seeds than the looks" in note for note in make_notes(long))
    assert not any("with more seeds than the looks" in note for note in make_notes(short))


def test_the_margin_of_a_sweep_is_not_one_of_another_metric() -> None:
    scores = {"none": [0.9] * 6, "batch": [0.9 + wiggle for wiggle in WIGGLE[:6]]}
    plan = make_seed_plan([0, 1, 2], 6, 0.5)
    assert compare_simulated(scores, plan).margin == pytest.approx(0.005)
    assert compare_simulated(scores, plan, metric="val_accuracy").margin is None
    assert compare_simulated(scores, plan, margin=0.1).margin == pytest.approx(0.001)


# Whole sweeps -------------------------------------------------------------------------------------------------------


@dataclass
class SimulatedSweep:
    """A simulated sweep that has ended.

    Attributes:
        differences: the difference of each configuration to the baseline.
        num_seeds: the number of seeds of each configuration.
    """

    differences: list[Difference]
    num_seeds: list[int]


def simulate_sweep(rng: np.random.Generator, shifts: Sequence[float], plan: SeedPlan) -> SimulatedSweep:
    """Return a sweep of configurations that differ from their baseline by known amounts, in points.

    Differences have a standard deviation of 1 point; those of a seed are correlated, since they share the baseline.
    """
    baseline = 0.9 + 0.01 * rng.normal(size=plan.max_seeds) * math.sqrt(0.5)
    names = [chr(ord("a") + i) for i in range(len(shifts))]
    values = {
        name: 0.9 + 0.01 * (shift + rng.normal(size=plan.max_seeds) * math.sqrt(0.5))
        for name, shift in zip(names, shifts, strict=True)
    }
    goals = dict.fromkeys(names, plan.looks[0])
    while True:
        scores = {"none": list(baseline[: max(goals.values())])}
        comparison = compare_simulated(scores | {name: list(values[name][: goals[name]]) for name in names}, plan)
        open_titles = {comparison.rows[i].title for i in find_open_rows(comparison, plan)}
        if not open_titles:
            return SimulatedSweep([find_difference(comparison, name) for name in names], list(goals.values()))
        for name in open_titles:
            goals[name] = next(look for look in plan.looks if look > goals[name])


@pytest.mark.slow
@pytest.mark.parametrize("margin", [None, 1.5])
def test_a_thousand_sweeps_without_a_difference_raise_few_false_alarms(margin: float | None) -> None:
    rng = np.random.default_rng(6)
    plan = make_seed_plan([0, 1, 2], 12, margin)
    sweeps = [simulate_sweep(rng, [0.0, 0.0, 0.0], plan) for _ in range(1000)]
    alarms = sum(any(difference.significant for difference in sweep.differences) for sweep in sweeps)
    assert alarms <= binomial_interval(1000, 0.05)[1]
    # Most verdicts are given up, or equivalent, before all seeds are spent.
    assert np.mean([sweep.num_seeds for sweep in sweeps]) < 11
    if margin is not None:
        assert np.mean([difference.equivalent for sweep in sweeps for difference in sweep.differences]) > 0.5


@pytest.mark.slow
def test_sweeps_at_the_margin_are_rarely_called_equivalent() -> None:
    rng = np.random.default_rng(7)
    plan = make_seed_plan([0, 1, 2], 12, 1.0)
    sweeps = [simulate_sweep(rng, [1.0, -1.0, 1.0], plan) for _ in range(400)]
    errors = sum(any(difference.equivalent for difference in sweep.differences) for sweep in sweeps)
    assert errors <= binomial_interval(len(sweeps), 0.05)[1]


@pytest.mark.slow
@pytest.mark.parametrize("shift", [1.2, 2.0])
def test_a_known_difference_takes_fewer_seeds_than_a_fixed_number_of_the_same_power(shift: float) -> None:
    rng = np.random.default_rng(8)
    plan = make_seed_plan([0, 1, 2], 12)
    sweeps = [simulate_sweep(rng, [shift], plan) for _ in range(1000)]
    power = np.mean([sweep.differences[0].significant for sweep in sweeps])
    fixed = next(n for n in range(2, 40) if t_test_power(shift, n) >= min(power, 0.999))
    assert power > 0.8
    assert np.mean([sweep.num_seeds for sweep in sweeps]) < fixed
