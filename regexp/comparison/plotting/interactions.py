"""The plots of pairs of keys, in which interactions show as lines that are not parallel. Imports no torch."""

import math
from itertools import combinations

from matplotlib.figure import Figure

from regexp.comparison.compare import Comparison
from regexp.comparison.plotting.style import DASHES, INK, MARKERS, axis_label, intervals_note, limit, make_label, scale
from regexp.comparison.rows import average_rows

MAX_PANELS, MAX_LINES = 12, 6


def plot_interactions(comparison: Comparison) -> Figure:
    """Plot a panel for each pair of keys: the metric by the values of one, with a line for each value of the other."""
    metric = comparison.metric
    pairs, pairs_note = limit(list(combinations(comparison.levels, 2)), MAX_PANELS)
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
        line_values, lines_note = limit(comparison.levels[line_key], MAX_LINES)
        for k, line_value in enumerate(line_values):
            estimates = [rows[value, line_value].estimate(metric.name) for value in values]
            shift = 0.06 * (k - (len(line_values) - 1) / 2)  # so that intervals do not hide each other
            axes.errorbar(
                [j + shift for j in range(len(values))],
                [scale(metric, None if estimate is None else estimate.mean) for estimate in estimates],
                yerr=[scale(metric, None if estimate is None else estimate.half_width) for estimate in estimates],
                color=INK,
                ls=DASHES[k],
                marker=MARKERS[k],
                mfc="white",
                lw=1.2,
                capsize=3,
                label=make_label(line_value),
            )
        axes.set_xticks(range(len(values)), map(make_label, values))
        axes.set_xlim(-0.4, len(values) - 0.6)
        axes.set_xlabel(key)
        axes.set_ylabel(axis_label(metric) if i % column_count == 0 else "")
        axes.grid(axis="y", color="0.9")
        axes.legend(title=f"{line_key}{lines_note}", frameon=False, fontsize=9)
    figure.suptitle(f"Means over seeds{intervals_note(comparison.cells, metric)}{pairs_note}", fontsize=9)
    return figure
