"""The outlook of a verdict that is open: could the seeds that a plan still allows settle it?

To stop for want of a prospect never raises a false alarm. It may miss a difference, so it is done late: the prospect is
that of the most favourable difference within an interval of the estimate.
"""

import math

from scipy import special

from regexp.comparison.deciding.boundaries import find_final_boundary
from regexp.comparison.deciding.sample import Sample
from regexp.comparison.statistics import ALPHA, estimate_mean
from regexp.runs.seed_plan import SeedPlan

# The confidence level of the interval from which the most favourable difference is taken.
INTERVAL_LEVEL = 0.8
# A verdict that all seeds would settle with a smaller probability is given up.
MIN_PROSPECT = 0.1


def find_prospect(sample: Sample, plan: SeedPlan, family_size: int, margin: float | None) -> float:
    """Return the probability that the seeds which a plan still allows will settle a verdict, at most.

    It is the conditional power of the last look (K. K. G. Lan and J. Wittes, The B-value, Biometrics 44, 1988) for the
    difference within the 80 % interval of the estimate that makes it largest, with the spread seen so far.

    Args:
        sample: the differences so far.
        plan: the plan.
        family_size: the number of verdicts that are still corrected together.
        margin: the difference that does not matter, in the unit of the sample; None: only a difference is a verdict.

    Returns:
        The probability; 1 where nothing is known yet, 0 where no seed is left.
    """
    looks = sample.looks[plan]
    if not looks:
        has_pairs = any(seed in sample.by_seed for seed in plan.seeds)
        return 1.0 if has_pairs or not sample.diverged_seeds else 0.0
    last, seeds_left = looks[-1], [seed for seed in plan.seeds if not _has_ended(sample, seed)]
    if not seeds_left:
        return 0.0
    n = len(last.differences)
    estimate = estimate_mean(last.differences)
    total = n + len(seeds_left)
    fractions = (*(look.fraction for look in looks), 1.0)
    pairs = (*(len(look.differences) for look in looks), total)
    if not estimate.sd:  # equal differences: what they show will not change
        settles = estimate.mean != 0 or (margin is not None and abs(estimate.mean) < margin)
        return 1.0 if settles else 0.0

    def half_width(level: float) -> float:
        """Return how far from zero, or from the margin, the mean of all seeds must be at a two-sided level."""
        boundary = find_final_boundary(level, pairs, fractions)
        return -float(special.stdtrit(total - 1, boundary / 2)) * spread / math.sqrt(total)

    spread = estimate.sd
    reach = float(special.stdtrit(n - 1, (1 + INTERVAL_LEVEL) / 2)) * spread / math.sqrt(n)
    low, high = estimate.mean - reach, estimate.mean + reach
    level = ALPHA / family_size
    share, noise = n / total, spread * math.sqrt(total - n) / total  # of the mean of all seeds

    def probability_below(bound: float, difference: float) -> float:
        """Return the probability that the mean of all seeds is below a bound, given the difference of the rest."""
        return float(special.ndtr((bound - share * estimate.mean - (1 - share) * difference) / noise))

    needed = half_width(level)
    prospects = [probability_below(-needed, low), 1 - probability_below(needed, high)]
    if margin is not None:
        room = margin - half_width(2 * level)
        best = min(max(0.0, low), high)  # the difference within the interval that is nearest to zero
        prospects.append(probability_below(room, best) - probability_below(-room, best) if room > 0 else 0.0)
    return max(prospects)


def _has_ended(sample: Sample, seed: int) -> bool:
    return seed in sample.by_seed or seed in sample.diverged_seeds
