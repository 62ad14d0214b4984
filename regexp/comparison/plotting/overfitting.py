"""The plot of accuracies by the gap between training and validation. Imports no torch."""

import math

from matplotlib.figure import Figure

from regexp.comparison.compare import Comparison
from regexp.comparison.plotting.point_labels import label_points
from regexp.comparison.plotting.style import INK, MARKERS, PALE, axis_label, intervals_note, limit, make_label
from regexp.config.metric_registry import RUN_METRICS

MAX_ROWS = 120
# Beside the plot, the names of so many rows are below each other.
_NAMES_IN_COLUMN = 40
_NAME_SIZE, _NAME_HEIGHT = 8, 0.15  # points; inches


def plot_gap(comparison: Comparison) -> Figure:
    """Plot a point for each row: its accuracy by the gap between training and validation loss, with 95 % intervals.

    Points bear the numbers of their rows in the table, whose names are listed beside the plot.
    """
    has_test = any("test_accuracy" in row.scores for row in comparison.rows)
    accuracy = RUN_METRICS["test_accuracy" if has_test else "val_accuracy"]
    rows = [row for row in comparison.rows if "gap" in row.scores and accuracy.name in row.scores]
    rows, limit_note = limit(rows, MAX_ROWS)
    column_count = math.ceil(len(rows) / _NAMES_IN_COLUMN)
    name_width = 0.075 * max(len(row.title) + 5 for row in rows)  # inches
    height = max(4.4, _NAME_HEIGHT * min(len(rows), _NAMES_IN_COLUMN) + 0.9)
    widths = [6.4, *[name_width] * column_count]
    figure = Figure(figsize=(sum(widths), height), layout="constrained")
    axes, *lists = figure.subplots(1, 1 + column_count, width_ratios=widths)
    fitting_keys = [key for key in comparison.keys if len(comparison.levels[key]) <= len(MARKERS)]
    marker_key = fitting_keys[0] if fitting_keys and len(comparison.keys) > 1 else ""
    marker_values = comparison.levels.get(marker_key, [""])
    points = []
    for row in rows:
        x, y = row.estimate("gap"), row.estimate(accuracy.name)
        assert x is not None
        assert y is not None
        marker = MARKERS[marker_values.index(row.values.get(marker_key, "")) % len(MARKERS)]
        axes.errorbar(
            x.mean,
            100 * y.mean,
            xerr=x.half_width,
            yerr=None if y.half_width is None else 100 * y.half_width,
            fmt=marker,
            color=INK,
            mfc=INK if row is comparison.baseline else "white",
            ecolor=PALE,
            elinewidth=0.8,
            ms=5,
            zorder=3,
        )
        points.append((x.mean, 100 * y.mean))
    for i, value in enumerate(marker_values if marker_key else []):
        axes.plot([], [], MARKERS[i % len(MARKERS)], color=INK, mfc="white", ms=5, label=make_label(value))
    if marker_key:  # outside, where no point or interval is
        handles, labels = axes.get_legend_handles_labels()
        labels[0] = f"{make_label(marker_key)}: {labels[0]}"
        figure.legend(handles, labels, loc="outside upper left", ncols=len(labels), fontsize=8, frameon=False)
    for k, names in enumerate(lists):
        first = k * _NAMES_IN_COLUMN
        numbered_rows = list(enumerate(rows, 1))[first : first + _NAMES_IN_COLUMN]
        text = "\n".join(f"{i:>3}  {make_label(row.title)}" for i, row in numbered_rows)
        names.set_axis_off()
        if len(comparison.keys) == 1:  # labels of several keys name them
            names.set_title(make_label(comparison.keys[0]), fontsize=_NAME_SIZE, loc="left")
        names.text(0, 1, text, fontsize=_NAME_SIZE, va="top", linespacing=1.3, transform=names.transAxes)
    axes.grid(color="0.93")
    axes.set_axisbelow(True)
    axes.margins(0.08)
    axes.set_xlabel("gap: validation less training loss (nats)")
    axes.set_ylabel(axis_label(accuracy))
    title = f"Means over seeds{intervals_note(rows, accuracy)}. Filled: baseline{limit_note}"
    axes.set_title(title, fontsize=9, loc="left")
    label_points(figure, axes, points, [str(i) for i in range(1, len(rows) + 1)])
    return figure
