"""Main effects and two-way interactions of a full grid. Imports no torch."""

import itertools
import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from itertools import product

import numpy as np
from numpy.typing import NDArray

from regexp.comparison.deciding.sample import Sample
from regexp.comparison.rows import Difference, Row, test_differences

FloatArray = NDArray[np.float64]


@dataclass
class Effect:
    """A main effect of one key's value, or an interaction: the effect of two keys' values beyond the sum of both.

    Attributes:
        values: the values whose effect this is, by key; the other keys are averaged over.
        reference: the values that they are compared with, by key.
        difference: the size of the effect, with its test.
    """

    values: dict[str, str]
    reference: dict[str, str]
    difference: Difference


@dataclass
class _Contrast:
    """The effect of values, not tested yet.

    Attributes:
        values: the values whose effect this is, by key.
        reference: the values that they are compared with, by key.
        sample: the effect for each seed [seeds].
    """

    values: dict[str, str]
    reference: dict[str, str]
    sample: FloatArray


def estimate_effects(
    cells: Sequence[Row], levels: Mapping[str, Sequence[str]], metric: str, margin: float | None = None
) -> tuple[list[Effect], list[Effect]]:
    """Return the main effects and two-way interactions of a full grid.

    Effects are differences to the first value of each key, paired by seed. A main effect is the mean over all
    combinations of the other keys. An interaction is the difference that one key makes with the second key's value
    minus the difference that it makes with the second key's first value. P-values are corrected within the main
    effects and within the interactions.

    Args:
        cells: a row for each combination of values.
        levels: the values of each key.
        metric: the name of the metric.
        margin: the difference that does not matter, in the metric's unit; None: there is none.

    Returns:
        Main effects and interactions; none where fewer than two keys varied, where a combination of values is missing,
        or where no seed has all combinations.
    """
    scores = {tuple(cell.values.values()): cell.scores.get(metric, {}) for cell in cells}
    seeds = sorted(set.intersection(*(set(by_seed) for by_seed in scores.values())))
    # Counted, not listed: the values of many keys have more combinations than fit in memory.
    if len(levels) < 2 or len(scores) < math.prod(map(len, levels.values())) or not seeds:
        return [], []
    combinations = list(product(*levels.values()))
    keys = list(levels)
    shape = (*map(len, levels.values()), len(seeds))
    grid = np.array([[scores[values][seed] for seed in seeds] for values in combinations]).reshape(shape)

    def marginal_means(*axes: int) -> FloatArray:  # [values of each of these keys, seeds]
        other_axes = tuple(axis for axis in range(len(keys)) if axis not in axes)
        return np.asarray(grid.mean(axis=other_axes))

    main_effects = []
    for axis, key in enumerate(keys):
        means = marginal_means(axis)
        for i, value in enumerate(levels[key]):
            if i > 0:
                main_effects.append(_Contrast({key: value}, {key: levels[key][0]}, means[i] - means[0]))
    interactions = []
    for (axis, key), (other_axis, other_key) in itertools.combinations(enumerate(keys), 2):
        means = marginal_means(axis, other_axis)
        reference = {key: levels[key][0], other_key: levels[other_key][0]}
        for i, j in product(range(1, len(levels[key])), range(1, len(levels[other_key]))):
            values = {key: levels[key][i], other_key: levels[other_key][j]}
            sample = means[i, j] - means[0, j] - means[i, 0] + means[0, 0]
            interactions.append(_Contrast(values, reference, sample))
    diverged_seeds = frozenset(seed for cell in cells for seed in cell.diverged_seeds)
    plans = tuple({plan for cell in cells for plan in cell.plans})

    def test_contrasts(contrasts: Sequence[_Contrast]) -> list[Effect]:
        """Test contrasts, with p-values corrected for all of them together."""
        samples = [
            Sample(dict(zip(seeds, map(float, contrast.sample), strict=True)), diverged_seeds, plans)
            for contrast in contrasts
        ]
        return _make_effects(contrasts, test_differences(samples, margin))

    return test_contrasts(main_effects), test_contrasts(interactions)


def _make_effects(contrasts: Sequence[_Contrast], differences: Sequence[Difference]) -> list[Effect]:
    """Return contrasts that have been tested."""
    return [
        Effect(contrast.values, contrast.reference, difference)
        for contrast, difference in zip(contrasts, differences, strict=True)
    ]
