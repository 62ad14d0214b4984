"""The plan of a sweep whose seeds are added until its verdicts are decided. Imports no torch."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any


@dataclass(frozen=True)
class SeedPlan:
    """The seeds that a sweep may train, and the numbers of seeds after which it looks at its verdicts.

    It is chosen before the first run and kept in the record of the sweep: who looks at a verdict several times, and
    stops when it pleases, must correct for all the looks that could have been taken.

    Attributes:
        seeds: the seeds in the order in which they are trained.
        looks: the numbers of seeds at the looks, ascending; the last is the number of seeds.
        margin: the difference that does not matter, in the unit of the tables; None: there is none.
    """

    seeds: tuple[int, ...]
    looks: tuple[int, ...]
    margin: float | None = None

    @property
    def max_seeds(self) -> int:
        """The most seeds that a configuration may have."""
        return len(self.seeds)

    def has_schedule_of(self, other: "SeedPlan") -> bool:
        """Return whether another plan has the same seeds and looks; the margin changes no schedule."""
        return (self.seeds, self.looks) == (other.seeds, other.looks)

    def to_record(self) -> dict[str, Any]:
        """Return the plan as plain values."""
        return {"until": "decided", "seeds": list(self.seeds), "looks": list(self.looks), "margin": self.margin}


def make_seed_plan(first_seeds: Sequence[int], max_seeds: int, margin: float | None = None) -> SeedPlan:
    """Return the plan that adds as many seeds at a time as it begins with.

    Args:
        first_seeds: the seeds that all configurations begin with; the others are the numbers above the largest.
        max_seeds: the most seeds of a configuration, more than the first ones.
        margin: the difference that does not matter, in the unit of the tables.
    """
    step, next_seed = len(first_seeds), max(first_seeds) + 1
    seeds = [*first_seeds, *range(next_seed, next_seed + max_seeds - step)]
    return SeedPlan(tuple(seeds), (*range(step, max_seeds, step), max_seeds), margin)


def read_seed_plan(record: Mapping[str, Any]) -> SeedPlan:
    """Return the plan of its plain values.

    Raises:
        LookupError, TypeError, ValueError: the values are no plan.
    """
    seeds, looks, margin = record["seeds"], record["looks"], record.get("margin")
    plan = SeedPlan(tuple(map(int, seeds)), tuple(map(int, looks)), None if margin is None else float(margin))
    if not looks or sorted(set(looks)) != list(looks) or looks[-1] != len(set(seeds)) or looks[0] < 1:
        raise ValueError(f"looks={looks} do not lead to the number of seeds")
    return plan
