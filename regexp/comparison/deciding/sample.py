"""Paired differences with the looks that were taken at them, and p-values corrected for these looks."""

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from functools import cached_property

import numpy as np

from regexp.comparison.deciding.boundaries import correct_p_values
from regexp.runs.seed_plan import SeedPlan


@dataclass(frozen=True)
class Look:
    """One look at a verdict while seeds were added.

    Attributes:
        num_seeds: the number of seeds that the plan had given to the rows by then.
        fraction: that number as a fraction of the most seeds that the plan allows.
        differences: the differences of the pairs, at least 2: without those of runs that diverged.
    """

    num_seeds: int
    fraction: float
    differences: tuple[float, ...]


@dataclass(frozen=True)
class Sample:
    """The differences of two rows, or an effect, for each seed.

    Attributes:
        by_seed: the difference by seed, of the seeds for which there is one.
        diverged_seeds: the seeds of which a run diverged, so that there is no difference.
        plans: the plans by which seeds were added until a verdict was decided; none: the number of seeds was fixed.
    """

    by_seed: Mapping[int, float]
    diverged_seeds: frozenset[int] = frozenset()
    plans: tuple[SeedPlan, ...] = ()

    @property
    def differences(self) -> list[float]:
        """The differences of all seeds."""
        return list(self.by_seed.values())

    @cached_property
    def looks(self) -> dict[SeedPlan, list[Look]]:
        """The looks that were taken, by plan: those whose runs have all ended."""
        return {plan: self._find_looks(plan) for plan in self.plans}

    def _find_looks(self, plan: SeedPlan) -> list[Look]:
        looks: list[Look] = []
        for num_seeds in plan.looks:
            seeds = plan.seeds[:num_seeds]
            if not all(seed in self.by_seed or seed in self.diverged_seeds for seed in seeds):
                break
            differences = tuple(self.by_seed[seed] for seed in seeds if seed in self.by_seed)
            # A look without a new pair is none: the next one may spend what it could have spent.
            if len(differences) >= 2 and (not looks or len(differences) > len(looks[-1].differences)):
                looks.append(Look(num_seeds, num_seeds / plan.max_seeds, differences))
        return looks


def correct_for_looks(sample: Sample, p_value: Callable[[Sequence[float]], float | None]) -> float | None:
    """Return a two-sided p-value of a sample that holds however often it was looked at.

    A sample that several plans have given seeds to gets the largest of their corrected p-values. Where no look has been
    taken there is no evidence yet.

    Args:
        sample: the sample.
        p_value: the test, which gives the p-value of differences.
    """
    if not sample.plans:
        return p_value(sample.differences)
    corrected = []
    for looks in sample.looks.values():
        p_values = [p_value(look.differences) for look in looks]
        sizes, fractions = tuple(len(look.differences) for look in looks), tuple(look.fraction for look in looks)
        numbers = np.array([1.0 if value is None else value for value in p_values])
        corrected.append(float(correct_p_values(numbers, sizes, fractions)[-1]) if looks else 1.0)
    return max(corrected)
