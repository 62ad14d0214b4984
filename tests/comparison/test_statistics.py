"""Intervals, tests and corrections, compared with scipy.stats and computed by hand."""

import math
from itertools import product

import numpy as np
import pytest
from scipy import integrate, stats

from regexp.comparison.statistics import (
    MAX_SEEDS,
    adjust_p_values,
    compute_sign_flip_p_value,
    count_required_seeds,
    estimate_mean,
    paired_test,
    sd_confidence_interval,
    t_test_power,
    wilson_interval,
)

SAMPLES = [np.random.default_rng(i).normal(0.3 * (i % 4), 1 + i % 3, size=2 + i % 15).tolist() for i in range(60)]


@pytest.mark.parametrize("sample", SAMPLES, ids=range(len(SAMPLES)))
def test_the_confidence_interval_is_students(sample: list[float]) -> None:
    estimate = estimate_mean(sample)
    low, high = stats.t.interval(0.95, len(sample) - 1, np.mean(sample), stats.sem(sample))
    assert estimate.n == len(sample)
    assert estimate.mean == pytest.approx(np.mean(sample), rel=1e-12, abs=1e-12)
    assert estimate.sd == pytest.approx(np.std(sample, ddof=1), rel=1e-12)
    assert estimate.confidence_interval == (
        pytest.approx(low, rel=1e-12, abs=1e-12),
        pytest.approx(high, rel=1e-12, abs=1e-12),
    )


@pytest.mark.parametrize("sample", SAMPLES, ids=range(len(SAMPLES)))
def test_the_paired_t_test_equals_scipys(sample: list[float]) -> None:
    other = np.random.default_rng(len(sample)).normal(size=len(sample))
    test = paired_test((np.array(sample) + other - other).tolist())
    assert test.p_value == pytest.approx(stats.ttest_rel(np.array(sample) + other, other).pvalue, rel=0, abs=1e-12)
    assert test.p_value == pytest.approx(stats.ttest_1samp(sample, 0).pvalue, rel=0, abs=1e-12)


@pytest.mark.parametrize("sample", [s for s in SAMPLES if len(s) <= 12], ids=len)
def test_the_sign_flip_test_equals_scipys_exact_permutation_test(sample: list[float]) -> None:
    result = stats.permutation_test(
        (sample,),
        lambda x, axis: np.mean(x, axis=axis),
        permutation_type="samples",
        n_resamples=np.inf,
        vectorized=True,
    )
    # scipy doubles the smaller tail, which for a symmetric distribution is both tails.
    assert compute_sign_flip_p_value(sample) == pytest.approx(result.pvalue, rel=1e-12)
    assert paired_test(sample).sign_flip_p_value == compute_sign_flip_p_value(sample)
    assert paired_test(sample).min_sign_flip_p_value == 2 / 2 ** len(sample)
    # A pair without a difference has no sign.
    assert paired_test([*sample[:-1], 0.0]).min_sign_flip_p_value == 2 / 2 ** (len(sample) - 1)


def test_a_paired_test_by_hand() -> None:
    """Differences 1, 2, 3, 4 and 5: mean 3, variance 2.5, t = 3 / sqrt(0.5) with 4 degrees of freedom."""
    test = paired_test([1.0, 2.0, 3.0, 4.0, 5.0])
    assert test.estimate.mean == 3
    assert test.estimate.sd == pytest.approx(math.sqrt(2.5))
    # Tables give t(0.975; 4) = 2.776.
    assert test.estimate.half_width == pytest.approx(2.776 * math.sqrt(0.5), abs=5e-4)
    # Of the 32 changes of sign only all plus and all minus are as far from zero.
    assert test.sign_flip_p_value == 2 / 32
    # Of the 8 sums of 1, 1 and 2 only 4 and -4 are as far from zero as 4; 6 are at least as far as -1 + 1 + 2 = 2.
    assert compute_sign_flip_p_value([1.0, 1.0, 2.0]) == 2 / 8
    assert compute_sign_flip_p_value([-1.0, 1.0, 2.0]) == 6 / 8
    # Sums that are equal up to rounding count as equal: 0.1 + 0.2 - 0.3 is not zero in floating point.
    assert compute_sign_flip_p_value([0.1, 0.2, -0.3]) == 1


def test_sign_flips_of_fractions_equal_those_of_the_counts() -> None:
    """Sums of fractions differ by rounding where the sums of the counts are equal."""
    rng = np.random.default_rng(4)
    for _ in range(300):
        counts = rng.integers(-4, 5, size=7)
        assert compute_sign_flip_p_value((counts / 360).tolist()) == compute_sign_flip_p_value(
            counts.astype(float).tolist()
        )


def test_holms_correction_by_hand() -> None:
    """0.01 x 4; 0.02 x 3 = 0.06; 0.03 x 2 = 0.06; 0.04 x 1, but never less than the one before: 0.06."""
    adjusted = adjust_p_values({"c": 0.03, "a": 0.01, "d": 0.04, "b": 0.02})
    assert adjusted == {key: pytest.approx(p) for key, p in {"a": 0.04, "b": 0.06, "c": 0.06, "d": 0.06}.items()}
    assert adjust_p_values({"a": 0.7, "b": 0.6}) == {"a": 1.0, "b": 1.0}
    assert adjust_p_values({}) == {}


def test_holms_correction_rejects_as_its_definition_does() -> None:
    """The smallest p-value is tested at alpha / m, the next at alpha / (m - 1), until one is above its level."""
    rng = np.random.default_rng(0)
    for m in range(1, 12):
        p_values = {i: float(p) for i, p in enumerate(rng.uniform(0, 0.1, size=m) ** 2)}
        rejected = set()
        for step, key in enumerate(sorted(p_values, key=p_values.__getitem__)):
            if p_values[key] > 0.05 / (m - step):
                break
            rejected.add(key)
        assert {key for key, p in adjust_p_values(p_values).items() if p <= 0.05} == rejected


def test_wilsons_interval_equals_scipys() -> None:
    for successes, n in ((0, 10), (3, 7), (350, 360), (360, 360), (9800, 10000)):
        expected = stats.binomtest(successes, n).proportion_ci(method="wilson")
        assert wilson_interval(successes / n, n) == (
            pytest.approx(expected.low, abs=1e-12),
            pytest.approx(expected.high, abs=1e-12),
        )


@pytest.mark.parametrize(("effect_size", "n"), [*product((0.2, 0.8, 2.0, 6.0), (2, 5, 30))])
def test_power_is_the_integral_over_all_sample_standard_deviations(effect_size: float, n: int) -> None:
    critical_value, noncentrality = stats.t.ppf(0.975, n - 1), effect_size * math.sqrt(n)

    def density(sd: float) -> float:
        """Return the probability density of a significant test with this sample standard deviation."""
        critical_mean = critical_value * sd
        power = stats.norm.sf(critical_mean - noncentrality) + stats.norm.cdf(-critical_mean - noncentrality)
        return float(power * math.sqrt(n - 1) * stats.chi.pdf(sd * math.sqrt(n - 1), n - 1))

    expected, error = integrate.quad(density, 0, 10, limit=200, points=[1])
    assert error < 1e-6
    assert t_test_power(effect_size, n) == pytest.approx(expected, abs=1e-6)


def test_power_without_a_difference_is_the_level() -> None:
    assert t_test_power(0.0, 7, 0.01) == pytest.approx(0.01)


@pytest.mark.parametrize(("effect_size", "alpha"), [(0.1, 0.05), (0.5, 0.05), (0.5, 0.01), (1.0, 0.05), (3.0, 0.002)])
def test_the_required_seeds_are_the_fewest_that_have_the_power(effect_size: float, alpha: float) -> None:
    n = count_required_seeds(-2 * effect_size, 2.0, alpha)
    assert t_test_power(effect_size, n, alpha) >= 0.8
    assert n == 2 or t_test_power(effect_size, n - 1, alpha) < 0.8


def test_the_required_seeds_are_those_of_a_textbook() -> None:
    """Cohen's tables give 34 pairs for an effect size of 0.5, a level of 5 % and a power of 80 %."""
    assert count_required_seeds(0.5, 1.0) == 34
    assert count_required_seeds(0.0, 1.0) == count_required_seeds(1e-6, 1.0) == MAX_SEEDS + 1


def test_the_interval_of_the_standard_deviation_covers_as_often_as_it_says() -> None:
    sds = np.random.default_rng(1).normal(size=(20_000, 4)).std(axis=1, ddof=1)
    covered = np.mean([low <= 1 <= high for low, high in (sd_confidence_interval(float(sd), 4) for sd in sds)])
    assert covered == pytest.approx(0.8, abs=0.01)
    low, high = sd_confidence_interval(2.0, 6, 0.95)
    assert low == pytest.approx(2 * math.sqrt(5 / stats.chi2.ppf(0.975, 5)))
    assert high == pytest.approx(2 * math.sqrt(5 / stats.chi2.ppf(0.025, 5)))


def test_samples_without_spread_have_no_interval() -> None:
    assert estimate_mean([0.5]).confidence_interval is estimate_mean([0.5]).sd is None
    equal = estimate_mean([0.7, 0.7, 0.7])
    assert (equal.mean, equal.sd, equal.confidence_interval) == (pytest.approx(0.7), 0.0, None)
    # Where all differences are equal a t test would be certain; the sign-flip test is not.
    assert paired_test([0.1] * 4).p_value == paired_test([0.1] * 4).sign_flip_p_value == 2 / 16
    assert paired_test([0.1] * 20).p_value == 2 / 2**20
    assert paired_test([0.0] * 4).p_value == 1
    assert paired_test([0.1]).p_value is None
    with pytest.raises(ValueError, match="no values"):
        estimate_mean([])
