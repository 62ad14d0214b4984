"""Boundaries of t tests that are repeated while seeds are added. Imports no torch.

Who tests after 3, 6 and 9 seeds, and stops at the first p-value below 5 %, raises a false alarm far more often than in
5 % of cases. An alpha-spending function says how much of the level may be spent by a look at a fraction of all seeds
(K. K. G. Lan and D. L. DeMets, Discrete sequential boundaries for clinical trials, Biometrika 70, 1983). The one here
has the shape of O'Brien and Fleming: it spends almost nothing at early looks, so that the last is nearly a usual test.

The boundaries of textbooks are those of normal statistics with a known variance. With few seeds they raise too many
false alarms, so these are computed for Student's t (after C. Jennison and B. W. Turnbull, Exact calculations for
sequential t, chi-square and F tests, Biometrika 78, 1991). Without a difference, c_n = sum(x) / sqrt(n sum(x^2)) of the
first n values, of which t_n is a function, is a Markov chain: it depends on the direction of (x_1, ..., x_n) only, and
what the next value does to it depends, beside c_n, on the length only, which is independent of the direction.
"""

from functools import cache

import numpy as np
from numpy.typing import NDArray
from scipy import special

FloatArray = NDArray[np.float64]

# The overall levels for which boundaries are computed; between them they are interpolated.
LEVELS: FloatArray = np.geomspace(1e-10, 1.0, 81)
# The edges of the cells of two-sided p-values that probability is counted in, finer where boundaries are.
_EDGES: FloatArray = np.concatenate([[0.0], np.geomspace(1e-12, 0.3, 120), np.linspace(0.3, 1.0, 41)[1:]])
# From so many pairs on, t statistics go on as normal ones, from look to look: exact steps of one pair would be so small
# that the cells blur them.
_MANY_PAIRS = 40
_SMALLEST = 1e-300


def spend_alpha(level: FloatArray, fraction: float) -> FloatArray:
    """Return how much of the level of a two-sided test may be spent by a look at this fraction of all seeds.

    It is 2 (2 - 2 Phi(z_{alpha/4} / sqrt(f))): each side spends half of the level as Lan and DeMets's alpha_1.

    Args:
        level: the overall levels [A].
        fraction: the fraction of all seeds, above 0 and up to 1.
    """
    return np.asarray(4 * special.ndtr(special.ndtri(level / 4) / np.sqrt(fraction)))


@cache
def compute_boundaries(pairs: tuple[int, ...], fractions: tuple[float, ...]) -> FloatArray:
    """Return the p-values at or below which each look of a two-sided t test decides, [looks, A] for all LEVELS.

    Args:
        pairs: the number of pairs at each look, ascending, at least 2.
        fractions: the fraction of all seeds that each look is taken at, ascending.
    """
    spent = spend_alpha(LEVELS, fractions[0])
    boundaries = [spent]
    # The probability that no look has decided and the p-value is in a cell, [A, cells].
    mass = np.clip(_EDGES[1:] - np.maximum(_EDGES[:-1], spent[:, None]), 0.0, None)
    for look in range(1, len(pairs)):
        n = pairs[look - 1]
        while n < pairs[look]:
            step = 1 if n < _MANY_PAIRS else pairs[look] - n
            mass = mass @ (_transition(n) if n < _MANY_PAIRS else _normal_transition(n, n + step))
            n += step
        below = np.concatenate([np.zeros((len(LEVELS), 1)), np.cumsum(mass, axis=1)], axis=1)  # [A, edges]
        spent_next = spend_alpha(LEVELS, fractions[look])
        boundary = np.array([_interpolate(x, below[i], _EDGES) for i, x in enumerate(spent_next - spent)])
        # What is left of the cells that a boundary cuts or covers.
        below_boundary = np.minimum(below, (spent_next - spent)[:, None])
        mass = np.maximum(np.diff(below, axis=1) - np.diff(below_boundary, axis=1), 0.0)
        boundaries.append(boundary)
        spent = spent_next
    # A smaller level never decides more: what the grid's rounding says else is left out.
    return np.minimum.accumulate(np.array(boundaries)[:, ::-1], axis=1)[:, ::-1]


def correct_p_values(p_values: FloatArray, pairs: tuple[int, ...], fractions: tuple[float, ...]) -> FloatArray:
    """Return sequential p-values: the smallest overall level at which any look so far decides.

    The probability that one falls to a level or below, at whatever look who adds seeds stops, is at most that level
    (Q. Liu and K. M. Anderson, On adaptive extensions of group sequential trials for clinical investigations, Journal
    of the American Statistical Association 103, 2008). So Holm's procedure may take them as it takes p-values.

    Args:
        p_values: two-sided p-values [..., looks].
        pairs: the number of pairs at each look, ascending, at least 2.
        fractions: the fraction of all seeds that each look is taken at, ascending.

    Returns:
        The sequential p-value after each look [..., looks].
    """
    boundaries = np.log(np.maximum(compute_boundaries(pairs, fractions), _SMALLEST))
    logs = np.log(np.maximum(p_values, _SMALLEST))
    corrected = np.stack(
        [np.interp(logs[..., look], boundaries[look], np.log(LEVELS)) for look in range(len(pairs))], axis=-1
    )
    # Rounding must not make a corrected p-value smaller than the p-value.
    corrected = np.maximum(np.exp(corrected), p_values)
    return np.asarray(np.minimum.accumulate(corrected, axis=-1))


def find_final_boundary(level: float, pairs: tuple[int, ...], fractions: tuple[float, ...]) -> float:
    """Return the p-value at or below which the last look decides.

    Args:
        level: the overall level.
        pairs: the number of pairs at each look.
        fractions: the fraction of all seeds that each look is taken at.
    """
    return _interpolate(level, LEVELS, compute_boundaries(pairs, fractions)[-1])


@cache
def _transition(n: int) -> FloatArray:
    """Return the probability of each cell after n + 1 values, given one after n, without a difference [cells, cells].

    With q = sum(x^2) of the first n values, the next is u sqrt(q), where u sqrt(n) has a t distribution with n degrees
    of freedom, and |c_{n+1}| >= c is (c_n sqrt(n) + u)^2 >= c^2 (n + 1) (1 + u^2): a quadratic inequality in u.
    """
    squares = _correlation(_EDGES, n + 1) ** 2 * (n + 1)  # [edges]
    low, high = _EDGES[:-1], _EDGES[1:]
    tails = np.zeros((len(low), len(_EDGES)))
    for place in (-(3**-0.5), 3**-0.5):  # the two points of Gauss and Legendre in each cell
        start = _correlation((low + high) / 2 + (high - low) / 2 * place, n)[:, None] * np.sqrt(n)  # [cells, 1]
        discriminant = squares * (1 + start**2 - squares)
        root = np.sqrt(np.maximum(discriminant, 0.0))
        with np.errstate(divide="ignore", invalid="ignore"):
            ends = [(-start + sign * root) / (1 - squares) for sign in (-1.0, 1.0)]
        between = np.abs(special.stdtr(n, ends[1] * np.sqrt(n)) - special.stdtr(n, ends[0] * np.sqrt(n)))
        tails += np.where(squares < 1, 1 - between, np.where(discriminant > 0, between, 0.0)) / 2
    return np.diff(tails, axis=1)


@cache
def _normal_transition(n: int, total: int) -> FloatArray:
    """Return the probability of each cell after many values, given one after n, without a difference [cells, cells].

    z after all values is normal, with the mean z_n sqrt(n / total) and the variance 1 - n / total.
    """
    ends = -special.ndtri(np.maximum(_EDGES, _SMALLEST) / 2)  # [edges]
    low, high = _EDGES[:-1], _EDGES[1:]
    tails = np.zeros((len(low), len(_EDGES)))
    for place in (-(3**-0.5), 3**-0.5):
        start = -special.ndtri(((low + high) / 2 + (high - low) / 2 * place) / 2)[:, None] * np.sqrt(n / total)
        spread = np.sqrt(1 - n / total)
        tails += (special.ndtr((start - ends) / spread) + special.ndtr((-start - ends) / spread)) / 2
    return np.diff(tails, axis=1)


def _correlation(p_value: FloatArray, n: int) -> FloatArray:
    """Return |c_n| of the two-sided p-values of t tests of n values."""
    t = -special.stdtrit(n - 1, np.clip(p_value, _SMALLEST, 1.0) / 2)
    with np.errstate(over="ignore", invalid="ignore"):
        return np.asarray(np.where(np.isfinite(t), t / np.sqrt(n - 1 + t * t), 1.0))


def _interpolate(x: float, xs: FloatArray, ys: FloatArray) -> float:
    """Return y at x on logarithmic axes, on which distribution functions are almost straight; 0 at 0."""
    if x <= 0:
        return 0.0
    logs = np.log(np.maximum(xs, _SMALLEST)), np.log(np.maximum(ys, _SMALLEST))
    return float(np.exp(np.interp(np.log(x), *logs)))
