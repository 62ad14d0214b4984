"""The summary of a search for a terminal: its best trials in a table, and what to make of them."""

from collections.abc import Iterator, Sequence

import optuna

from regexp.comparison.formats.text_table import TextTable
from regexp.search.findings import (
    MAX_BEST,
    FoundTrial,
    count_outcomes,
    find_best_trials,
    find_first_failure,
    format_counts,
    format_estimate,
)
from regexp.search.outcomes import COMPLETE, FAILED, PRUNED


def describe_study(study: optuna.Study) -> str:
    """Return what a study has searched for, and how its trials ended, in a line."""
    counts = count_outcomes(study)
    goals = " and ".join(
        f"{direction.name.lower()} {name}"
        for direction, name in zip(study.directions, study.metric_names or [], strict=True)
    )
    return f"{sum(counts.values())} trials to {goals}: {format_counts(counts) or 'none has ended'}"


def tabulate_best(study: optuna.Study, count: int = MAX_BEST) -> TextTable:
    """Return a table of the best trials, best first, with the intervals of their objectives over the seeds."""
    trials = find_best_trials(study, count)
    keys = tuple(dict.fromkeys(key for trial in trials for key in _list_options(trial)))
    names = study.metric_names or []
    rows = []
    for trial in trials:
        options = _list_options(trial)
        figures = [format_estimate(name, estimate) for name, estimate in zip(names, trial.estimates, strict=True)]
        rows.append([*(options.get(key, "-") for key in keys), str(trial.number), *figures])
    best = "best trials" if len(study.directions) == 1 else "trials that none beats in all objectives"
    return TextTable(best, [*keys, "trial", *names], rows, keys=keys, text_columns=len(keys))


def list_warnings(study: optuna.Study, is_confirmed: bool = False) -> Iterator[str]:
    """Yield what a reader of the best trials must know.

    Args:
        study: the study.
        is_confirmed: whether its best have been trained with other seeds.
    """
    counts = count_outcomes(study)
    trials = find_best_trials(study, 1)
    if not counts.get(COMPLETE):
        if reason := find_first_failure(study):
            yield f"No trial has ended well; the first one that failed: {reason}."
        return
    if len(study.get_trials(deepcopy=False)) > counts.get(FAILED, 0) + counts[COMPLETE] + counts.get(PRUNED, 0):
        yield "Some trials have not ended: the same command goes on with them."
    honest = "those of the comparison that follows" if is_confirmed else "what hydra.sweeper.confirm=10 is for"
    num_trials = counts[COMPLETE] + counts.get(PRUNED, 0)
    yield (
        f"The best of {num_trials} trials looks better than it is: chance has chosen it too, and its interval "
        f"does not account for that. Its figures with seeds that the search has not seen are the honest ones: {honest}."
    )
    if trials and trials[0].estimates[0].n == 1:
        yield "With one seed a trial there is no interval (hydra.sweeper.n_seeds=3)."
    if any(name.startswith("test_") for name in study.metric_names or []):
        yield "The test set has chosen the best trial, so no figure on it is a test any more."


def _list_options(trial: FoundTrial) -> dict[str, str]:
    """Return what a trial has beside what all share, by key."""
    return {key.lstrip("+"): value for key, _, value in (override.partition("=") for override in trial.overrides)}


def list_best_overrides(study: optuna.Study, count: int) -> list[Sequence[str]]:
    """Return the overrides of the best trials, without those that all trials share, best first."""
    return [trial.overrides for trial in find_best_trials(study, count)]
