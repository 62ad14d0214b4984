"""The tables of a comparison, for the terminal and for Markdown. Imports no torch."""

from collections.abc import Sequence
from dataclasses import dataclass, replace
from typing import Literal

from rich.cells import cell_len
from rich.markup import escape
from rich.table import Table

from regexp.comparison.compare import Comparison
from regexp.comparison.effects import Effect
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
    format_p_value,
    format_seeds,
    format_verdict,
)
from regexp.config.metric_registry import RUN_METRICS, Metric
from regexp.runs.identity import short_names

MAX_ROWS = 30
# Longer words of a table are broken, and so many characters are between its columns.
_MAX_WORD, _COLUMN_GAP = 24, 2
# Metrics that the table of results always has a column for.
_FIXED_COLUMNS = ("val_accuracy", "test_accuracy", "gap", "best_epoch", "epochs")
_FLIPS_COLUMN = "flips"
_TEST_COLUMNS = ["p", _FLIPS_COLUMN, "Holm", "verdict"]


@dataclass(frozen=True)
class TextTable:
    """A table of formatted cells, independent of where it is shown.

    Attributes:
        title: what the table shows.
        columns: the columns' names.
        rows: the cells of each row.
        text_columns: how many of the first columns hold words, which may be wrapped; the others hold figures.
        wraps_last: whether the last column may be wrapped, too.
        baseline_row: the index of the baseline's row; None where the table has no such row.
    """

    title: str
    columns: list[str]
    rows: list[list[str]]
    text_columns: int = 1
    wraps_last: bool = False
    baseline_row: int | None = None


def tabulate_results(comparison: Comparison) -> TextTable:
    """Return the means over seeds of each row."""
    metrics = [RUN_METRICS["val_accuracy"], RUN_METRICS["test_accuracy"]]
    if comparison.metric.name not in _FIXED_COLUMNS:
        metrics.append(comparison.metric)
    metrics = [metric for metric in metrics if any(metric.name in row.scores for row in comparison.rows)]
    titles = [f"{metric.title.removesuffix(' accuracy')}{' %' if metric.percent else ''}" for metric in metrics]
    rows = [
        [
            row.title,
            format_seeds(row),
            *(format_estimate(metric, row.estimate(metric.name)) for metric in metrics),
            *(_format_mean(row, name) for name in ("gap", "best_epoch", "epochs", "seconds")),
        ]
        for row in comparison.rows
    ]
    columns = [_title_column(comparison), "seeds", *titles, "gap", "best", "epochs", "s"]
    return TextTable("Means over seeds", columns, rows, baseline_row=_baseline_row(comparison))


def tabulate_differences(comparison: Comparison, brief: bool = False) -> TextTable | None:
    """Return the difference of each row to the baseline, with its tests and verdict.

    Args:
        comparison: the comparison.
        brief: whether to fit a terminal: shorter verdicts, and no column for sign-flip tests that cannot reach 5 %.

    Returns:
        The table; None where there is only one row.
    """
    if len(comparison.rows) < 2:
        return None
    metric = comparison.metric
    others = [row for row in comparison.rows if row.difference is not None]
    differences = [row.difference for row in others]
    rows = [[row.title, *_test_cells(row.difference, metric, BASELINE_DIFFERENCE, brief)] for row in others]
    baseline = ", ".join(f"{key}={value}" for key, value in comparison.baseline.values.items())
    title = f"{_metric_title(metric)}: difference to {baseline}, {_format_pairs(differences)}"
    columns = [_title_column(comparison), "difference", *_TEST_COLUMNS]
    table = TextTable(title, columns, rows, wraps_last=True)
    return _drop_uninformative_flips(table, differences) if brief else table


def tabulate_effects(comparison: Comparison, brief: bool = False) -> list[TextTable]:
    """Return the tables of main effects and of interactions that a comparison has.

    Args:
        comparison: the comparison; one that averages over keys asks for a single effect, and has none of these tables.
        brief: whether to fit a terminal, as for `tabulate_differences`.
    """
    if comparison.averaged_keys:
        return []
    metric, tables = comparison.metric, []
    for title, wording, effects in (
        ("effect of one value, averaged over the other keys", MAIN_EFFECT, comparison.main_effects),
        ("interaction, a difference of differences", INTERACTION, comparison.interactions),
    ):
        if effects:
            rows = [
                [*_effect_cells(effect), *_test_cells(effect.difference, metric, wording, brief)] for effect in effects
            ]
            columns = ["value", "against", "difference", *_TEST_COLUMNS]
            table = TextTable(f"{_metric_title(metric)}: {title}", columns, rows, text_columns=2, wraps_last=True)
            tables.append(
                _drop_uninformative_flips(table, [effect.difference for effect in effects]) if brief else table
            )
    return tables


def tabulate_overview(comparison: Comparison) -> TextTable:
    """Return the short table, with the results, the difference and the verdict of each row."""
    accuracies = [RUN_METRICS["val_accuracy"]]
    columns = [_title_column(comparison), "seeds", "epochs", "validation %"]
    if any("test_accuracy" in row.scores for row in comparison.rows):
        accuracies.append(RUN_METRICS["test_accuracy"])
        columns.append("test %")
    has_differences = len(comparison.rows) > 1
    if has_differences:
        columns += ["difference", "verdict"]
    rows = []
    for row in comparison.rows:
        cells = [row.title, format_seeds(row), _format_mean(row, "epochs")]
        cells += [format_estimate(accuracy, row.estimate(accuracy.name)) for accuracy in accuracies]
        if has_differences:
            cells += _brief_difference_cells(row.difference, comparison.metric)
        rows.append(cells)
    return TextTable(format_headline(comparison), columns, rows, baseline_row=_baseline_row(comparison))


def to_rich_table(table: TextTable, width: int) -> Table:
    """Return a table for rich: columns of words are wrapped, columns of figures are not.

    It has MAX_ROWS rows at most. The baseline, with which the others are compared, is always one of them.

    Args:
        table: the table.
        width: the number of columns that it may take. It takes more where its figures and longest words need more.
    """
    rows = table.rows[:MAX_ROWS]
    if table.baseline_row is not None and table.baseline_row >= MAX_ROWS:
        rows = [*rows[:-1], table.rows[table.baseline_row]]
    rich_table = Table(box=None, pad_edge=False)
    last_column = len(table.columns) - 1
    text_columns = {
        i for i in range(len(table.columns)) if i < table.text_columns or (table.wraps_last and i == last_column)
    }
    min_widths, full_widths = [], []
    for i, texts in enumerate(zip(table.columns, *rows, strict=True)):
        full_widths.append(max(cell_len(line) for text in texts for line in text.split("\n")))
        wraps = i in text_columns or table.columns[i] == "seeds"  # which also says how other runs ended
        longest_word = max(cell_len(word) for text in texts for word in ["", *text.split()])
        min_widths.append(min(_MAX_WORD, longest_word) if wraps else full_widths[i])
    widths = _share_width(min_widths, full_widths, width - _COLUMN_GAP * last_column)
    for i, name in enumerate(table.columns):
        justify: Literal["left", "right"] = "left" if i in text_columns or name == "verdict" else "right"
        rich_table.add_column(escape(name), justify=justify, overflow="fold", width=widths[i])
    for row in rows:
        rich_table.add_row(*map(escape, row))
    return rich_table


def _share_width(min_widths: Sequence[int], full_widths: Sequence[int], width: int) -> list[int]:
    """Return the widths of columns, which share what is left above their least widths: the narrowest gets more first.

    rich shares it otherwise, and cuts columns of figures off where its shares do not add up.

    Args:
        min_widths: the least width of each column.
        full_widths: the width at which nothing in a column is wrapped.
        width: the width of all columns together.
    """
    widths = list(min_widths)
    for _ in range(width - sum(widths)):
        growing = [i for i, full_width in enumerate(full_widths) if widths[i] < full_width]
        if not growing:
            break
        widths[min(growing, key=lambda i: widths[i])] += 1
    return widths


def describe_hidden_rows(comparison: Comparison) -> str | None:
    """Return how many rows the terminal's tables do not show; None where they show all."""
    hidden = len(comparison.rows) - MAX_ROWS
    return f"and {format_count(hidden, 'more row')} (--format csv shows all)" if hidden > 0 else None


def _baseline_row(comparison: Comparison) -> int:
    return next(i for i, row in enumerate(comparison.rows) if row is comparison.baseline)


def _title_column(comparison: Comparison) -> str:
    """Return the heading of the column of row titles: the keys that varied, one below the other."""
    return "\n".join(short_names(comparison.keys).values()) or "configuration"


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
    digits = {"gap": 3, "seconds": 1}.get(metric, 0)
    return "-" if estimate is None else f"{estimate.mean:.{digits}f}"


def _test_cells(difference: Difference | None, metric: Metric, wording: Wording, brief: bool) -> list[str]:
    """Return the cells below "difference" and _TEST_COLUMNS.

    Args:
        difference: the tested difference.
        metric: the metric that it is in.
        wording: the words for a difference that is distinguished from zero.
        brief: whether to shorten the verdict so that it fits a terminal.
    """
    if difference is None or difference.test is None:
        return ["-"] * 4 + ["no pairs"]
    test = difference.test
    p_values = [
        format_p_value(p_value) for p_value in (test.p_value, test.sign_flip_p_value, difference.adjusted_p_value)
    ]
    estimate = format_estimate(metric, test.estimate, signed=True)
    return [estimate, *p_values, format_verdict(difference, metric, wording, brief)]


def _drop_uninformative_flips(table: TextTable, differences: Sequence[Difference | None]) -> TextTable:
    """Drop the column of sign-flip tests from a table where none of them could reach 5 %."""
    for difference in differences:
        test = None if difference is None else difference.test
        if test is not None and test.min_sign_flip_p_value is not None and test.min_sign_flip_p_value <= ALPHA:
            return table
    i = table.columns.index(_FLIPS_COLUMN)
    columns, *rows = ([*cells[:i], *cells[i + 1 :]] for cells in (table.columns, *table.rows))
    return replace(table, columns=columns, rows=rows)


def _brief_difference_cells(difference: Difference | None, metric: Metric) -> list[str]:
    """Return the cells below "difference" and "verdict" of the short table."""
    if difference is None:
        return ["baseline", ""]
    if difference.test is None:
        return ["-", "-"]
    estimate = difference.test.estimate
    if difference.adjusted_p_value is None:
        verdict = "-"
    elif estimate.mean == 0 and not estimate.sd:
        verdict = "same"
    elif difference.significant:
        verdict = BASELINE_DIFFERENCE.describe(metric, estimate.mean > 0)
    else:
        verdict = "unclear"
    return [format_estimate(metric, estimate, signed=True), verdict]


def _effect_cells(effect: Effect) -> list[str]:
    """Return the cells below "value" and "against"."""
    names = short_names(list(effect.values))
    values = "\nx ".join(f"{names[key]}={value}" for key, value in effect.values.items())
    return [values, "\nx ".join(effect.reference.values())]
