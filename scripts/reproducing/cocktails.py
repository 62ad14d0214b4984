"""Combinations of regularizers, cocktails, against each of their regularizers alone.

All combinations are trained on each data set. The one with the best validation accuracy there is the data set's
cocktail, even if it has one regularizer or none (Kadra et al. 2021 search for it, also by validation).
"""

from collections import defaultdict
from collections.abc import Mapping, Sequence
from dataclasses import replace
from statistics import mean
from typing import NamedTuple

from regexp import Run
from regexp.comparison.statistics import ALPHA, Estimate, adjust_p_values, estimate_mean, paired_test
from regexp.runs.run_record import read_run_record
from reproducing.experiment import Experiment, Values
from reproducing.selection import Selection
from reproducing.tables import MEAN, Row, Table, make_table, split_runs

_COCKTAIL = "cocktail chosen by validation"


class Combination(NamedTuple):
    """The runs of a combination of regularizers on a data set.

    Attributes:
        name: the values of the keys that it switches on; "none" for none.
        size: how many regularizers it switches on.
        runs: its runs.
    """

    name: str
    size: int
    runs: list[Run]


def make_cocktail_tables(experiment: Experiment, selection: Selection) -> list[Table]:
    """Return the comparison for each data set, and that of the means over data sets.

    Rows are the network without regularizers, each regularizer alone, all of them together, and the cocktail.

    Args:
        experiment: the experiment, whose baseline has every regularizer off.
        selection: its runs.
    """
    tables = []
    errors: dict[str, list[Mapping[int, float]]] = defaultdict(list)  # by row, those of each data set by seed
    for value, (runs, values) in split_runs(experiment, selection):
        combinations = _combine(experiment, runs, values)
        cocktail = max(combinations, key=_validate)
        compared = [item for item in combinations if item.size in (0, 1, len(experiment.baseline)) or item == cocktail]
        members = {str(run.directory) for item in compared for run in item.runs}
        kept = [
            (run, run_values) for run, run_values in zip(runs, values, strict=True) if str(run.directory) in members
        ]
        table = make_table(experiment, value, [run for run, _ in kept], [run_values for _, run_values in kept])
        tables.append(_name_rows(experiment, table, cocktail))
        for item in compared:
            if item.size in (0, 1, len(experiment.baseline)):
                errors[_name(experiment, item)].append(_read_errors(item.runs))
        errors[_COCKTAIL].append(_read_errors(cocktail.runs))
    return [*tables, Table(MEAN, _compare_means(errors))]


def _combine(experiment: Experiment, runs: Sequence[Run], values: Sequence[Values]) -> list[Combination]:
    """Return the combinations of regularizers that runs were trained with."""
    members: dict[str, Combination] = {}
    for run, run_values in zip(runs, values, strict=True):
        levels = _list_levels(experiment, run_values)
        name = ", ".join(levels) or "none"
        members.setdefault(name, Combination(name, len(levels), [])).runs.append(run)
    return list(members.values())


def _list_levels(experiment: Experiment, values: Values) -> list[str]:
    """Return the regularizers that are on, as overrides."""
    return [f"{key}={values[key]}" for key, off in experiment.baseline.items() if values.get(key, off) != off]


def _validate(combination: Combination) -> tuple[float, float]:
    """Return the mean validation accuracy, and the mean validation loss, negative, for those that are equal in it."""
    figures = [read_run_record(run).metric_values for run in combination.runs]
    accuracies = [run_figures.get("val_accuracy", 0.0) for run_figures in figures]
    return mean(accuracies), -mean(run_figures.get("val_loss", float("inf")) for run_figures in figures)


def _read_errors(runs: Sequence[Run]) -> dict[int, float]:
    """Return the test errors of runs, in percent, by seed."""
    accuracies = {int(run.config["seed"]): read_run_record(run).metric_values.get("test_accuracy") for run in runs}
    return {seed: 100 * (1 - accuracy) for seed, accuracy in accuracies.items() if accuracy is not None}


def _name(experiment: Experiment, combination: Combination) -> str:
    """Return the name of a combination in a table."""
    return "all together" if combination.size == len(experiment.baseline) else combination.name


def _name_rows(experiment: Experiment, table: Table, cocktail: Combination) -> Table:
    """Return a table whose rows are named by the regularizers that are on, and whose cocktail is marked."""
    rows = []
    for row in table.rows:
        levels = _list_levels(experiment, row.values)
        combination = Combination(", ".join(levels) or "none", len(levels), [])
        label = _name(experiment, combination)
        rows.append(replace(row, label=f"{_COCKTAIL}: {label}" if combination.name == cocktail.name else label))
    return Table(table.value, rows)


def _compare_means(errors: Mapping[str, Sequence[Mapping[int, float]]]) -> list[Row]:
    """Return rows with the means over data sets, compared with the cocktail.

    Args:
        errors: the test errors of each row by seed, on each data set.
    """
    scores = {name: _average(errors_of_sets) for name, errors_of_sets in errors.items()}
    scores = {name: row_scores for name, row_scores in scores.items() if row_scores}  # not all seeds diverged
    cocktail = scores.get(_COCKTAIL, {})
    tests = {}
    for name, row_scores in scores.items():
        if name != _COCKTAIL and (seeds := [seed for seed in row_scores if seed in cocktail]):
            tests[name] = paired_test([row_scores[seed] - cocktail[seed] for seed in seeds])
    p_values = {name: test.p_value for name, test in tests.items()}
    adjusted = adjust_p_values({name: p_value for name, p_value in p_values.items() if p_value is not None})
    rows = []
    for name, row_scores in scores.items():
        estimate, test = estimate_mean(list(row_scores.values())), tests.get(name)
        rows.append(
            Row(
                values={"regularizer": name},
                label=name,
                seeds=estimate.n,
                runs=estimate.n,
                error=estimate.mean,
                half_width=estimate.half_width,
                published=None,
                target=None,
                difference=None if test is None else test.estimate.mean,
                difference_half_width=None if test is None else test.estimate.half_width,
                p_value=adjusted.get(name),
                verdict="baseline" if test is None else _judge(test.estimate, adjusted.get(name)),
            )
        )
    return rows


def _average(errors_of_sets: Sequence[Mapping[int, float]]) -> dict[int, float]:
    """Return the mean over data sets of the errors of each seed that all of them have."""
    seeds = set.intersection(*(set(errors) for errors in errors_of_sets))
    return {seed: mean(errors[seed] for errors in errors_of_sets) for seed in sorted(seeds)}


def _judge(difference: Estimate, p_value: float | None) -> str:
    """Return the verdict on a difference in test error to the cocktail."""
    if difference.mean == 0 and not difference.sd:
        return f"the same with all {difference.n} seeds"
    if p_value is None or p_value >= ALPHA:
        return f"not distinguishable with {difference.n} seeds"
    return "worse" if difference.mean > 0 else "better"
