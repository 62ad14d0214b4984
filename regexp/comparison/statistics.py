"""Statistics of a few seeds: confidence intervals, paired tests, corrections and power. Imports no torch.

Of scipy it imports scipy.special only: scipy.stats takes a second to import.
"""

import itertools
import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from functools import cache
from typing import TypeVar

import numpy as np
from numpy.typing import NDArray
from scipy import special

CONFIDENCE_LEVEL = 0.95
ALPHA = 0.05
POWER = 0.8
# The most pairs for which all 2^n changes of sign are enumerated.
MAX_SIGN_FLIP_PAIRS = 12
# The confidence level of the standard deviation from which the number of required seeds is estimated.
SD_CONFIDENCE_LEVEL = 0.8
# Larger numbers of required seeds are not computed.
MAX_SEEDS = 1000
# 350/360 - 349/360 and 349/360 - 348/360 are the same difference, but not the same floating-point number.
ROUNDING_ERROR = 1e-12

Key = TypeVar("Key")


@dataclass(frozen=True)
class Estimate:
    """The mean of a sample, with its standard deviation and confidence interval.

    Attributes:
        n: the size of the sample.
        mean: the mean of the sample.
        sd: the sample standard deviation (n - 1); None for a single value.
        half_width: half the width of the 95 % interval of the mean, t_{n-1} sd / sqrt(n); None where there is no
            spread to estimate it from: for a single value, or where all values are equal up to rounding.
    """

    n: int
    mean: float
    sd: float | None
    half_width: float | None

    @property
    def confidence_interval(self) -> tuple[float, float] | None:
        """The lower and upper end of the 95 % interval of the mean, if there is one."""
        return None if self.half_width is None else (self.mean - self.half_width, self.mean + self.half_width)


@dataclass(frozen=True)
class PairedTest:
    """A test of whether the mean of paired differences is zero.

    Attributes:
        estimate: the mean difference and its confidence interval.
        p_value: the two-sided p-value of the paired t test. Where all differences are equal, which leaves that test no
            spread, that of the sign-flip test. None for a single pair.
        sign_flip_p_value: the two-sided p-value of the exact sign-flip test; None for a single pair, and for more than
            MAX_SIGN_FLIP_PAIRS pairs.
        min_sign_flip_p_value: the smallest p-value that the sign-flip test can reach with this many pairs that differ;
            None for more than MAX_SIGN_FLIP_PAIRS pairs.
    """

    estimate: Estimate
    p_value: float | None
    sign_flip_p_value: float | None
    min_sign_flip_p_value: float | None


def estimate_mean(values: Sequence[float]) -> Estimate:
    """Return the mean of a sample with its standard deviation and 95 % interval.

    The interval is mean ± t_{n-1}(0.975) sd / sqrt(n) (Student, The probable error of a mean, Biometrika 6, 1908).

    Raises:
        ValueError: there are no values.
    """
    n = len(values)
    if n == 0:
        raise ValueError("the mean of no values is not defined")
    mean = math.fsum(values) / n
    if n == 1:
        return Estimate(1, mean, None, None)
    if max(values) - min(values) <= ROUNDING_ERROR + 1e-9 * max(map(abs, values)):
        return Estimate(n, 0.0 if abs(mean) <= ROUNDING_ERROR else mean, 0.0, None)
    sd = math.sqrt(math.fsum((value - mean) ** 2 for value in values) / (n - 1))
    quantile = float(special.stdtrit(n - 1, (1 + CONFIDENCE_LEVEL) / 2))
    return Estimate(n, mean, sd, quantile * sd / math.sqrt(n))


def paired_test(differences: Sequence[float]) -> PairedTest:
    """Test whether the mean of paired differences is zero, by Student's paired t test and by sign flips.

    The t statistic is mean / (sd / sqrt(n)), with n - 1 degrees of freedom.

    Raises:
        ValueError: there are no differences.
    """
    estimate = estimate_mean(differences)
    n = estimate.n
    sign_flip_p_value, min_sign_flip_p_value = None, None
    if n <= MAX_SIGN_FLIP_PAIRS:
        nonzero = sum(abs(difference) > ROUNDING_ERROR for difference in differences)
        min_sign_flip_p_value = min(1.0, 2.0 ** (1 - nonzero))
        sign_flip_p_value = compute_sign_flip_p_value(differences) if n > 1 else None
    if n == 1:
        p_value = None
    elif estimate.sd:
        t = abs(estimate.mean) / (estimate.sd / math.sqrt(n))
        p_value = float(2 * special.stdtr(n - 1, -t))
    elif sign_flip_p_value is not None:
        p_value = sign_flip_p_value
    else:  # n equal differences: only all plus and all minus are as far from zero
        p_value = 2.0 ** (1 - n) if estimate.mean else 1.0
    return PairedTest(estimate, p_value, sign_flip_p_value, min_sign_flip_p_value)


def compute_sign_flip_p_value(differences: Sequence[float]) -> float:
    """Return the two-sided p-value of Fisher's exact permutation test of paired differences.

    It is the share of all 2^n changes of sign whose mean is at least as far from zero as the observed one (R. A.
    Fisher, The Design of Experiments, 1935, section 21).
    """
    signs = _all_signs(len(differences))  # [2^n, n]
    sums = np.abs(signs @ np.asarray(differences))  # [2^n]; the first row of signs leaves all signs as they are
    # Sums of the same numbers in another order differ by rounding, and count as equal.
    tolerance = 1e-12 * math.fsum(map(abs, differences))
    return float(np.mean(sums >= sums[0] - tolerance))


@cache  # a table of a thousand rows has a test of the same number of pairs for each
def _all_signs(n: int) -> NDArray[np.float64]:
    """Return all combinations of n signs [2^n, n]; the first row is all plus."""
    return np.array(list(itertools.product((1.0, -1.0), repeat=n)))


def adjust_p_values(p_values: Mapping[Key, float]) -> dict[Key, float]:
    """Return p-values adjusted for their number by Holm's step-down procedure, which bounds the family-wise error rate.

    The i-th smallest of m p-values becomes the largest of min(1, (m - j + 1) p_(j)) over all j <= i (S. Holm, A simple
    sequentially rejective multiple test procedure, Scandinavian Journal of Statistics 6, 1979).
    """
    adjusted: dict[Key, float] = {}
    largest = 0.0
    for rank, key in enumerate(sorted(p_values, key=lambda key: p_values[key])):
        largest = max(largest, min(1.0, (len(p_values) - rank) * p_values[key]))
        adjusted[key] = largest
    return adjusted


def count_required_seeds(difference: float, sd: float, alpha: float = ALPHA) -> int:
    """Return the number of pairs with which a paired t test finds a difference with a probability of 80 %.

    Args:
        difference: the true mean of the differences.
        sd: their true standard deviation.
        alpha: the level of the test.

    Returns:
        The smallest such number, at least 2; MAX_SEEDS + 1 stands for any number above MAX_SEEDS.
    """
    if difference == 0:
        return MAX_SEEDS + 1
    effect_size = abs(difference) / sd
    # The t test never needs fewer pairs than the z test, which knows the standard deviation.
    z_test_pairs = ((float(special.ndtri(1 - alpha / 2)) + float(special.ndtri(POWER))) / effect_size) ** 2
    n = max(2, math.ceil(z_test_pairs)) if z_test_pairs < MAX_SEEDS else MAX_SEEDS + 1
    while n <= MAX_SEEDS and t_test_power(effect_size, n, alpha) < POWER:
        n += 1
    return n


def t_test_power(effect_size: float, n: int, alpha: float = ALPHA) -> float:
    """Return the probability that a two-sided paired t test of n pairs is significant.

    It is P(|T| > t_{n-1}(1 - alpha/2)), where T has a noncentral t distribution with n - 1 degrees of freedom and the
    noncentrality effect_size sqrt(n) (J. Cohen, Statistical Power Analysis for the Behavioral Sciences, 1988).

    Args:
        effect_size: the true mean of the differences, in standard deviations of the differences.
        n: the number of pairs.
        alpha: the level of the test.
    """
    critical_value = float(special.stdtrit(n - 1, 1 - alpha / 2))
    noncentrality = effect_size * math.sqrt(n)
    lower_tail = float(special.nctdtr(n - 1, noncentrality, -critical_value))
    if math.isnan(lower_tail):  # scipy returns NaN far out in that tail, where the probability is almost 0
        lower_tail = 0.0
    return float(1 - special.nctdtr(n - 1, noncentrality, critical_value)) + lower_tail


def sd_confidence_interval(sd: float, n: int, level: float = SD_CONFIDENCE_LEVEL) -> tuple[float, float]:
    """Return the confidence interval of a standard deviation from n normal values.

    (n - 1) sd^2 / sigma^2 has a chi-square distribution with n - 1 degrees of freedom.

    Args:
        sd: the sample standard deviation.
        n: the size of the sample.
        level: the confidence level.
    """
    low, high = (math.sqrt((n - 1) / float(special.chdtri(n - 1, tail))) for tail in ((1 - level) / 2, (1 + level) / 2))
    return sd * low, sd * high


def wilson_interval(share: float, n: int) -> tuple[float, float]:
    """Return the 95 % interval of a probability from the share of successes in n independent trials.

    Source: E. B. Wilson, Probable inference, the law of succession, and statistical inference, Journal of the American
    Statistical Association 22, 1927.
    """
    z = float(special.ndtri((1 + CONFIDENCE_LEVEL) / 2))
    centre = (share + z**2 / (2 * n)) / (1 + z**2 / n)
    half_width = z / (1 + z**2 / n) * math.sqrt(share * (1 - share) / n + z**2 / (4 * n**2))
    return centre - half_width, centre + half_width
