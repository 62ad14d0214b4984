"""What is asked for with hydra.sweeper.until=decided, checked before anything is trained."""

from collections.abc import Sequence
from dataclasses import dataclass

from regexp.comparison.statistics import MAX_SEEDS
from regexp.errors import ConfigError
from regexp.runs.seed_plan import SeedPlan, make_seed_plan
from regexp.utils.messages import say

DEFAULT_MAX_SEEDS = 20


@dataclass(frozen=True)
class OpenSweep:
    """The configurations of a sweep that may get more seeds.

    Attributes:
        members: the overrides of each configuration, with None in the place of the one that sets the seed.
        plan: the seeds that they may get, and when their verdicts are looked at.
    """

    members: tuple[tuple[str | None, ...], ...]
    plan: SeedPlan

    def write_overrides(self, member: int, seed: int) -> list[str]:
        """Return the overrides of a configuration with a seed."""
        return [f"seed={seed}" if override is None else override for override in self.members[member]]


def plan_seeds(jobs: Sequence[Sequence[str]], until: object, max_seeds: object, margin: object) -> OpenSweep | None:
    """Return the sweep whose first runs these are; None where its number of seeds is fixed.

    Args:
        jobs: the overrides of each run.
        until: "decided", or None for a fixed number of seeds.
        max_seeds: the most seeds of a configuration; None: DEFAULT_MAX_SEEDS.
        margin: the difference that does not matter, in the unit of the tables; None: there is none.

    Raises:
        ConfigError: an argument is wrong, or the runs are not several configurations that begin with the same seeds.
    """
    decided = _show("until", "decided")
    if until is None:
        for name, value in (("max_seeds", max_seeds), ("margin", margin)):
            if value is not None:
                raise ConfigError(f"{_show(name, value)}: applies with {decided} only; add that, or leave this out")
        return None
    if until != "decided":
        raise ConfigError(f"{_show('until', until)}: must be {say('decided', repr('decided'))}")
    most_seeds = _check_count(max_seeds)
    chosen_margin = _check_margin(margin)
    seeds_by_member: dict[tuple[str | None, ...], dict[int, None]] = {}
    for overrides in jobs:
        member, seed = _split_seed(overrides)
        seeds_by_member.setdefault(member, {})[seed] = None
    seeds = next(iter(seeds_by_member.values()))
    example = say("'seed=range(3)'", '"seed": range(3)')
    if len(seeds_by_member) < 2:
        raise ConfigError(f"{decided}: one configuration leaves nothing to decide; give a key several values")
    if any(set(member_seeds) != set(seeds) for member_seeds in seeds_by_member.values()):
        raise ConfigError(f"{decided}: all configurations must begin with the same seeds, such as {example}")
    if len(seeds) < 2:
        raise ConfigError(f"{decided}: a verdict takes two seeds at least; say which come first, such as {example}")
    if most_seeds <= len(seeds):
        raise ConfigError(
            f"{_show('max_seeds', most_seeds)}: must be more than the {len(seeds)} seeds that the sweep begins with"
        )
    return OpenSweep(tuple(seeds_by_member), make_seed_plan(list(seeds), most_seeds, chosen_margin))


def _check_count(max_seeds: object) -> int:
    """Return the most seeds of a configuration, or raise ConfigError."""
    if max_seeds is None:
        return DEFAULT_MAX_SEEDS
    if isinstance(max_seeds, bool) or not isinstance(max_seeds, int) or not 1 <= max_seeds <= MAX_SEEDS:
        raise ConfigError(f"{_show('max_seeds', max_seeds)}: must be a whole number from 1 to {MAX_SEEDS}")
    return max_seeds


def _check_margin(margin: object) -> float | None:
    """Return the margin, or raise ConfigError."""
    if margin is None:
        return None
    if isinstance(margin, bool) or not isinstance(margin, int | float) or not 0 < margin < float("inf"):
        raise ConfigError(
            f"{_show('margin', margin)}: must be a number above 0, the difference that does not matter in the unit of "
            "the tables, such as 0.2 for a fifth of a percentage point"
        )
    return float(margin)


def _show(name: str, value: object) -> str:
    """Return an argument as it is typed: "hydra.sweeper.until=decided", or "until='decided'" in Python."""
    return say(f"hydra.sweeper.{name}={value}", f"{name}={value!r}")


def _split_seed(overrides: Sequence[str]) -> tuple[tuple[str | None, ...], int]:
    """Return the overrides of a run with None in the place of its seed, and the seed."""
    member: list[str | None] = list(overrides)
    places = [i for i, override in enumerate(overrides) if override.lstrip("+").startswith("seed=")]
    if not places:
        return (*member, None), 0
    text = overrides[places[-1]]
    for place in places:
        member[place] = None
    try:
        return tuple(member), int(text.partition("=")[2])
    except ValueError:
        raise ConfigError(f"{text}: seed must be a whole number") from None
