"""Sweeps that add seeds until their verdicts are decided: hydra.sweeper.until=decided.

A round trains the seeds up to the next look of every configuration that is still open, and those of the baseline that
they are paired with. After it, a comparison of all runs so far says who needs more: the comparison that regexp-compare
shows, corrected for all looks. Nothing but the plan has to be remembered: the same command takes the same rounds again,
and rounds whose runs have finished take no time.
"""

import textwrap
from collections.abc import Callable, Iterable, Mapping, Sequence
from typing import Any

from regexp.comparison.compare import Comparison, compare_collection
from regexp.comparison.deciding.outlook import MIN_PROSPECT, find_prospect
from regexp.comparison.loading import collect_runs, format_count
from regexp.comparison.rows import Difference
from regexp.comparison.verdicts import format_verdict
from regexp.errors import RunBusy, RunError, RunQueued
from regexp.execution.launching.seed_planning import OpenSweep
from regexp.execution.terminal import Terminal
from regexp.runs.run import Run
from regexp.runs.seed_plan import SeedPlan
from regexp.utils.exit_codes import raise_failures, record_status

# The most configurations that a line of progress names.
MAX_NAMES = 6

# What trains the runs of some overrides, and returns them in order; or None where it only says what it would train.
TrainRound = Callable[[Sequence[Sequence[str]]], Sequence[Run] | None]


def train_until_decided(sweep: OpenSweep, train_round: TrainRound, terminal: Terminal) -> list[Run]:
    """Train rounds of seeds until every verdict is decided or given up, and print the table of all runs.

    Args:
        sweep: the configurations, and the plan of their seeds.
        train_round: what trains the runs of a round.
        terminal: where to print why more seeds are trained.

    Returns:
        The runs, by configuration and seed; none in a dry run.

    Raises:
        RunBusy: other processes train some of the runs of a round.
        RunError: some runs failed; the rounds have gone on, without more seeds for the configurations of these runs.
    """
    plan = sweep.plan
    _print_plan(plan, terminal)
    runs: list[dict[int, Run]] = [{} for _ in sweep.members]  # by seed, of each configuration
    goals = [plan.looks[0]] * len(sweep.members)  # the number of seeds that each configuration gets
    while True:
        wanted = [(i, seed) for i, goal in enumerate(goals) for seed in plan.seeds[:goal] if seed not in runs[i]]
        trained_runs = train_round([sweep.write_overrides(i, seed) for i, seed in wanted])
        if trained_runs is None:
            most_runs = len(sweep.members) * (plan.max_seeds - plan.looks[0])
            terminal.print_line(f"This is the first round; the others train {format_count(most_runs, 'run')} at most.")
            return []
        for (i, seed), run in zip(wanted, trained_runs, strict=True):
            runs[i][seed] = run
        all_runs = [run for by_seed in runs for run in by_seed.values()]
        if any(run.status == "unfinished" for run in all_runs):
            raise RunBusy("other processes train some of the runs, and no look can be taken before they have ended")
        failed_runs = [run for run in all_runs if run.status == "failed"]
        next_goals = goals
        if len(failed_runs) < len(all_runs):
            comparison = _compare([run for run in all_runs if run not in failed_runs], plan)
            faulty_rows = _find_faulty_rows(comparison, runs, failed_runs)
            open_rows = {i: chance for i, chance in find_open_rows(comparison, plan).items() if i not in faulty_rows}
            next_goals = _choose_goals(comparison, open_rows, runs, goals, plan)
            _print_look(comparison, open_rows, faulty_rows, max(goals), plan, terminal)
            if next_goals == goals:
                terminal.report(all_runs, finished_before=False, margin=plan.margin)
        if next_goals == goals:
            errors = [RunError(f"{run.directory.name}: {run.failure}") for run in failed_runs]
            raise_failures(errors, others_finished=len(failed_runs) < len(all_runs))
            return all_runs
        goals = next_goals


def sweep_until_decided(
    sweep: OpenSweep, launcher: Any, launch: Callable[[Sequence[Sequence[str]], int], list[Any]]
) -> list[Any]:
    """Launch rounds of jobs until every verdict is decided or given up.

    Args:
        sweep: the configurations, and the plan of their seeds.
        launcher: the launcher, which records the plan.
        launch: what launches jobs, of which it is told the number of the first, in batches.

    Returns:
        Hydra's results of each batch.
    """
    launcher.seed_plan = sweep.plan
    batches: list[Any] = []

    def launch_round(jobs: Sequence[Sequence[str]]) -> list[Run] | None:
        new_batches = launch(jobs, sum(map(len, batches)))
        batches.extend(new_batches)
        # Hydra's `return_value` would raise an error as well, but print first that the job has failed.
        objectives = [result._return_value for batch in new_batches for result in batch]
        for objective in objectives:
            if isinstance(objective, Exception):
                raise objective
        if any(objective is None for objective in objectives):  # a dry run
            return None
        return [Run(objective.directory) for objective in objectives]

    try:
        train_until_decided(sweep, launch_round, Terminal())
    except RunQueued as error:  # told already: the same command takes the look once the jobs have ended
        record_status(error.status)
    return batches


def find_open_rows(comparison: Comparison, plan: SeedPlan) -> dict[int, float]:
    """Return the rows whose verdicts are open and could be settled by more seeds.

    Args:
        comparison: the comparison of all runs so far.
        plan: the plan of the seeds.

    Returns:
        How probable it is, at most, that the seeds which are left settle a verdict, by the row's place.
    """
    differences = {i: row.difference for i, row in enumerate(comparison.rows) if row.difference is not None}
    family_size = sum(not difference.significant for difference in differences.values())
    prospects = {
        i: find_prospect(difference.sample, plan, family_size, difference.margin)
        for i, difference in differences.items()
        if not _is_decided(difference)
    }
    return {i: prospect for i, prospect in prospects.items() if prospect >= MIN_PROSPECT}


def _is_decided(difference: Difference) -> bool:
    return difference.significant or difference.equivalent


def _compare(runs: Sequence[Run], plan: SeedPlan) -> Comparison:
    """Return the comparison of the runs so far, corrected for the looks of the plan."""
    collection = collect_runs(runs, "the sweep")
    for record in collection.records:  # also where the record of the sweep could not be written
        collection.seed_plans[record.directory] = collection.seed_plans.get(record.directory, frozenset()) | {plan}
    return compare_collection(collection, margin=plan.margin)


def _choose_goals(
    comparison: Comparison,
    open_rows: Mapping[int, float],
    runs: Sequence[Mapping[int, Run]],
    goals: Sequence[int],
    plan: SeedPlan,
) -> list[int]:
    """Return the number of seeds that each configuration gets in the next round: the same where none is open.

    Args:
        comparison: the comparison of all runs so far.
        open_rows: the rows that get more seeds, by their place.
        runs: the runs of each configuration by seed.
        goals: the number of seeds of each configuration so far.
        plan: the plan of the seeds.
    """
    rows = [_find_rows(comparison, by_seed.values()) for by_seed in runs]
    next_goals = [
        next((look for look in plan.looks if look > goal), goal) if row & open_rows.keys() else goal
        for goal, row in zip(goals, rows, strict=True)
    ]
    baseline = next(i for i, row in enumerate(comparison.rows) if row is comparison.baseline)
    return [max(next_goals) if baseline in row else goal for goal, row in zip(next_goals, rows, strict=True)]


def _find_rows(comparison: Comparison, runs: Iterable[Run]) -> set[int]:
    """Return the places of the rows that hold any of these runs."""
    places = {record.directory: i for i, row in enumerate(comparison.rows) for record in row.records}
    return {places[run.directory] for run in runs if run.directory in places}


def _find_faulty_rows(
    comparison: Comparison, runs: Sequence[Mapping[int, Run]], failed_runs: Sequence[Run]
) -> set[int]:
    """Return the places of the rows whose verdicts have to wait for runs that failed.

    Args:
        comparison: the comparison of all other runs.
        runs: the runs of each configuration by seed.
        failed_runs: the runs that failed.
    """
    faulty_rows: set[int] = set()
    for by_seed in runs:
        if any(run in failed_runs for run in by_seed.values()):
            faulty_rows |= _find_rows(comparison, by_seed.values())
    if any(comparison.rows[i] is comparison.baseline for i in faulty_rows):  # all others are paired with it
        return set(range(len(comparison.rows)))
    return faulty_rows


def _print_plan(plan: SeedPlan, terminal: Terminal) -> None:
    """Print when seeds are added."""
    looks = list(map(str, plan.looks[:-1]))
    if len(looks) > MAX_NAMES:
        looks = [*looks[:3], "...", looks[-1]]
    margin = "" if plan.margin is None else f"; a difference below {plan.margin:g} does not matter"
    _print_fact(
        "seeds",
        f"are added until the verdicts are decided: looks after {', '.join(looks)} and {plan.max_seeds} seeds, with "
        f"verdicts corrected for all of them{margin}",
        terminal,
    )


def _print_look(
    comparison: Comparison,
    open_rows: Mapping[int, float],
    faulty_rows: set[int],
    num_seeds: int,
    plan: SeedPlan,
    terminal: Terminal,
) -> None:
    """Print what a look has decided, and why more seeds are trained or not.

    Args:
        comparison: the comparison of all runs so far.
        open_rows: the prospect of each row that gets more seeds, by its place.
        faulty_rows: the places of the rows whose verdicts have to wait for runs that failed.
        num_seeds: the most seeds that a configuration has.
        plan: the plan of the seeds.
        terminal: where to print.
    """
    decided: list[str] = []
    given_up: list[str] = []
    for i, row in enumerate(comparison.rows):
        if row.difference is not None and i not in open_rows and i not in faulty_rows:
            verdict = format_verdict(row.difference, comparison.metric, brief=True)
            (decided if _is_decided(row.difference) else given_up).append(f"{row.title} ({verdict})")
    total = sum(row.difference is not None for row in comparison.rows)
    _print_fact(
        "look",
        f"{plan.looks.index(num_seeds) + 1} of {len(plan.looks)}, after {num_seeds} seeds: {len(decided)} of "
        f"{format_count(total, 'verdict')} decided",
        terminal,
    )
    if decided:
        _print_fact("decided", _list_names(decided), terminal)
    if given_up:
        is_last = num_seeds == plan.max_seeds
        reason = "no seeds are left" if is_last else f"even {plan.max_seeds} seeds would hardly settle it"
        _print_fact("open", f"{_list_names(given_up)}: {reason}", terminal)
    if faulty_rows:
        names = _list_names([comparison.rows[i].title for i in sorted(faulty_rows)])
        _print_fact(
            "failed", f"runs of {names}, or of what it is paired with: the verdict has to wait for them", terminal
        )
    if open_rows:
        names = _list_names([comparison.rows[i].title for i in open_rows])
        chance = f"{100 * max(open_rows.values()):.0f} %"
        text = f"seeds for {names} and the baseline, as they may settle it (with a chance of up to {chance})"
        _print_fact("more", text, terminal)


def _print_fact(heading: str, text: str, terminal: Terminal) -> None:
    """Print a text beside its heading, in lines that fit a narrow terminal."""
    lines = textwrap.wrap(text, 70, break_long_words=False, break_on_hyphens=False)
    terminal.print_line(f"{heading:7}  " + f"\n{' ' * 9}".join(lines))


def _list_names(names: Sequence[str]) -> str:
    """Return the first names of a list, and how many more there are."""
    more = f" and {len(names) - MAX_NAMES} more" if len(names) > MAX_NAMES else ""
    return ", ".join(names[:MAX_NAMES]) + more
