"""The confirmation of a search: its best configurations and the default one with seeds that it has not seen."""

from collections.abc import Callable, Sequence
from pathlib import Path

from optuna import Study

from regexp.comparison.compare import compare_collection
from regexp.comparison.formats.terminal import Report
from regexp.comparison.loading import collect_runs
from regexp.config.job import Job
from regexp.execution.launcher import begin_sweep
from regexp.execution.searching.search_plan import SearchPlan
from regexp.execution.terminal import Terminal
from regexp.runs.run import Run
from regexp.runs.run_record import RunRecord
from regexp.search.objectives import MAXIMIZE
from regexp.search.outcomes import judge_trial
from regexp.search.summary import list_best_overrides

# So many of the best configurations are confirmed: more would need more seeds for the same certainty.
BEST_COUNT = 3


def confirm(
    plan: SearchPlan,
    study: Study,
    study_file: Path,
    terminal: Terminal,
    train: Callable[[Sequence[Job]], Sequence[RunRecord | None]],
) -> Sequence[str] | None:
    """Train the best configurations and the default one with new seeds, and print how they compare.

    Args:
        plan: the plan of the search.
        study: its study, which has ended.
        study_file: the file of the study.
        terminal: where to print.
        train: trains jobs.

    Returns:
        The overrides of the one that has the best objective with the new seeds, beside those that all share; None where
        nothing is confirmed.
    """
    start = plan.seeds.stop
    seeds = range(start, start + plan.settings.num_confirming_seeds)
    best = list_best_overrides(study, BEST_COUNT)
    default_jobs, problem = plan.compose_trial(plan.space.fixed, seeds)
    if not best:
        return None
    if problem:
        terminal.print_line(f"Nothing is confirmed, because the default configuration cannot be trained: {problem}")
        return None
    begin_sweep().search = {"study": study_file.name, "confirms": True}
    jobs = [*default_jobs]
    for overrides in best:
        jobs += plan.compose_trial([*plan.space.fixed, *overrides], seeds)[0]
    count = "the best configuration" if len(best) == 1 else f"the best {len(best)} configurations"
    terminal.print_line(f"confirm  {count} and the default one, with the seeds {seeds.start} to {seeds.stop - 1}")
    records = train(jobs)
    directories = [record.directory for record in records if record is not None]
    title = "Confirmed with seeds new to the search, against the default configuration:"
    comparison = compare_collection(collect_runs([Run(directory) for directory in directories], title))
    terminal.console.print()
    terminal.print_line(title)
    Report(terminal.console).print_overview(comparison)
    terminal.console.print()
    objective, means = plan.objectives[0], []
    for number, overrides in enumerate(best, 1):  # the default one comes first
        of_configuration = records[number * len(seeds) : (number + 1) * len(seeds)]
        outcome = judge_trial([record for record in of_configuration if record], len(seeds), plan.objectives)
        if outcome.values:
            means.append((outcome.values[0], overrides))
    choose = max if objective.direction == MAXIMIZE else min
    return choose(means)[1] if means else None
