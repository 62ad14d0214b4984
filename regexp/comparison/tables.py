"""A comparison as tables. Imports no torch."""

from collections.abc import Sequence
from dataclasses import dataclass, replace

from rich.markup import escape
from rich.table import Table

from regexp.comparison.compare import Comparison
from regexp.comparison.effects import Effect
from regexp.comparison.loading import format_count
from regexp.comparison.rows import METRICS, Difference, Metric, Row
from regexp.comparison.statistics import ALPHA
from regexp.comparison.verdicts import (
    AVERAGE,
    GAIN,
    INTERACTION,
    Kind,
    headline,
    p_value,
    seeds,
    verdict,
    with_interval,
)
from regexp.runs.identity import short_names

MOST_ROWS = 30
# Metrics with a column of their own.
_SHOWN = ("val_accuracy", "test_accuracy", "gap", "best_epoch", "epochs")
_TESTS = ["p", "flips", "Holm", "verdict"]


@dataclass(frozen=True)
class Grid:
    """A table without its form.

    Attributes:
        title: what it shows.
        words: how many of its first columns hold words, which may be folded; the others hold figures.
        folds: whether the last column may be folded, too.
        baseline: the number of its row, if it has one.
    """

    title: str
    columns: list[str]
    rows: list[list[str]]
    words: int = 1
    folds: bool = False
    baseline: int | None = None


def results(comparison: Comparison) -> Grid:
    """What each row has reached."""
    shown = [METRICS["val_accuracy"], METRICS["test_accuracy"]]
    shown += [comparison.metric] if comparison.metric.name not in _SHOWN else []
    shown = [metric for metric in shown if any(metric.name in row.scores for row in comparison.rows)]
    titles = [f"{metric.title.removesuffix(' accuracy')}{' %' if metric.percent else ''}" for metric in shown]
    rows = [
        [
            row.label,
            seeds(row),
            *(with_interval(metric, row.estimate(metric.name)) for metric in shown),
            *(_mean(row, name) for name in ("gap", "best_epoch", "epochs", "seconds")),
        ]
        for row in comparison.rows
    ]
    columns = [_names(comparison), "seeds", *titles, "gap", "best", "epochs", "s"]
    return Grid("Means over seeds", columns, rows, baseline=_place(comparison))


def differences(comparison: Comparison, brief: bool = False) -> Grid | None:
    """What each row has gained over the baseline; None where there is nothing to compare.

    `brief` to fit a terminal: shorter verdicts, and no column for a permutation test that could not reach 5 %.
    """
    if len(comparison.rows) < 2:
        return None
    metric = comparison.metric
    others = [row for row in comparison.rows if row.difference is not None]
    rows = [[row.label, *_tested(row.difference, metric, GAIN, brief)] for row in others]
    against = ", ".join(f"{key}={value}" for key, value in comparison.baseline.values.items())
    title = f"{_title(metric)}: difference to {against}{_pairs([row.difference for row in others])}"
    grid = Grid(title, [_names(comparison), "difference", *_TESTS], rows, folds=True)
    return _without_flips(grid) if brief and not _flips([row.difference for row in others]) else grid


def influences(comparison: Comparison, brief: bool = False) -> list[Grid]:
    """Main effects and interactions, where there are any; `brief` as above."""
    metric, found = comparison.metric, []
    for title, kind, effects in (
        ("effect of one value, averaged over the other keys", AVERAGE, comparison.main_effects),
        ("interaction, a difference of differences", INTERACTION, comparison.interactions),
    ):
        if comparison.averaged_keys:  # which has asked for one of them
            break
        rows = [[*_against(effect), *_tested(effect.difference, metric, kind, brief)] for effect in effects]
        if rows:
            grid = Grid(
                f"{_title(metric)}: {title}",
                ["value", "against", "difference", *_TESTS],
                rows,
                words=2,
                folds=True,
            )
            few = brief and not _flips([effect.difference for effect in effects])
            found.append(_without_flips(grid) if few else grid)
    return found


def overview(comparison: Comparison) -> Grid:
    """The short table: results, differences and verdicts in a row each."""
    val, metric = METRICS["val_accuracy"], comparison.metric
    test = [METRICS["test_accuracy"]] if any("test_accuracy" in row.scores for row in comparison.rows) else []
    several = len(comparison.rows) > 1
    rows = [
        [
            row.label,
            seeds(row),
            _mean(row, "epochs"),
            *(with_interval(shown, row.estimate(shown.name)) for shown in (val, *test)),
            *(_short(row.difference, metric) if several else ()),
        ]
        for row in comparison.rows
    ]
    columns = [_names(comparison), "seeds", "epochs", "validation %", *(["test %"] if test else [])]
    return Grid(
        headline(comparison),
        columns + (["difference", "verdict"] if several else []),
        rows,
        baseline=_place(comparison),
    )


def terminal(grid: Grid) -> Table:
    """For rich, as wide as the terminal: words are folded, figures are not."""
    table = Table(box=None, pad_edge=False)
    last = len(grid.columns) - 1
    # The row that the others are compared with is always among those that are shown.
    rows = grid.rows[:MOST_ROWS]
    if grid.baseline is not None and grid.baseline >= MOST_ROWS:
        rows = [*rows[:-1], grid.rows[grid.baseline]]
    for i, name in enumerate(grid.columns):
        words = i < grid.words or (grid.folds and i == last)
        cells = [row[i] for row in rows]
        folded = words or name == "seeds"  # which also says what became of them
        table.add_column(
            escape(name),
            justify="left" if words or name == "verdict" else "right",
            no_wrap=not folded,
            overflow="fold",
            min_width=min(24, max(_longest(cell) for cell in (name, *cells))) if folded else None,
        )
    for row in rows:
        table.add_row(*map(escape, row))
    return table


def beyond(comparison: Comparison) -> str | None:
    """What the terminal's tables do not show."""
    more = len(comparison.rows) - MOST_ROWS
    return f"and {format_count(more, 'more row')} (--format csv has all)" if more > 0 else None


def _place(comparison: Comparison) -> int:
    return next(i for i, row in enumerate(comparison.rows) if row is comparison.baseline)


def _longest(text: str) -> int:
    return max(map(len, text.split()), default=0)


def _names(comparison: Comparison) -> str:
    return "\n".join(short_names(comparison.keys).values()) or "configuration"


def _title(metric: Metric) -> str:
    return metric.title.capitalize() + (" (percentage points)" if metric.percent else "")


def _pairs(differences: Sequence[Difference | None]) -> str:
    """How many pairs they are over."""
    counts = {0 if d is None or d.test is None else d.test.estimate.n for d in differences}
    return f", {min(counts)} to {max(counts)} pairs" if len(counts) > 1 else f", {format_count(counts.pop(), 'pair')}"


def _mean(row: Row, name: str) -> str:
    found = row.estimate(name)
    digits = {"gap": 3, "seconds": 1}.get(name, 0)
    return "-" if found is None else f"{found.mean:.{digits}f}"


def _tested(difference: Difference | None, metric: Metric, kind: Kind, brief: bool) -> list[str]:
    if difference is None or difference.test is None:
        return ["-"] * 4 + ["no pairs"]
    pair = difference.test
    p_values = [p_value(p) for p in (pair.p_value, pair.sign_flip_p, difference.p_adjusted)]
    return [with_interval(metric, pair.estimate, signed=True), *p_values, verdict(difference, metric, kind, brief)]


def _flips(differences: Sequence[Difference | None]) -> bool:
    """Whether a permutation test of any could reach 5 %."""
    tests = [difference.test for difference in differences if difference is not None]
    return any(
        test is not None and test.min_sign_flip_p is not None and test.min_sign_flip_p <= ALPHA for test in tests
    )


def _without_flips(grid: Grid) -> Grid:
    at = grid.columns.index("flips")
    return replace(grid, columns=_but(grid.columns, at), rows=[_but(row, at) for row in grid.rows])


def _but(cells: Sequence[str], at: int) -> list[str]:
    return [*cells[:at], *cells[at + 1 :]]


def _short(difference: Difference | None, metric: Metric) -> list[str]:
    if difference is None:
        return ["baseline", ""]
    if difference.test is None:
        return ["-", "-"]
    seen = with_interval(metric, difference.test.estimate, signed=True)
    tested = difference.p_adjusted is not None
    said = (
        GAIN.words(metric, difference.test.estimate.mean > 0)
        if difference.significant
        else "unclear"
        if tested
        else "-"
    )
    return [seen, "same" if tested and difference.test.estimate.mean == 0 else said]


def _against(effect: Effect) -> list[str]:
    names = short_names(list(effect.values))
    return [
        "\nx ".join(f"{names[key]}={value}" for key, value in effect.values.items()),
        "\nx ".join(effect.reference.values()),
    ]
