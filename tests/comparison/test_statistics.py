"""Intervals, tests and corrections, against scipy.stats and by hand."""

import math
from itertools import product

import numpy as np
import pytest
from scipy import integrate, stats

from regexp.comparison.statistics import (
    MAX_SEEDS,
    estimate_mean,
    adjust_p_values,
    paired_test,
    t_test_power,
    sd_confidence_interval,
    count_required_seeds,
    sign_flip_p_value,
    wilson_interval,
)

SAMPLES = [np.random.default_rng(i).normal(0.3 * (i % 4), 1 + i % 3, size=2 + i % 15).tolist() for i in range(60)]


@pytest.mark.parametrize("sample", SAMPLES, ids=range(len(SAMPLES)))
def test_an_interval_is_students(sample: list[float]) -> None:
    found = estimate_mean(sample)
    low, high = stats.t.confidence_interval(0.95, len(sample) - 1, np.mean(sample), stats.sem(sample))
    assert found.n == len(sample)
    assert found.mean == pytest.approx(np.mean(sample), rel=1e-12, abs=1e-12)
    assert found.sd == pytest.approx(np.std(sample, ddof=1), rel=1e-12)
    assert found.confidence_interval == (
        pytest.approx(low, rel=1e-12, abs=1e-12),
        pytest.approx(high, rel=1e-12, abs=1e-12),
    )


@pytest.mark.parametrize("sample", SAMPLES, ids=range(len(SAMPLES)))
def test_a_paired_test_is_scipys(sample: list[float]) -> None:
    other = np.random.default_rng(len(sample)).normal(size=len(sample))
    found = paired_test((np.array(sample) + other - other).tolist())
    assert found.p_value == pytest.approx(stats.ttest_rel(np.array(sample) + other, other).pvalue, rel=0, abs=1e-12)
    assert found.p_value == pytest.approx(stats.ttest_1samp(sample, 0).pvalue, rel=0, abs=1e-12)


@pytest.mark.parametrize("sample", [s for s in SAMPLES if len(s) <= 12], ids=len)
def test_sign_flips_are_scipys_exact_permutation_test(sample: list[float]) -> None:
    result = stats.permutation_test(
        (sample,),
        lambda x, axis: np.mean(x, axis=axis),
        permutation_type="samples",
        n_resamples=np.inf,
        vectorized=True,
    )
    # scipy doubles the smaller tail, which for a symmetric distribution is both tails.
    assert sign_flip_p_value(sample) == pytest.approx(result.pvalue, rel=1e-12)
    assert paired_test(sample).sign_flip_p == sign_flip_p_value(sample)
    assert paired_test(sample).min_sign_flip_p == 2 / 2 ** len(sample)
    assert paired_test([*sample[:-1], 0.0]).min_sign_flip_p == 2 / 2 ** (
        len(sample) - 1
    )  # a pair without a difference has no sign


def test_by_hand() -> None:
    """Differences 1, 2, 3, 4 and 5: mean 3, variance 2.5, t = 3 / sqrt(0.5) with 4 degrees of freedom."""
    found = paired_test([1.0, 2.0, 3.0, 4.0, 5.0])
    assert found.estimate.mean == 3
    assert found.estimate.sd == pytest.approx(math.sqrt(2.5))
    # Tables give t(0.975; 4) = 2.776.
    assert found.estimate.half_width == pytest.approx(2.776 * math.sqrt(0.5), abs=5e-4)
    # Of 32 changes of sign only all plus and all minus lie as far out.
    assert found.sign_flip_p == 2 / 32
    # 1, 1, 2: the sums as far from zero as 4 are 4 and -4 only; with -1, 1, 2 those of 2 and more are 6 of 8.
    assert sign_flip_p_value([1.0, 1.0, 2.0]) == 2 / 8
    assert sign_flip_p_value([-1.0, 1.0, 2.0]) == 6 / 8
    # Ties by rounding count: 0.1 + 0.2 - 0.3 is not zero in floating point.
    assert sign_flip_p_value([0.1, 0.2, -0.3]) == 1


def test_sign_flips_of_counted_images_are_those_of_the_counts() -> None:
    """Sums that are equal as counts differ by rounding as fractions."""
    draw = np.random.default_rng(4)
    for _ in range(300):
        counts = draw.integers(-4, 5, size=7)
        assert sign_flip_p_value((counts / 360).tolist()) == sign_flip_p_value(counts.astype(float).tolist())


def test_holm_by_hand() -> None:
    """0.01 x 4; 0.02 x 3 = 0.06; 0.03 x 2 = 0.06; 0.04 x 1, but never less than one before: 0.06."""
    corrected = adjust_p_values({"c": 0.03, "a": 0.01, "d": 0.04, "b": 0.02})
    assert corrected == {key: pytest.approx(p) for key, p in {"a": 0.04, "b": 0.06, "c": 0.06, "d": 0.06}.items()}
    assert adjust_p_values({"a": 0.7, "b": 0.6}) == {"a": 1.0, "b": 1.0}
    assert adjust_p_values({}) == {}


def test_holm_rejects_as_its_definition_does() -> None:
    """Step by step: the smallest at alpha / m, the next at alpha / (m - 1), until one is above."""
    draw = np.random.default_rng(0)
    for m in range(1, 12):
        p_values = {i: float(p) for i, p in enumerate(draw.uniform(0, 0.1, size=m) ** 2)}
        rejected = set()
        for step, key in enumerate(sorted(p_values, key=p_values.__getitem__)):
            if p_values[key] > 0.05 / (m - step):
                break
            rejected.add(key)
        assert {key for key, p in adjust_p_values(p_values).items() if p <= 0.05} == rejected


def test_wilsons_interval_is_scipys() -> None:
    for k, n in ((0, 10), (3, 7), (350, 360), (360, 360), (9800, 10000)):
        expected = stats.binomtest(k, n).proportion_ci(method="wilson")
        assert wilson_interval(k / n, n) == (
            pytest.approx(expected.low, abs=1e-12),
            pytest.approx(expected.high, abs=1e-12),
        )


@pytest.mark.parametrize(("effect", "n"), [*product((0.2, 0.8, 2.0, 6.0), (2, 5, 30))])
def test_power_is_the_integral_over_all_spreads_that_may_be_seen(effect: float, n: int) -> None:
    critical, centre = stats.t.ppf(0.975, n - 1), effect * math.sqrt(n)

    def found(s: float) -> float:
        beyond = stats.norm.sf(critical * s - centre) + stats.norm.cdf(-critical * s - centre)
        return float(beyond * math.sqrt(n - 1) * stats.chi.pdf(s * math.sqrt(n - 1), n - 1))

    expected, error = integrate.quad(found, 0, 10, limit=200, points=[1])
    assert error < 1e-6
    assert t_test_power(effect, n) == pytest.approx(expected, abs=1e-6)


def test_without_a_difference_what_is_found_is_found_by_mistake() -> None:
    assert t_test_power(0.0, 7, 0.01) == pytest.approx(0.01)


@pytest.mark.parametrize(("effect", "alpha"), [(0.1, 0.05), (0.5, 0.05), (0.5, 0.01), (1.0, 0.05), (3.0, 0.002)])
def test_the_seeds_needed_are_the_fewest_that_have_the_power(effect: float, alpha: float) -> None:
    n = count_required_seeds(-2 * effect, 2.0, alpha)
    assert t_test_power(effect, n, alpha) >= 0.8
    assert n == 2 or t_test_power(effect, n - 1, alpha) < 0.8


def test_a_textbooks_number_of_pairs() -> None:
    """Cohen's tables, and every power calculator: half a deviation, 5 %, 80 %: 34 pairs."""
    assert count_required_seeds(0.5, 1.0) == 34
    assert count_required_seeds(0.0, 1.0) == count_required_seeds(1e-6, 1.0) == MAX_SEEDS + 1


def test_the_spreads_interval_covers_as_often_as_it_says() -> None:
    draw = np.random.default_rng(1).normal(size=(20_000, 4)).std(axis=1, ddof=1)
    covered = np.mean([low <= 1 <= high for low, high in (sd_confidence_interval(float(sd), 4) for sd in draw)])
    assert covered == pytest.approx(0.8, abs=0.01)
    low, high = sd_confidence_interval(2.0, 6, 0.95)
    assert low == pytest.approx(2 * math.sqrt(5 / stats.chi2.ppf(0.975, 5)))
    assert high == pytest.approx(2 * math.sqrt(5 / stats.chi2.ppf(0.025, 5)))


def test_where_there_is_no_spread_none_is_invented() -> None:
    assert estimate_mean([0.5]).confidence_interval is estimate_mean([0.5]).sd is None
    same = estimate_mean([0.7, 0.7, 0.7])
    assert (same.mean, same.sd, same.confidence_interval) == (pytest.approx(0.7), 0.0, None)
    # All differences the same: the t test would be certain; sign flips are not.
    assert paired_test([0.1] * 4).p_value == paired_test([0.1] * 4).sign_flip_p == 2 / 16
    assert paired_test([0.1] * 20).p_value == 2 / 2**20
    assert paired_test([0.0] * 4).p_value == 1
    assert paired_test([0.1]).p_value is None
    with pytest.raises(ValueError, match="nothing"):
        estimate_mean([])
