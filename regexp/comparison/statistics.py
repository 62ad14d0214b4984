"""What figures of a few seeds allow to be said: intervals, paired tests, corrections. Imports no torch.

Of scipy only scipy.special: scipy.stats takes a second to import.
"""

import itertools
import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import TypeVar

import numpy as np
from scipy import special

LEVEL, ALPHA, POWER = 0.95, 0.05, 0.8
# Up to so many pairs all 2^n changes of sign are gone through.
FEW = 12
# Of the spread, when it is asked how many seeds would be needed.
SPREAD_LEVEL = 0.8
MOST_SEEDS = 1000
# 350/360 - 349/360 and 349/360 - 348/360 are not the same number, but the same difference.
ROUNDING = 1e-12

Key = TypeVar("Key")


@dataclass(frozen=True)
class Estimate:
    """A mean over n figures, with what is known of it.

    Attributes:
        sd: sample standard deviation (n - 1); None of a single figure.
        half: half the width of the 95 % interval of the mean, t_{n-1} sd / sqrt(n); None where there is no spread to
            estimate it from: of a single figure, or where all are the same but for rounding.
    """

    n: int
    mean: float
    sd: float | None
    half: float | None

    @property
    def interval(self) -> tuple[float, float] | None:
        """The lower and upper end of the 95 % interval."""
        return None if self.half is None else (self.mean - self.half, self.mean + self.half)


@dataclass(frozen=True)
class Paired:
    """Differences of pairs, and how surprising they would be if there were none.

    Attributes:
        estimate: of the mean difference.
        p: two-sided, by the paired t test; where all differences are the same, which gives that test no spread, by
            sign flips; None of a single pair.
        p_flips: two-sided, exact, over all 2^n changes of sign; None where there are none or more than 12 pairs.
        least: the smallest value that `p_flips` can take with so many pairs that differ.
    """

    estimate: Estimate
    p: float | None
    p_flips: float | None
    least: float | None


def estimate(values: Sequence[float]) -> Estimate:
    """Mean, standard deviation and 95 % interval (Student's t). Raises ValueError of nothing."""
    n = len(values)
    if n == 0:
        raise ValueError("there is no mean of nothing")
    mean = math.fsum(values) / n
    if n == 1:
        return Estimate(1, mean, None, None)
    if max(values) - min(values) <= ROUNDING + 1e-9 * max(map(abs, values)):
        return Estimate(n, 0.0 if abs(mean) <= ROUNDING else mean, 0.0, None)
    sd = math.sqrt(math.fsum((value - mean) ** 2 for value in values) / (n - 1))
    return Estimate(n, mean, sd, float(special.stdtrit(n - 1, (1 + LEVEL) / 2)) * sd / math.sqrt(n))


def paired(differences: Sequence[float]) -> Paired:
    """Test whether the mean of paired differences is zero. Raises ValueError of nothing."""
    mean = estimate(differences)
    flips = sign_flips(differences) if mean.n <= FEW else None
    differing = sum(abs(difference) > ROUNDING for difference in differences)
    least = min(1.0, 2.0 ** (1 - differing)) if mean.n <= FEW else None
    if mean.n == 1:
        return Paired(mean, None, None, least)
    if not mean.sd:
        return Paired(mean, flips if flips is not None else 2.0 ** (1 - mean.n) if mean.mean else 1.0, flips, least)
    t = abs(mean.mean) / (mean.sd / math.sqrt(mean.n))
    return Paired(mean, float(2 * special.stdtr(mean.n - 1, -t)), flips, least)


def sign_flips(differences: Sequence[float]) -> float:
    """Share of all 2^n changes of sign whose mean is at least as far from zero: Fisher's exact permutation test.

    (R. A. Fisher, The Design of Experiments, 1935, section 21.)
    """
    signs = np.array(list(itertools.product((1.0, -1.0), repeat=len(differences))))  # [2^n, n]
    sums = np.abs(signs @ np.asarray(differences))
    # Sums of the same numbers in other orders differ by rounding: those count as equal.
    slack = 1e-12 * math.fsum(map(abs, differences))
    return float(np.mean(sums >= sums[0] - slack))


def holm(p_values: Mapping[Key, float]) -> dict[Key, float]:
    """p-values corrected for their number: the family-wise error stays below the level (Holm 1979)."""
    corrected: dict[Key, float] = {}
    highest = 0.0
    for rank, key in enumerate(sorted(p_values, key=lambda key: p_values[key])):
        highest = max(highest, min(1.0, (len(p_values) - rank) * p_values[key]))
        corrected[key] = highest
    return corrected


def seeds_needed(difference: float, sd: float, alpha: float = ALPHA) -> int:
    """Pairs with which a paired t test at level alpha finds a true difference with a probability of 80 %.

    Args:
        difference: true mean of the differences.
        sd: their true standard deviation.

    Returns:
        The smallest such number from 2 on; MOST_SEEDS + 1 stands for more than MOST_SEEDS.
    """
    if difference == 0:
        return MOST_SEEDS + 1
    effect = abs(difference) / sd
    normal = (float(special.ndtri(1 - alpha / 2)) + float(special.ndtri(POWER))) / effect
    # The t test never needs fewer than a test that knows the spread.
    n = max(2, math.ceil(normal**2)) if normal**2 < MOST_SEEDS else MOST_SEEDS + 1
    while n <= MOST_SEEDS and power(effect, n, alpha) < POWER:
        n += 1
    return n


def power(effect: float, n: int, alpha: float = ALPHA) -> float:
    """Probability that a two-sided paired t test of n pairs is below alpha, the true mean being `effect` deviations."""
    critical = float(special.stdtrit(n - 1, 1 - alpha / 2))
    centre = effect * math.sqrt(n)
    other_side = float(special.nctdtr(n - 1, centre, -critical))
    # Far out in that tail scipy gives NaN for what is next to nothing.
    return float(1 - special.nctdtr(n - 1, centre, critical)) + (0.0 if math.isnan(other_side) else other_side)


def sd_interval(sd: float, n: int, level: float = SPREAD_LEVEL) -> tuple[float, float]:
    """Interval of the true standard deviation, where n normal figures have shown `sd` (chi-square)."""
    low, high = (math.sqrt((n - 1) / float(special.chdtri(n - 1, tail))) for tail in ((1 - level) / 2, (1 + level) / 2))
    return sd * low, sd * high


def wilson(share: float, n: int) -> tuple[float, float]:
    """95 % interval of a probability of which n independent trials have shown a share (Wilson 1927)."""
    z = float(special.ndtri((1 + LEVEL) / 2))
    centre = (share + z**2 / (2 * n)) / (1 + z**2 / n)
    half = z / (1 + z**2 / n) * math.sqrt(share * (1 - share) / n + z**2 / (4 * n**2))
    return centre - half, centre + half
