"""A comparison as pictures: curves, differences, interactions, overfitting. Imports no torch.

Readable in black and white: lines differ by their dashes, points by their markers, and what was found by filled ones.
"""

import math
from collections.abc import Iterator, Sequence
from itertools import combinations
from pathlib import Path
from typing import Any, TypeVar

from matplotlib.artist import Artist
from matplotlib.figure import Figure

from regexp.comparison.compare import Comparison
from regexp.comparison.curves import Curves
from regexp.comparison.export import as_markdown
from regexp.comparison.rows import METRICS, Metric, Row, average_rows
from regexp.comparison.statistics import CONFIDENCE_LEVEL
from regexp.utils.atomic_io import storage_errors

MOST_PANELS, MOST_ROWS, MOST_LINES, MOST_NAMES = 12, 30, 6, 12
Entry = TypeVar("Entry")
_MARKERS, _DASHES = "os^Dvp", ("-", "--", "-.", ":", (0, (5, 1, 1, 1, 1, 1)), (0, (1, 3)))
_INK, _PALE = "black", "0.72"
_STYLE: Any = {"font.size": 10, "axes.spines.top": False, "axes.spines.right": False, "svg.hashsalt": "regexp"}


def write_report(comparison: Comparison, found: Curves, folder: Path) -> Path:
    """Write comparison.md and its plots, each as PNG and SVG, into a folder. Raises StorageError."""
    import matplotlib

    pictures = []
    with storage_errors(folder, "Make room, or choose another folder: --output DIR."), matplotlib.rc_context(_STYLE):
        folder.mkdir(parents=True, exist_ok=True)
        for name, caption, figure in _figures(comparison, found):
            for kind in ("png", "svg"):
                metadata = {"Date": None} if kind == "svg" else None
                figure.savefig(folder / f"{name}.{kind}", dpi=150, bbox_inches="tight", metadata=metadata)
            pictures.append((caption, f"{name}.png"))
        path = folder / "comparison.md"
        path.write_text(as_markdown(comparison, pictures))
    return path


def _figures(comparison: Comparison, found: Curves) -> Iterator[tuple[str, str, Figure]]:
    """Name, caption and figure of each plot that there is something to show in."""
    if any(found.run_count(row) for row in comparison.rows):
        yield "curves", "Loss by epoch, training and validation", curves(comparison, found)
    if any(row.difference is not None and row.difference.test is not None for row in comparison.rows):
        yield "differences", f"Differences in {comparison.metric.title}", differences(comparison)
    if comparison.interactions:
        yield "interactions", f"{comparison.metric.title.capitalize()} by pairs of keys", interactions(comparison)
    if any("gap" in row.scores for row in comparison.rows):
        yield "gap", "Overfitting against accuracy", gap(comparison)


def curves(comparison: Comparison, found: Curves) -> Figure:
    """A panel for each row: validation and training loss over seeds, geometric mean and standard deviation.

    Curves end where the first of the seeds does: beyond it the mean would be over others.
    """
    rows, cut = _first([row for row in comparison.rows if found.run_count(row)], MOST_PANELS)
    columns = min(3, len(rows))
    lines = -(-len(rows) // columns)
    figure = Figure(figsize=(3.1 * columns + 0.6, 2.5 * lines + 0.5), layout="constrained")
    panels = figure.subplots(lines, columns, sharex=True, sharey=True, squeeze=False)
    baseline = [mean for mean, _, _ in found.logarithmic(comparison.baseline, "val_loss")]
    for i, axes in enumerate(panels.flat):
        if i >= len(rows):
            axes.set_axis_off()
            continue
        row = rows[i]
        if baseline and row is not comparison.baseline:
            epochs = range(1, len(baseline) + 1)
            axes.plot(epochs, baseline, color=_PALE, lw=1.5, label="validation, baseline")
        for name, dashes, label in (("val_loss", "-", "validation"), ("train_loss", "--", "training")):
            curve = found.logarithmic(row, name)
            epochs = range(1, len(curve) + 1)
            axes.plot(epochs, [mean for mean, _, _ in curve], color=_INK, ls=dashes, lw=1.4, label=label)
            low, high = [low for _, low, _ in curve], [high for _, _, high in curve]
            axes.fill_between(epochs, low, high, color=_INK, alpha=0.3, lw=0)
        axes.set_title(row.label + (" (baseline)" if row is comparison.baseline else ""), fontsize=10)
        axes.set_yscale("log")
    handles: dict[str, Artist] = {}
    for axes in panels.flat:
        handles |= {str(line.get_label()): line for line in axes.get_lines()}
    figure.legend(list(handles.values()), list(handles), loc="outside upper center", ncols=3, frameon=False)
    figure.supxlabel(f"epoch, until the first seed ends{cut}", fontsize=10)
    figure.supylabel("loss (nats): geometric mean over seeds, ± one standard deviation", fontsize=10)
    return figure


def differences(comparison: Comparison) -> Figure:
    """A line for each row: its difference to the baseline with the 95 % interval."""
    metric = comparison.metric
    rows = [row for row in comparison.rows if row.difference is not None and row.difference.test is not None]
    rows, cut = _first(rows, MOST_ROWS)
    figure = Figure(figsize=(6.4, 0.36 * len(rows) + 1.5), layout="constrained")
    axes = figure.subplots()
    axes.axvline(0, color=_INK, lw=0.8)
    for i, row in enumerate(rows):
        assert row.difference is not None
        assert row.difference.test is not None
        seen = row.difference.test.estimate
        half = None if seen.half_width is None else _scaled(metric, seen.half_width)
        fill = _INK if row.difference.significant else "white"
        axes.errorbar(
            _scaled(metric, seen.mean), i, xerr=half, fmt="o", color=_INK, mfc=fill, ms=6, lw=1.3, capsize=3, zorder=3
        )
    axes.set_yticks(range(len(rows)), [row.label for row in rows])
    axes.invert_yaxis()
    axes.grid(axis="x", color="0.9")
    axes.set_axisbelow(True)
    against = ", ".join(f"{key}={value}" for key, value in comparison.baseline.values.items())
    unit = " (percentage points)" if metric.percent else ""
    axes.set_xlabel(f"{metric.title}{unit}: difference to\n{against}")
    spread = any(row.difference and row.difference.test and row.difference.test.estimate.half_width for row in rows)
    title = (
        f"{100 * CONFIDENCE_LEVEL:g} % intervals, each for itself; filled: distinguished" if spread else "no intervals"
    )
    axes.set_title(f"{title}{cut}", fontsize=9, loc="left")
    return figure


def interactions(comparison: Comparison) -> Figure:
    """A panel for each pair of keys: the metric by the values of one, a line for each value of the other."""
    metric = comparison.metric
    pairs, more = _first(list(combinations(comparison.levels, 2)), MOST_PANELS)
    columns = min(3, len(pairs))
    lines = -(-len(pairs) // columns)
    figure = Figure(figsize=(4.4 * columns + 0.4, 3.4 * lines), layout="constrained")
    panels = figure.subplots(lines, columns, sharey=True, squeeze=False)
    for i, axes in enumerate(panels.flat):
        if i >= len(pairs):
            axes.set_axis_off()
            continue
        one, other = pairs[i]
        rows = {tuple(row.values.values()): row for row in average_rows(comparison.cells, [one, other])[0]}
        values = comparison.levels[one]
        shown, cut = _first(comparison.levels[other], MOST_LINES)
        for k, level in enumerate(shown):
            seen = [rows[value, level].estimate(metric.name) for value in values]
            aside = 0.06 * (k - (len(shown) - 1) / 2)  # so that intervals do not hide each other
            axes.errorbar(
                [j + aside for j in range(len(values))],
                [_scaled(metric, None if found is None else found.mean) for found in seen],
                yerr=[_scaled(metric, None if found is None else found.half_width) for found in seen],
                color=_INK,
                ls=_DASHES[k],
                marker=_MARKERS[k],
                mfc="white",
                lw=1.2,
                capsize=3,
                label=level,
            )
        axes.set_xticks(range(len(values)), values)
        axes.set_xlim(-0.4, len(values) - 0.6)
        axes.set_xlabel(one)
        axes.set_ylabel(_axis(metric) if i % columns == 0 else "")
        axes.grid(axis="y", color="0.9")
        axes.legend(title=f"{other}{cut}", frameon=False, fontsize=9)
    figure.suptitle(f"Means over seeds{_intervals(comparison.cells, metric)}{more}", fontsize=9)
    return figure


def gap(comparison: Comparison) -> Figure:
    """A point for each row: its gap between training and validation loss, and its accuracy, with 95 % intervals."""
    accuracy = METRICS[
        "test_accuracy" if any("test_accuracy" in row.scores for row in comparison.rows) else "val_accuracy"
    ]
    rows = [row for row in comparison.rows if "gap" in row.scores and accuracy.name in row.scores]
    rows, cut = _first(rows, MOST_ROWS)
    figure = Figure(figsize=(6.4, 4.4), layout="constrained")
    axes = figure.subplots()
    points: list[tuple[float, float, str]] = []
    for i, row in enumerate(rows):
        across, up = row.estimate("gap"), row.estimate(accuracy.name)
        assert across is not None
        assert up is not None
        axes.errorbar(
            across.mean,
            100 * up.mean,
            xerr=across.half_width,
            yerr=None if up.half_width is None else 100 * up.half_width,
            fmt=_MARKERS[i % len(_MARKERS)],
            color=_INK,
            mfc=_INK if row is comparison.baseline else "white",
            ecolor=_PALE,
            ms=6,
            zorder=3,
        )
        points.append((across.mean, 100 * up.mean, row.label))
    low, high = axes.get_xlim()
    axes.set_xlim(low, high + 0.2 * (high - low))  # room for the names
    width, height = high - low, axes.get_ylim()[1] - axes.get_ylim()[0]
    for x, y, name in points[:MOST_NAMES]:
        below = any(0 < v - y < 0.05 * height and abs(u - x) < 0.2 * width for u, v, _ in points)
        axes.annotate(name, (x, y), xytext=(7, -11 if below else 4), textcoords="offset points", fontsize=8)
    axes.grid(color="0.93")
    axes.set_axisbelow(True)
    axes.set_xlabel("gap: validation less training loss (nats)")
    axes.set_ylabel(_axis(accuracy))
    axes.set_title(f"Means over seeds{_intervals(rows, accuracy)}. Filled: baseline{cut}", fontsize=9, loc="left")
    return figure


def _first(entries: Sequence[Entry], most: int) -> tuple[list[Entry], str]:
    """As many as can be shown, and words for how many those are of."""
    return list(entries[:most]), f" (the first {most} of {len(entries)})" if len(entries) > most else ""


def _axis(metric: Metric) -> str:
    return f"{metric.title} (%)" if metric.percent else metric.title


def _intervals(rows: Sequence[Row], metric: Metric) -> str:
    seen = [row.estimate(metric.name) for row in rows]
    return (
        f" and their {100 * CONFIDENCE_LEVEL:g} % intervals"
        if any(e is not None and e.half_width for e in seen)
        else ""
    )


def _scaled(metric: Metric, value: float | None) -> float:
    if value is None:
        return math.nan
    return 100 * value if metric.percent else value
