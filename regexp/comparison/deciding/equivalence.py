"""Equivalence: is a difference smaller than the margin below which it does not matter?

Two one-sided t tests (D. J. Schuirmann, A comparison of the two one-sided tests procedure and the power approach for
assessing the equivalence of average bioavailability, Journal of Pharmacokinetics and Biopharmaceutics 15, 1987): one
against a difference of -margin or less, one against +margin or more. Equivalence takes both.
"""

import math
from collections.abc import Sequence

from scipy import special

from regexp.comparison.deciding.sample import Sample, correct_for_looks
from regexp.comparison.statistics import ALPHA, MAX_SEEDS, POWER, estimate_mean


def test_equivalence(sample: Sample, margin: float) -> float | None:
    """Return the p-value of both one-sided tests, the larger one, corrected for looks; None for a single pair.

    Args:
        sample: the differences.
        margin: the margin, in their unit.
    """
    p_values = [_correct_one_sided(sample, sign, margin) for sign in (1.0, -1.0)]
    numbers = [p_value for p_value in p_values if p_value is not None]
    return max(numbers) if len(numbers) == len(p_values) else None


def _correct_one_sided(sample: Sample, sign: float, margin: float) -> float | None:
    """Return the p-value of one side, corrected for looks.

    A one-sided test at level alpha is one side of a two-sided one at 2 alpha.
    """

    def double(differences: Sequence[float]) -> float | None:
        p_value = compute_one_sided_p_value(differences, sign, margin)
        return None if p_value is None else min(1.0, 2 * p_value)

    p_value = correct_for_looks(sample, double)
    if p_value is None or p_value < 1:
        return None if p_value is None else p_value / 2
    return 1.0 if sample.plans else compute_one_sided_p_value(sample.differences, sign, margin)


def compute_one_sided_p_value(differences: Sequence[float], sign: float, margin: float) -> float | None:
    """Return the p-value of the t test against a mean of -margin or less, or of +margin or more; None for one pair.

    Where all differences are equal, the t test has no spread, and the p-value is that of the sign-flip test.

    Args:
        differences: the differences.
        sign: 1 for the test against -margin, -1 for that against +margin.
        margin: the margin.
    """
    estimate = estimate_mean(differences) if differences else None
    if estimate is None or estimate.sd is None:
        return None
    distance = sign * estimate.mean + margin
    if not estimate.sd:
        return 2.0**-estimate.n if distance > 0 else 1.0
    return float(special.stdtr(estimate.n - 1, -distance / (estimate.sd / math.sqrt(estimate.n))))


def count_seeds_for_equivalence(difference: float, sd: float, margin: float, alpha: float = ALPHA) -> int:
    """Return the number of pairs with which both one-sided tests find equivalence with a probability of 80 %.

    Args:
        difference: the true mean of the differences.
        sd: their true standard deviation.
        margin: the margin.
        alpha: the level of each test.

    Returns:
        The smallest such number, at least 2; MAX_SEEDS + 1 stands for any number above MAX_SEEDS.
    """
    if abs(difference) >= margin:
        return MAX_SEEDS + 1
    low, high = 2, MAX_SEEDS + 1
    while low < high:  # power grows with the number of pairs
        middle = (low + high) // 2
        if _equivalence_power(difference, sd, margin, middle, alpha) >= POWER:
            high = middle
        else:
            low = middle + 1
    return low


def _equivalence_power(difference: float, sd: float, margin: float, n: int, alpha: float) -> float:
    """Return the probability that both one-sided tests of n pairs are significant, or 0 where a bound on it is below 0.

    It is at least the sum of the powers of both tests less 1 (Bonferroni's bound), which is close where it is large.
    """
    critical_value = float(special.stdtrit(n - 1, 1 - alpha))
    misses = 0.0
    for distance in (margin + difference, margin - difference):
        misses += float(special.nctdtr(n - 1, distance / (sd / math.sqrt(n)), critical_value))
    return 1 - misses if math.isfinite(misses) else 0.0
