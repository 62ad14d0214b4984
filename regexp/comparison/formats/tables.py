"""The tables of a comparison, for every format. Imports no torch."""

from collections.abc import Sequence
from dataclasses import replace

from regexp.comparison.best import mark_best_rows
from regexp.comparison.compare import Comparison
from regexp.comparison.effects import Effect
from regexp.comparison.formats.text_table import TextTable, select_columns
from regexp.comparison.key_names import abbreviate_keys
from regexp.comparison.loading import format_count
from regexp.comparison.rows import Difference, Row
from regexp.comparison.statistics import ALPHA
from regexp.comparison.verdicts import (
    BASELINE_DIFFERENCE,
    INTERACTION,
    MAIN_EFFECT,
    Wording,
    format_estimate,
    format_headline,
    format_looks,
    format_p_value,
    format_required_seeds,
    format_seeds,
    format_verdict,
)
from regexp.config.metric_registry import RUN_METRICS, Metric
from regexp.runs.identity import short_names

# Metrics that the table of results always has a column for.
_FIXED_COLUMNS = ("val_accuracy", "test_accuracy", "gap", "best_epoch", "epochs")
_FLIPS_COLUMN = "flips"
_NEEDED_COLUMN = "seeds\nneeded"
_LOOKS_COLUMN = "looks"
_BRIEF_INTERACTION = Wording(None, ("more", "less"))
_TEST_COLUMNS = [_LOOKS_COLUMN, "p", _FLIPS_COLUMN, "Holm", "verdict"]


def tabulate_results(comparison: Comparison) -> TextTable:
    """Return the means over seeds of each row."""
    metrics = [RUN_METRICS["val_accuracy"], RUN_METRICS["test_accuracy"]]
    if comparison.metric.name not in _FIXED_COLUMNS:
        metrics.append(comparison.metric)
    metrics = [metric for metric in metrics if any(metric.name in row.scores for row in comparison.rows)]
    titles = [f"{metric.title.removesuffix(' accuracy')}{' %' if metric.percent else ''}" for metric in metrics]
    names = name_columns(comparison.keys)
    rows = [
        [
            *name_cells(row),
            format_seeds(row),
            *(format_estimate(metric, row.estimate(metric.name)) for metric in metrics),
            *(_format_mean(row, name) for name in ("gap", "best_epoch", "epochs", "seconds")),
        ]
        for row in comparison.rows
    ]
    indices = {id(row): i for i, row in enumerate(comparison.rows)}
    best_cells, undistinguished_cells = [], []
    for column, metric in enumerate(metrics, len(names) + 1):
        best_rows, undistinguished_rows = mark_best_rows(comparison.rows, metric)
        best_cells += [(indices[id(row)], column) for row in best_rows]
        undistinguished_cells += [(indices[id(row)], column) for row in undistinguished_rows]
    return TextTable(
        "Means over seeds",
        [*names, "seeds", *titles, "gap", "best", "epochs", "s"],
        rows,
        keys=tuple(comparison.keys),
        text_columns=len(names),
        baseline_row=_baseline_row(comparison),
        best_cells=best_cells if len(rows) > 1 else (),
        undistinguished_cells=undistinguished_cells,
    )


def tabulate_differences(comparison: Comparison, brief: bool = False) -> TextTable | None:
    """Return the difference of each row to the baseline, with its tests and verdict.

    Args:
        comparison: the comparison.
        brief: whether to fit a terminal: shorter verdicts, and no columns for sign-flip tests that cannot reach 5 % and
            for needed seeds where no number is known.

    Returns:
        The table; None where there is only one row.
    """
    if len(comparison.rows) < 2:
        return None
    metric = comparison.metric
    others = [row for row in comparison.rows if row.difference is not None]
    differences = [row.difference for row in others]
    rows = [[*name_cells(row), *_test_cells(row.difference, metric, BASELINE_DIFFERENCE, brief)] for row in others]
    baseline = ", ".join(f"{key}={value}" for key, value in comparison.baseline.values.items())
    title = f"{_metric_title(metric)}: difference to {baseline}, {_format_pairs(differences)}"
    names = name_columns(comparison.keys)
    columns = [*names, "difference", *_test_columns(brief)]
    table = TextTable(title, columns, rows, keys=tuple(comparison.keys), text_columns=len(names), wraps_last=not brief)
    return _drop_uninformative_columns(table, differences, brief)


def tabulate_effects(comparison: Comparison, brief: bool = False) -> list[TextTable]:
    """Return the tables of main effects and of interactions that a comparison has.

    Args:
        comparison: the comparison; one that averages over keys asks for a single effect, and has none of these tables.
        brief: whether to fit a terminal, as for `tabulate_differences`.
    """
    if comparison.averaged_keys:
        return []
    metric, tables = comparison.metric, []
    for title, wording, effects in _effect_kinds(comparison, brief):
        if effects:
            rows = [
                [*_effect_cells(effect, brief), *_test_cells(effect.difference, metric, wording, brief)]
                for effect in effects
            ]
            names = ["value"] if brief else ["value", "against"]
            columns = [*names, "difference", *_test_columns(brief)]
            full_title = f"{_metric_title(metric)}: {title}"
            table = TextTable(full_title, columns, rows, text_columns=len(names), wraps_last=not brief)
            tables.append(_drop_uninformative_columns(table, [effect.difference for effect in effects], brief))
    return tables


def _effect_kinds(comparison: Comparison, brief: bool) -> list[tuple[str, Wording, list[Effect]]]:
    """Return the title, the words and the effects of each kind of effect.

    A brief table needs no column for what its effects are compared with: that is always the baseline's value.
    """
    if brief:
        main_title = "effect of one value against the baseline's, averaged over the other keys"
        interaction_title = "interaction, more or less than both effects against the baseline's values together"
        kinds = (main_title, BASELINE_DIFFERENCE), (interaction_title, _BRIEF_INTERACTION)
    else:
        kinds = (
            ("effect of one value, averaged over the other keys", MAIN_EFFECT),
            ("interaction, a difference of differences", INTERACTION),
        )
    effects = comparison.main_effects, comparison.interactions
    return [(title, wording, of_kind) for (title, wording), of_kind in zip(kinds, effects, strict=True)]


def tabulate_overview(comparison: Comparison) -> TextTable:
    """Return the short table, with the results, the difference and the verdict of each row."""
    accuracies = [RUN_METRICS["val_accuracy"]]
    names = name_columns(comparison.keys)
    has_looks = any(row.plans for row in comparison.rows)
    columns = [*names, "seeds", *([_LOOKS_COLUMN] if has_looks else []), "epochs", "validation %"]
    if any("test_accuracy" in row.scores for row in comparison.rows):
        accuracies.append(RUN_METRICS["test_accuracy"])
        columns.append("test %")
    has_differences = len(comparison.rows) > 1
    if has_differences:
        columns += ["difference", "verdict"]
    rows = []
    for row in comparison.rows:
        looks = [format_looks(row.difference)] if has_looks else []
        cells = [*name_cells(row), format_seeds(row), *looks, _format_mean(row, "epochs")]
        cells += [format_estimate(accuracy, row.estimate(accuracy.name)) for accuracy in accuracies]
        if has_differences:
            cells += _brief_difference_cells(row.difference, comparison.metric)
        rows.append(cells)
    return TextTable(
        format_headline(comparison),
        columns,
        rows,
        keys=tuple(comparison.keys),
        text_columns=len(names),
        baseline_row=_baseline_row(comparison),
    )


def limit_rows(table: TextTable, max_rows: int) -> TextTable:
    """Return the first rows of a table; the baseline's row, with which the others are compared, is always one of them.

    Args:
        table: the table.
        max_rows: the most rows that it may have.
    """
    rows = table.rows[:max_rows]
    if table.baseline_row is not None and table.baseline_row >= max_rows:
        rows = [*rows[:-1], table.rows[table.baseline_row]]
    return replace(table, rows=rows)


def _baseline_row(comparison: Comparison) -> int:
    return next(i for i, row in enumerate(comparison.rows) if row is comparison.baseline)


def name_columns(keys: Sequence[str]) -> list[str]:
    """Return the headings of the columns that name a row: the keys that varied."""
    return list(short_names(keys).values()) or ["configuration"]


def name_cells(row: Row) -> list[str]:
    """Return the cells that name a row: the values of the keys that varied."""
    return list(row.values.values()) or [row.title]


def _test_columns(brief: bool) -> list[str]:
    """Return the headings of the cells of a test."""
    return [*_TEST_COLUMNS, _NEEDED_COLUMN] if brief else _TEST_COLUMNS


def _metric_title(metric: Metric) -> str:
    return metric.title.capitalize() + (" (percentage points)" if metric.percent else "")


def _format_pairs(differences: Sequence[Difference | None]) -> str:
    """Return the number of pairs of differences in words: "5 pairs", or "3 to 5 pairs"."""
    counts = set()
    for difference in differences:
        counts.add(0 if difference is None or difference.test is None else difference.test.estimate.n)
    return f"{min(counts)} to {max(counts)} pairs" if len(counts) > 1 else format_count(counts.pop(), "pair")


def _format_mean(row: Row, metric: str) -> str:
    estimate = row.estimate(metric)
    if estimate is None:
        return "-"
    if metric == "seconds":
        return format_seconds(estimate.mean)
    return f"{estimate.mean:.{3 if metric == 'gap' else 0}f}"


def format_seconds(seconds: float) -> str:
    """Return a number of seconds with about two digits: "0.21", "5.7", "123"."""
    return f"{seconds:.{2 if seconds < 1 else 1 if seconds < 100 else 0}f}"


def _test_cells(difference: Difference | None, metric: Metric, wording: Wording, brief: bool) -> list[str]:
    """Return the cells below "difference" and the columns of a test.

    Args:
        difference: the tested difference.
        metric: the metric that it is in.
        wording: the words for a difference that is distinguished from zero.
        brief: whether to shorten the verdict so that it fits a terminal.
    """
    if difference is None or difference.test is None:
        return ["-"] * 5 + ["no pairs"] + ["-"] * brief
    test = difference.test
    p_values = [
        format_p_value(p_value) for p_value in (test.p_value, test.sign_flip_p_value, difference.adjusted_p_value)
    ]
    estimate = format_estimate(metric, test.estimate, signed=True)
    needed_seeds = [format_required_seeds(difference, metric) or "-"] if brief else []
    verdict = format_verdict(difference, metric, wording, brief)
    return [estimate, format_looks(difference), *p_values, verdict, *needed_seeds]


def _drop_uninformative_columns(table: TextTable, differences: Sequence[Difference | None], brief: bool) -> TextTable:
    """Drop the column of looks where the number of seeds was fixed, and those that say nothing in a brief table.

    These are the columns of sign-flip tests where none could reach 5 %, and of needed seeds where none is known.

    Args:
        table: a table with all columns.
        differences: the differences in its rows.
        brief: whether the table is brief.
    """
    tests = [difference.test for difference in differences if difference is not None and difference.test is not None]
    min_p_values = [test.min_sign_flip_p_value for test in tests if test.min_sign_flip_p_value is not None]
    has_looks = any(difference.sample.plans for difference in differences if difference is not None)
    dropped_names = [] if has_looks else [_LOOKS_COLUMN]
    if brief:
        dropped_names += [] if min(min_p_values, default=1.0) <= ALPHA else [_FLIPS_COLUMN]
        dropped_names += [_NEEDED_COLUMN] if all(row[-1] == "-" for row in table.rows) else []
    kept_columns = [i for i, name in enumerate(table.columns) if name not in dropped_names]
    return select_columns(table, kept_columns)


def _brief_difference_cells(difference: Difference | None, metric: Metric) -> list[str]:
    """Return the cells below "difference" and "verdict" of the short table."""
    if difference is None:
        return ["baseline", ""]
    if difference.test is None:
        return ["-", "-"]
    estimate = difference.test.estimate
    if difference.adjusted_p_value is None:
        verdict = "-"
    elif difference.equivalent:
        verdict = "equivalent"
    elif estimate.mean == 0 and not estimate.sd:
        verdict = "same"
    elif difference.significant:
        verdict = BASELINE_DIFFERENCE.describe(metric, estimate.mean > 0)
    else:
        verdict = "unclear" if difference.margin is None else "undecided"
    return [format_estimate(metric, estimate, signed=True), verdict]


def _effect_cells(effect: Effect, brief: bool) -> list[str]:
    """Return the cells below "value" and, where that is not left out to be brief, "against"."""
    names = (abbreviate_keys if brief else short_names)(list(effect.values))
    values = "\nx ".join(f"{names[key]}={value}" for key, value in effect.values.items())
    return [values] if brief else [values, "\nx ".join(effect.reference.values())]
