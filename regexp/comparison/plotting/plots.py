"""Plots of a comparison: curves, differences, interactions and overfitting. Imports no torch.

The plots are readable in black and white: lines differ in their dashes, points in their markers, and filled points are
significant differences.
"""

import math
import warnings
from collections.abc import Iterator, Sequence
from itertools import combinations
from pathlib import Path
from typing import Any, TypeVar

from matplotlib.artist import Artist
from matplotlib.figure import Figure

from regexp.comparison.compare import Comparison
from regexp.comparison.curves import Curves
from regexp.comparison.formats.markdown import to_markdown
from regexp.comparison.rows import Row, average_rows
from regexp.comparison.statistics import CONFIDENCE_LEVEL
from regexp.config.metric_registry import RUN_METRICS, Metric
from regexp.utils.messages import show_bytes
from regexp.utils.storage_errors import explain_storage_errors

MAX_PANELS, MAX_ROWS, MAX_LINES, MAX_NAMES = 12, 30, 6, 12
T = TypeVar("T")
_MARKERS, _DASHES = "os^Dvp", ("-", "--", "-.", ":", (0, (5, 1, 1, 1, 1, 1)), (0, (1, 3)))
_INK, _PALE = "black", "0.72"
_STYLE: Any = {"font.size": 10, "axes.spines.top": False, "axes.spines.right": False, "svg.hashsalt": "regexp"}


def write_report(comparison: Comparison, curves: Curves, directory: Path) -> Path:
    """Write comparison.md and its plots, each as PNG and SVG, to a directory.

    Args:
        comparison: the comparison.
        curves: the curves of its rows.
        directory: the directory, which is created if it does not exist.

    Returns:
        The path of comparison.md.

    Raises:
        StorageError: a file cannot be written.
    """
    import matplotlib

    pictures = []
    other_way = "choose another directory: --output DIR"
    with explain_storage_errors(directory, other_way), matplotlib.rc_context(_STYLE), warnings.catch_warnings():
        # The font draws a box for a Chinese character of a path; the tables have the character itself.
        warnings.filterwarnings("ignore", r"Glyph .* missing from font")
        directory.mkdir(parents=True, exist_ok=True)
        for name, caption, figure in _plot_all(comparison, curves):
            for extension in ("png", "svg"):
                metadata = {"Date": None} if extension == "svg" else None
                figure.savefig(directory / f"{name}.{extension}", dpi=150, bbox_inches="tight", metadata=metadata)
            pictures.append((caption, f"{name}.png"))
        path = directory / "comparison.md"
        path.write_text(to_markdown(comparison, pictures), encoding="utf-8")
    return path


def _plot_all(comparison: Comparison, curves: Curves) -> Iterator[tuple[str, str, Figure]]:
    """Yield the name, caption and figure of each plot that has something to show."""
    title = comparison.metric.title
    if any(curves.run_count(row) for row in comparison.rows):
        yield "curves", "Loss by epoch, training and validation", plot_curves(comparison, curves)
    if any(row.difference is not None and row.difference.test is not None for row in comparison.rows):
        yield "differences", f"Differences in {title}", plot_differences(comparison)
    if comparison.interactions:
        yield "interactions", f"{title.capitalize()} by pairs of keys", plot_interactions(comparison)
    if any("gap" in row.scores for row in comparison.rows):
        yield "gap", "Overfitting against accuracy", plot_gap(comparison)


def plot_curves(comparison: Comparison, curves: Curves) -> Figure:
    """Plot a panel for each row: validation and training loss, geometric mean and standard deviation over seeds.

    Curves end with the shortest run: beyond it the mean would be over fewer runs.
    """
    rows, limit_note = _limit([row for row in comparison.rows if curves.run_count(row)], MAX_PANELS)
    column_count = min(3, len(rows))
    line_count = math.ceil(len(rows) / column_count)
    figure = Figure(figsize=(3.1 * column_count + 0.6, 2.5 * line_count + 0.5), layout="constrained")
    panels = figure.subplots(line_count, column_count, sharex=True, sharey=True, squeeze=False)
    baseline = [mean for mean, _, _ in curves.geometric_mean_and_range(comparison.baseline, "val_loss")]
    for i, axes in enumerate(panels.flat):
        if i >= len(rows):
            axes.set_axis_off()
            continue
        row = rows[i]
        if baseline and row is not comparison.baseline:
            epochs = range(1, len(baseline) + 1)
            axes.plot(epochs, baseline, color=_PALE, lw=1.5, label="validation, baseline")
        for column, dashes, label in (("val_loss", "-", "validation"), ("train_loss", "--", "training")):
            curve = curves.geometric_mean_and_range(row, column)
            epochs = range(1, len(curve) + 1)
            axes.plot(epochs, [mean for mean, _, _ in curve], color=_INK, ls=dashes, lw=1.4, label=label)
            low, high = [low for _, low, _ in curve], [high for _, _, high in curve]
            axes.fill_between(epochs, low, high, color=_INK, alpha=0.3, lw=0)
        axes.set_title(_make_label(row.title) + (" (baseline)" if row is comparison.baseline else ""), fontsize=10)
        axes.set_yscale("log")
    handles: dict[str, Artist] = {}
    for axes in panels.flat:
        handles |= {str(line.get_label()): line for line in axes.get_lines()}
    figure.legend(list(handles.values()), list(handles), loc="outside upper center", ncols=3, frameon=False)
    figure.supxlabel(f"epoch, until the first seed ends{limit_note}", fontsize=10)
    figure.supylabel("loss (nats): geometric mean over seeds, ± one standard deviation", fontsize=10)
    return figure


def plot_differences(comparison: Comparison) -> Figure:
    """Plot a line for each row: its difference to the baseline with the 95 % interval."""
    metric = comparison.metric
    tests = [(row, row.difference.test) for row in comparison.rows if row.difference and row.difference.test]
    shown_tests, limit_note = _limit(tests, MAX_ROWS)
    figure = Figure(figsize=(6.4, 0.36 * len(shown_tests) + 1.5), layout="constrained")
    axes = figure.subplots()
    axes.axvline(0, color=_INK, lw=0.8)
    for i, (row, test) in enumerate(shown_tests):
        half_width = None if test.estimate.half_width is None else _scale(metric, test.estimate.half_width)
        axes.errorbar(
            _scale(metric, test.estimate.mean),
            i,
            xerr=half_width,
            fmt="o",
            color=_INK,
            mfc=_INK if row.difference and row.difference.significant else "white",
            ms=6,
            lw=1.3,
            capsize=3,
            zorder=3,
        )
    axes.set_yticks(range(len(shown_tests)), [_make_label(row.title) for row, _ in shown_tests])
    axes.invert_yaxis()
    axes.grid(axis="x", color="0.9")
    axes.set_axisbelow(True)
    baseline = ", ".join(f"{key}={value}" for key, value in comparison.baseline.values.items())
    unit = " (percentage points)" if metric.percent else ""
    axes.set_xlabel(f"{metric.title}{unit}: difference to\n{_make_label(baseline)}")
    if any(test.estimate.half_width for _, test in shown_tests):
        title = f"{100 * CONFIDENCE_LEVEL:g} % intervals, not corrected; filled: distinguishable"
    else:
        title = "no intervals"
    axes.set_title(f"{title}{limit_note}", fontsize=9, loc="left")
    return figure


def plot_interactions(comparison: Comparison) -> Figure:
    """Plot a panel for each pair of keys: the metric by the values of one, with a line for each value of the other."""
    metric = comparison.metric
    pairs, pairs_note = _limit(list(combinations(comparison.levels, 2)), MAX_PANELS)
    column_count = min(3, len(pairs))
    line_count = math.ceil(len(pairs) / column_count)
    figure = Figure(figsize=(4.4 * column_count + 0.4, 3.4 * line_count), layout="constrained")
    panels = figure.subplots(line_count, column_count, sharey=True, squeeze=False)
    for i, axes in enumerate(panels.flat):
        if i >= len(pairs):
            axes.set_axis_off()
            continue
        key, line_key = pairs[i]
        averages, _ = average_rows(comparison.cells, [key, line_key])
        rows = {tuple(row.values.values()): row for row in averages}
        values = comparison.levels[key]
        line_values, lines_note = _limit(comparison.levels[line_key], MAX_LINES)
        for k, line_value in enumerate(line_values):
            estimates = [rows[value, line_value].estimate(metric.name) for value in values]
            shift = 0.06 * (k - (len(line_values) - 1) / 2)  # so that intervals do not hide each other
            axes.errorbar(
                [j + shift for j in range(len(values))],
                [_scale(metric, None if estimate is None else estimate.mean) for estimate in estimates],
                yerr=[_scale(metric, None if estimate is None else estimate.half_width) for estimate in estimates],
                color=_INK,
                ls=_DASHES[k],
                marker=_MARKERS[k],
                mfc="white",
                lw=1.2,
                capsize=3,
                label=_make_label(line_value),
            )
        axes.set_xticks(range(len(values)), map(_make_label, values))
        axes.set_xlim(-0.4, len(values) - 0.6)
        axes.set_xlabel(key)
        axes.set_ylabel(_axis_label(metric) if i % column_count == 0 else "")
        axes.grid(axis="y", color="0.9")
        axes.legend(title=f"{line_key}{lines_note}", frameon=False, fontsize=9)
    figure.suptitle(f"Means over seeds{_intervals_note(comparison.cells, metric)}{pairs_note}", fontsize=9)
    return figure


def plot_gap(comparison: Comparison) -> Figure:
    """Plot a point for each row: its accuracy by the gap between training and validation loss, with 95 % intervals."""
    has_test = any("test_accuracy" in row.scores for row in comparison.rows)
    accuracy = RUN_METRICS["test_accuracy" if has_test else "val_accuracy"]
    rows = [row for row in comparison.rows if "gap" in row.scores and accuracy.name in row.scores]
    rows, limit_note = _limit(rows, MAX_ROWS)
    figure = Figure(figsize=(6.4, 4.4), layout="constrained")
    axes = figure.subplots()
    points: list[tuple[float, float, str]] = []
    for i, row in enumerate(rows):
        x, y = row.estimate("gap"), row.estimate(accuracy.name)
        assert x is not None
        assert y is not None
        axes.errorbar(
            x.mean,
            100 * y.mean,
            xerr=x.half_width,
            yerr=None if y.half_width is None else 100 * y.half_width,
            fmt=_MARKERS[i % len(_MARKERS)],
            color=_INK,
            mfc=_INK if row is comparison.baseline else "white",
            ecolor=_PALE,
            ms=6,
            zorder=3,
        )
        points.append((x.mean, 100 * y.mean, _make_label(row.title)))
    low, high = axes.get_xlim()
    axes.set_xlim(low, high + 0.2 * (high - low))  # space for the names
    width, height = high - low, axes.get_ylim()[1] - axes.get_ylim()[0]
    for x_value, y_value, name in points[:MAX_NAMES]:
        # A name goes below its point where another point is close above.
        below = any(0 < v - y_value < 0.05 * height and abs(u - x_value) < 0.2 * width for u, v, _ in points)
        offset = (7, -11 if below else 4)
        axes.annotate(name, (x_value, y_value), xytext=offset, textcoords="offset points", fontsize=8)
    axes.grid(color="0.93")
    axes.set_axisbelow(True)
    axes.set_xlabel("gap: validation less training loss (nats)")
    axes.set_ylabel(_axis_label(accuracy))
    title = f"Means over seeds{_intervals_note(rows, accuracy)}. Filled: baseline{limit_note}"
    axes.set_title(title, fontsize=9, loc="left")
    return figure


def _limit(items: Sequence[T], max_items: int) -> tuple[list[T], str]:
    """Return the items that fit into a plot, and a note on how many those are if they are not all."""
    note = f" (the first {max_items} of {len(items)})" if len(items) > max_items else ""
    return list(items[:max_items]), note


def _make_label(text: str) -> str:
    """Return a text of the user's, such as a path, in a form in which matplotlib draws its characters only."""
    return show_bytes(text).replace("$", r"\$")


def _axis_label(metric: Metric) -> str:
    """Return a metric's title with its unit."""
    return f"{metric.title} (%)" if metric.percent else metric.title


def _intervals_note(rows: Sequence[Row], metric: Metric) -> str:
    """Return the words for the title of a plot of means, if any mean has an interval."""
    estimates = [row.estimate(metric.name) for row in rows]
    if any(estimate is not None and estimate.half_width for estimate in estimates):
        return f" and their {100 * CONFIDENCE_LEVEL:g} % intervals"
    return ""


def _scale(metric: Metric, value: float | None) -> float:
    """Return a metric's value in the unit of the axis; NaN, which is not drawn, where there is none."""
    if value is None:
        return math.nan
    return 100 * value if metric.percent else value
