"""Main effects and two-way interactions of a full grid. Imports no torch."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from itertools import combinations, product

import numpy as np
from numpy.typing import NDArray

from regexp.comparison.rows import Difference, Row, test_differences

Figures = NDArray[np.float64]


@dataclass
class Effect:
    """Of one value of a key, or of two values of two keys beyond the sum of their effects.

    Attributes:
        values: by key; the other keys are averaged over.
        against: the values that they are compared with.
    """

    values: dict[str, str]
    against: dict[str, str]
    difference: Difference


def effects(
    cells: Sequence[Row], levels: Mapping[str, Sequence[str]], metric: str
) -> tuple[list[Effect], list[Effect]]:
    """Main effects and interactions, against the first value of each key, paired by seed, corrected as two families.

    A main effect is the mean over all combinations of the other keys; an interaction is the difference that one key
    makes with the second key's value less that which it makes with its first value.

    Args:
        cells: a row for each combination of values.
        levels: the values of each key.

    Returns none where fewer than two keys varied, or where no seed has all combinations of their values.
    """
    scores = {tuple(cell.values.values()): cell.scores.get(metric, {}) for cell in cells}
    seeds = sorted(set.intersection(*(set(own) for own in scores.values())))
    grid = list(product(*levels.values()))
    if len(levels) < 2 or len(scores) < len(grid) or not seeds:
        return [], []
    shape = (*(len(own) for own in levels.values()), len(seeds))
    cube = np.array([[scores[values][seed] for seed in seeds] for values in grid]).reshape(shape)
    keys = list(levels)

    def mean(*axes: int) -> Figures:  # [values of each of these keys, seeds]
        return np.asarray(cube.mean(axis=tuple(axis for axis in range(len(keys)) if axis not in axes)))

    found: list[tuple[dict[str, str], dict[str, str], Figures]] = []
    for a, key in enumerate(keys):
        own = mean(a)
        found += [({key: value}, {key: levels[key][0]}, own[i] - own[0]) for i, value in enumerate(levels[key]) if i]
    singles = len(found)
    for a, b in combinations(range(len(keys)), 2):
        own, (x, y) = mean(a, b), (keys[a], keys[b])
        against = {x: levels[x][0], y: levels[y][0]}
        for i, j in product(range(1, len(levels[x])), range(1, len(levels[y]))):
            contrast = own[i, j] - own[0, j] - own[i, 0] + own[0, 0]
            found.append(({x: levels[x][i], y: levels[y][j]}, against, contrast))

    def family(part: Sequence[tuple[dict[str, str], dict[str, str], Figures]]) -> list[Effect]:
        differences = test_differences([list(map(float, sample)) for _, _, sample in part])
        return [
            Effect(values, against, difference)
            for (values, against, _), difference in zip(part, differences, strict=True)
        ]

    return family(found[:singles]), family(found[singles:])
