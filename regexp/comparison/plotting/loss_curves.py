"""The plots of losses by epoch. Imports no torch."""

import math
from collections.abc import Sequence

from matplotlib.artist import Artist
from matplotlib.figure import Figure

from regexp.comparison.compare import Comparison
from regexp.comparison.curves import Curves
from regexp.comparison.key_names import abbreviate_keys
from regexp.comparison.loading import format_count
from regexp.comparison.plotting.style import DASHES, INK, limit, make_label
from regexp.comparison.rows import Row

MAX_PANELS, MAX_LINES = 24, 6
# More lines than these in a panel have no bands, which would cover each other.
_MAX_BANDS = 3
_GREYS = ("0", "0", "0.35", "0", "0.35", "0.35")
_BASELINE_GREY = "0.75"
# A curve that ends so many times as far above the best one as the median does may be above the axis.
_MEDIAN_DISTANCES = 6
_TITLES = {"val_loss": "validation", "train_loss": "training"}


def plot_curves(comparison: Comparison, curves: Curves, column: str) -> Figure:
    """Plot a loss by epoch, the geometric mean and standard deviation over seeds.

    A panel has a line for each value of one key, next to that of the baseline; the other keys tell the panels apart.
    Validation losses have an axis that is as narrow as their later epochs allow, so that their differences show.
    Curves end with the shortest run: beyond it the mean would be over fewer runs.

    Args:
        comparison: the comparison.
        curves: the curves of its rows.
        column: "val_loss" or "train_loss".
    """
    rows = [row for row in comparison.rows if curves.run_count(row)]
    line_key = _choose_line_key(comparison, rows)
    panels, limit_note = limit(_group_into_panels(rows, line_key), MAX_PANELS)
    means = {
        id(row): [mean for mean, _, _ in curves.geometric_mean_and_range(row, column)]
        for row in [comparison.baseline, *(row for panel in panels for row in panel)]
    }
    column_count = min(3, len(panels))
    line_count = math.ceil(len(panels) / column_count)
    figure = Figure(figsize=(3.3 * column_count + 0.9, 2.6 * line_count + 0.9), layout="constrained")
    grid = figure.subplots(line_count, column_count, sharex=True, sharey=True, squeeze=False)
    drawn_values = {row.values.get(line_key, "") for panel in panels for row in panel}
    line_values = [value for value in comparison.levels.get(line_key, [""]) if value in drawn_values]
    has_bands = max(map(len, panels)) <= _MAX_BANDS
    handles: dict[str, Artist] = {}
    for i, axes in enumerate(grid.flat):
        if i >= len(panels):
            axes.set_axis_off()
            continue
        baseline = means[id(comparison.baseline)]
        [line] = axes.plot(range(1, len(baseline) + 1), baseline, color=_BASELINE_GREY, lw=3)
        handles["baseline"] = line
        for row in sorted(panels[i], key=lambda row: line_values.index(row.values.get(line_key, ""))):
            value = row.values.get(line_key, "")
            style = line_values.index(value) % MAX_LINES
            epochs = range(1, len(means[id(row)]) + 1)
            [line] = axes.plot(epochs, means[id(row)], color=_GREYS[style], ls=DASHES[style], lw=1.3)
            handles[make_label(value) or _TITLES[column]] = line
            if has_bands:
                ranges = curves.geometric_mean_and_range(row, column)
                lower, upper = [low for _, low, _ in ranges], [high for _, _, high in ranges]
                axes.fill_between(epochs, lower, upper, color=INK, alpha=0.12, lw=0)
        other_values = {key: value for key, value in panels[i][0].values.items() if key != line_key}
        names = abbreviate_keys(list(other_values))
        title = " ".join(f"{names[key]}={value}" for key, value in other_values.items())
        axes.set_title(make_label(title), fontsize=10)
        axes.grid(axis="y", color="0.92")
        axes.set_axisbelow(True)
        if i + column_count >= len(panels):  # nothing is below it
            axes.tick_params(labelbottom=True)
    note = "; bands: ± one standard deviation" if has_bands else ""
    if column == "val_loss":
        low, high, above = _narrow_limits([means[id(row)] for panel in panels for row in panel])
        if low < high:
            grid[0][0].set_ylim(low, high)
            note += f"; {format_count(above, 'curve')} above this axis" if above else ""
    else:
        grid[0][0].set_yscale("log")
    labels = [label for label in ("baseline", *map(make_label, line_values), _TITLES[column]) if label in handles]
    figure.legend(
        [handles[label] for label in labels],
        labels,
        loc="outside upper center",
        ncols=len(labels),
        frameon=False,
        title=make_label(line_key),
    )
    figure.supxlabel(f"epoch, until the first seed ends{limit_note.replace('the', 'panels: the')}{note}", fontsize=10)
    figure.supylabel(f"{_TITLES[column]} loss (nats)", fontsize=10)
    return figure


def _choose_line_key(comparison: Comparison, rows: Sequence[Row]) -> str:
    """Return the key whose values are lines of one panel: the one with most values of those that fit a panel."""
    level_counts = {key: len({row.values[key] for row in rows}) for key in comparison.keys}
    fitting = {key: count for key, count in level_counts.items() if count <= MAX_LINES} or level_counts
    return max(reversed(fitting), key=lambda key: fitting[key], default="")


def _group_into_panels(rows: Sequence[Row], line_key: str) -> list[list[Row]]:
    """Return the rows of each panel, which agree in all keys but one, in the order of the table."""
    groups: dict[tuple[str, ...], list[Row]] = {}
    for row in rows:
        groups.setdefault(tuple(value for key, value in row.values.items() if key != line_key), []).append(row)
    return [group[i : i + MAX_LINES] for group in groups.values() for i in range(0, len(group), MAX_LINES)]


def _narrow_limits(curves: Sequence[Sequence[float]]) -> tuple[float, float, int]:
    """Return the ends of an axis on which the later halves of most curves can be told apart.

    Args:
        curves: the mean of each row for each epoch.

    Returns:
        The lower and the upper end, and the number of curves that are above the axis.
    """
    finite_curves = [[value for value in curve if math.isfinite(value)] for curve in curves]
    finite_curves = [curve for curve in finite_curves if curve]
    if not finite_curves:
        return 0.0, 0.0, 0
    late_curves = [curve[len(curve) // 2 :] for curve in finite_curves]
    low, ends = min(map(min, finite_curves)), sorted(map(min, late_curves))
    median = ends[len(ends) // 2]
    last_end = max(end for end in ends if end <= low + _MEDIAN_DISTANCES * (median - low) or end == low)
    visible_curves = [curve for curve in late_curves if min(curve) <= last_end]
    high = min(max(map(max, visible_curves)), 2 * last_end - low)
    margin = 0.06 * (high - low)
    return low - margin, high + margin, len(ends) - len(visible_curves)
