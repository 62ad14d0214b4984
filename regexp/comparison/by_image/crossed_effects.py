"""Statistics of differences that are measured for each seed and each image. Imports no torch.

The difference d[s, i] between two configurations for seed s and image i is modelled with crossed random effects,

    d[s, i] = delta + a[s] + b[i] + e[s, i],

where seeds and images are samples, and delta is the difference in expectation over both: over trainings, and over the
population of images. The terms are uncorrelated, with variances A, B and E, whatever their distributions. With S seeds
and N images the mean of all d[s, i] has the variance A/S + B/N + E/(S N). The mean squares of the two-way table without
replication estimate its parts without bias (H. Scheffé, The Analysis of Variance, 1959, chapter 7):

    over seeds, for these images     MS_seeds / (S N)                     estimates A/S + E/(S N)
    the test set's part              (MS_images - MS_residual) / (S N)    estimates B/N

The first is the variance of the mean over seeds that a paired t test uses. More seeds do not reduce the second one.
"""

import math
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray
from scipy import special

from regexp.comparison.statistics import ALPHA, CONFIDENCE_LEVEL, ROUNDING_ERROR

Floats = NDArray[np.float64]

# The largest sum of absolute differences, in units, for which the distribution of the sign-flip test is computed. For
# a pair of networks it is the number of images that only one of them classifies correctly.
MAX_EXACT_SUM = 2000


@dataclass(frozen=True)
class ImageDifference:
    """A difference between two configurations on S seeds and N images, and its uncertainty.

    Attributes:
        num_seeds: the number of seeds, S.
        num_images: the number of images, N.
        mean: the mean over both.
        seeds_half_width: half the width of the 95 % interval over seeds, for these images; None without spread.
        images_half_width: half the width of the 95 % interval that the choice of the images alone gives. With several
            seeds it is that of the test set's part, and with one seed that of the difference of two networks.
        half_width: half the width of the 95 % interval over both; None where there is none over seeds.
        p_value: the two-sided p-value over both, which belongs to that interval; None likewise.
        images_p_value: the two-sided p-value over images, for the trained networks: McNemar's test of one pair.
        pair_p_values: the same for each pair of networks, by seed.
    """

    num_seeds: int
    num_images: int
    mean: float
    seeds_half_width: float | None
    images_half_width: float
    half_width: float | None
    p_value: float | None
    images_p_value: float
    pair_p_values: dict[int, float]

    @property
    def num_significant_pairs(self) -> int:
        """The number of pairs of networks that differ at 5 %, each tested on its own."""
        return sum(p_value <= ALPHA for p_value in self.pair_p_values.values())


def analyse_differences(differences: dict[int, Floats], unit: float | None) -> ImageDifference:
    """Return the mean of differences for each seed and image, with intervals over seeds, over images and over both.

    The half width over both is sqrt(t_S^2 V_S + t_N^2 V_N), of the two parts of the variance and the quantiles of t
    with S - 1 and N - 1 degrees of freedom. Its level is at least the nominal one, also where S is 2 (S. K. Banerjee,
    Approximate confidence interval for linear functions of means of k populations when the population variances are
    not equal, Sankhya 22, 1960).

    Args:
        differences: the differences of the images, [N], by seed; N is at least 2.
        unit: the number of which each difference is a whole multiple; None if there is none.
    """
    table = np.stack(list(differences.values()))  # [S, N]
    num_seeds, num_images = table.shape
    mean = float(table.mean())
    seed_variance, image_variance = estimate_variances(table)
    image_t = float(special.stdtrit(num_images - 1, (1 + CONFIDENCE_LEVEL) / 2))
    images_half_width = image_t * math.sqrt(image_variance)
    seeds_half_width, half_width, p_value = None, None, None
    if seed_variance is not None and math.sqrt(seed_variance) > ROUNDING_ERROR:
        seed_t = float(special.stdtrit(num_seeds - 1, (1 + CONFIDENCE_LEVEL) / 2))
        seeds_half_width = seed_t * math.sqrt(seed_variance)
        half_width = math.hypot(seeds_half_width, images_half_width)
        p_value = _combined_p_value(mean, seed_variance, image_variance, num_seeds, num_images)
    return ImageDifference(
        num_seeds=num_seeds,
        num_images=num_images,
        mean=mean,
        seeds_half_width=seeds_half_width,
        images_half_width=images_half_width,
        half_width=half_width,
        p_value=p_value,
        images_p_value=compute_images_p_value(table.sum(0), unit),
        pair_p_values={seed: compute_images_p_value(row, unit) for seed, row in differences.items()},
    )


def estimate_variances(table: Floats) -> tuple[float | None, float]:
    """Return the two parts of the variance of the mean of differences: over seeds for these images, and of the images.

    Args:
        table: [S, N]. With a single seed there is no first part, and the second one is that of two networks.
    """
    num_seeds, num_images = table.shape
    image_means = table.mean(0)  # [N]
    image_variance = float(image_means.var(ddof=1)) / num_images if num_images > 1 else 0.0
    if num_seeds == 1:
        return None, image_variance
    seed_means = table.mean(1)  # [S]
    residuals = table - seed_means[:, None] - image_means + table.mean()
    residual_variance = float((residuals**2).sum()) / ((num_seeds - 1) * max(1, num_images - 1))
    seed_variance = float(seed_means.var(ddof=1)) / num_seeds
    return seed_variance, max(0.0, image_variance - residual_variance / (num_seeds * num_images))


def compute_images_p_value(differences: Floats, unit: float | None) -> float:
    """Return the two-sided p-value of differences over images, for trained networks that are given.

    If it makes no difference which configuration is which, each image's difference has either sign with probability
    1/2, for all seeds together. For a pair of networks this is McNemar's test in its exact, binomial form (Q. McNemar,
    Note on the sampling error of the difference between correlated proportions or percentages, Psychometrika 12, 1947);
    for several pairs on the same images it is that for clusters (V. Durkalski et al., Analysis of clustered
    matched-pair data, Statistics in Medicine 22, 2003). Where there is a unit, and the sum of absolute differences is
    at most MAX_EXACT_SUM units, the distribution is exact. Otherwise sum(d) / sqrt(sum(d^2)) is taken for normal.

    Args:
        differences: [N], the sum over seeds of the difference for each image.
        unit: the number of which each difference is a whole multiple; None if there is none.
    """
    nonzero = np.abs(differences[np.abs(differences) > ROUNDING_ERROR])
    if not nonzero.size:
        return 1.0
    observed = abs(float(differences.sum()))
    if unit is None or nonzero.sum() > MAX_EXACT_SUM * unit:
        return float(2 * special.ndtr(-observed / math.sqrt(float((nonzero**2).sum()))))
    sizes, counts = np.unique((nonzero / unit).round().astype(np.int64), return_counts=True)
    # The sum of all differences is twice that of the positive ones, less that of all absolute ones.
    distribution = np.ones(1)  # of the sum of the positive differences, in units
    for size, count in zip(sizes, counts, strict=True):
        of_size = np.zeros(count * size + 1)
        of_size[::size] = _binomial_distribution(count)
        distribution = np.convolve(distribution, of_size)
    sums = 2 * np.arange(len(distribution)) - (len(distribution) - 1)
    return float(min(1.0, distribution[np.abs(sums) >= observed / unit - 0.5].sum()))


def _binomial_distribution(count: int) -> Floats:
    """Return the probability of each number of heads of so many coins, [count + 1]."""
    heads = np.arange(count + 1)
    logarithms = special.gammaln(count + 1) - special.gammaln(heads + 1) - special.gammaln(count - heads + 1)
    probabilities: Floats = np.exp(logarithms - count * math.log(2))
    return probabilities


def _combined_p_value(
    mean: float, seed_variance: float, image_variance: float, num_seeds: int, num_images: int
) -> float:
    """Return the smallest level at which the interval over both does not hold zero, by bisection.

    Args:
        mean: the mean difference.
        seed_variance: its variance over seeds.
        image_variance: its variance over images.
        num_seeds: the number of seeds.
        num_images: the number of images.
    """
    low, high = 0.0, 0.5  # of the tail; the interval holds zero with `low`
    for _ in range(60):
        tail = (low + high) / 2
        seed_t, image_t = special.stdtrit(num_seeds - 1, tail), special.stdtrit(num_images - 1, tail)
        if seed_t**2 * seed_variance + image_t**2 * image_variance > mean**2:
            low = tail
        else:
            high = tail
    return 2 * high
