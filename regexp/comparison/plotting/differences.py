"""The plot of differences to the baseline. Imports no torch."""

from matplotlib.figure import Figure

from regexp.comparison.compare import Comparison
from regexp.comparison.plotting.style import INK, limit, make_label, scale
from regexp.comparison.statistics import CONFIDENCE_LEVEL

MAX_ROWS = 60


def plot_differences(comparison: Comparison) -> Figure:
    """Plot a line for each row: its difference to the baseline with the 95 % interval."""
    metric = comparison.metric
    tests = [(row, row.difference.test) for row in comparison.rows if row.difference and row.difference.test]
    shown_tests, limit_note = limit(tests, MAX_ROWS)
    figure = Figure(figsize=(6.4, 0.26 * len(shown_tests) + 1.6), layout="constrained")
    axes = figure.subplots()
    axes.axvline(0, color=INK, lw=0.8)
    for i, (row, test) in enumerate(shown_tests):
        half_width = None if test.estimate.half_width is None else scale(metric, test.estimate.half_width)
        axes.errorbar(
            scale(metric, test.estimate.mean),
            i,
            xerr=half_width,
            fmt="o",
            color=INK,
            mfc=INK if row.difference and row.difference.significant else "white",
            ms=6,
            lw=1.3,
            capsize=3,
            zorder=3,
        )
    axes.set_yticks(range(len(shown_tests)), [make_label(row.title) for row, _ in shown_tests])
    axes.set_ylim(len(shown_tests) - 0.4, -0.6)  # the first row is at the top
    if len(comparison.keys) == 1:
        axes.set_ylabel(comparison.keys[0])
    axes.grid(axis="x", color="0.9")
    axes.set_axisbelow(True)
    baseline = ", ".join(f"{key}={value}" for key, value in comparison.baseline.values.items())
    unit = " (percentage points)" if metric.percent else ""
    axes.set_xlabel(f"{metric.title}{unit}: difference to\n{make_label(baseline)}")
    if any(test.estimate.half_width for _, test in shown_tests):
        title = f"{100 * CONFIDENCE_LEVEL:g} % intervals, not corrected; filled: distinguishable"
    else:
        title = "no intervals"
    axes.set_title(f"{title}{limit_note}", fontsize=9, loc="left")
    return figure
