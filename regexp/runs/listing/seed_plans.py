"""Plans of the sweeps whose seeds were added until they were decided, as their records keep them. Imports no torch."""

import json
from collections.abc import Iterable, Sequence
from pathlib import Path

from regexp.errors import ConfigError
from regexp.runs.run_record import READ_ERRORS, describe_error
from regexp.runs.seed_plan import SeedPlan, read_seed_plan
from regexp.utils.atomic_io import read_text
from regexp.utils.messages import say

# The key of a plan in the record of its sweep.
SEED_PLAN = "seed_plan"


def find_seed_plans(experiments: Iterable[Path]) -> tuple[dict[Path, set[SeedPlan]], list[str]]:
    """Return the plans that runs were trained by, by the resolved directory of the run.

    Args:
        experiments: the directories outputs/NAME, which hold runs and the records of sweeps.

    Returns:
        The plans; a message for each record that has one and is broken.
    """
    plans: dict[Path, set[SeedPlan]] = {}
    problems = []
    for experiment in dict.fromkeys(experiments):
        for file in sorted((experiment / "sweeps").glob("*.json")):
            try:
                text = read_text(file)
                if f'"{SEED_PLAN}"' not in text:  # most sweeps have none, and a thousand members
                    continue
                record = json.loads(text)
                plan = read_seed_plan(record[SEED_PLAN])
                for member in record["members"]:
                    plans.setdefault((experiment / member["directory"]).resolve(), set()).add(plan)
            except (OSError, *READ_ERRORS) as error:
                problems.append(describe_error(error, file))
    return plans, problems


def refuse_another_schedule(plan: SeedPlan, directories: Sequence[Path]) -> None:
    """Raise ConfigError if runs were looked at by a plan with other seeds or looks.

    What verdicts may spend of the level is spent by the looks of the first plan.

    Args:
        plan: the plan that is asked for.
        directories: the directories of the runs.
    """
    plans, _ = find_seed_plans(directory.parent for directory in directories)
    for directory in directories:
        for other in plans.get(directory.resolve(), ()):
            if not other.has_schedule_of(plan):
                raise ConfigError(_describe_conflict(directory, other, plan))


def _describe_conflict(directory: Path, first_plan: SeedPlan, plan: SeedPlan) -> str:
    """Return why a run cannot be looked at by another plan than its first, and what to do instead."""
    count, most = first_plan.looks[0], first_plan.max_seeds
    start = max(*first_plan.seeds, *plan.seeds) + 1
    same = say(f"hydra.sweeper.max_seeds={most}", f"max_seeds={most}")
    seeds = f"range({start},{start + plan.looks[0]})"
    other = say(f"name=NAME 'seed={seeds}'", f'name="NAME" and "seed": {seeds}')
    return (
        f"{directory}: its verdict was looked at by a plan of {count} seeds at first and {most} at most, and a plan "
        f"cannot change after a look. Begin with those {count} seeds and {same}, or anew with other seeds: {other}"
    )
