"""The plot of accuracies on corrupted test images by the strength of each corruption. Imports no torch."""

import math
from collections import defaultdict
from collections.abc import Sequence

from matplotlib.figure import Figure

from regexp.comparison.compare import Comparison
from regexp.comparison.plotting.style import DASHES, INK, MARKERS, PALE, make_label
from regexp.comparison.rows import Row
from regexp.comparison.statistics import CONFIDENCE_LEVEL, estimate_mean
from regexp.runs.run import Run
from regexp.runs.run_record import READ_ERRORS, RunRecord

METRIC = "test_corrupted_accuracy"
# The lines beside that of the baseline. More of them cover each other.
MAX_LINES = 6
_COLUMNS = 3
_MARGIN = 3  # percentage points
_LEGEND_LETTERS = 84  # in a line, for all names together
# For each corruption and strength, which is 0 for images as they are: the accuracy by seed.
Accuracies = dict[tuple[str, int], dict[int, float]]


def plot_robustness(comparison: Comparison) -> Figure:
    """Plot a panel for each corruption: the accuracy by its strength, a line for each configuration.

    Points are means over seeds, with 95 % intervals. Of many configurations, the baseline is shown, and those with the
    best mean accuracy on corrupted images.
    """
    accuracies = {id(row): read_accuracies(row) for row in comparison.rows if METRIC in row.scores}
    rows, limit_note = _choose_rows(comparison, [row for row in comparison.rows if accuracies.get(id(row))])
    keys = dict.fromkeys(key for row in rows for key in accuracies[id(row)])
    corruptions, strengths = list(dict.fromkeys(name for name, _ in keys)), sorted({level for _, level in keys})
    row_count = math.ceil(len(corruptions) / _COLUMNS)
    figure = Figure(figsize=(3.1 * _COLUMNS + 0.6, 2.6 * row_count + 0.9), layout="constrained")
    grid = figure.subplots(row_count, _COLUMNS, sharex=True, sharey=True, squeeze=False)
    lines, has_intervals = {}, False
    for i, axes in enumerate(grid.flat):
        if i >= len(corruptions):
            axes.set_axis_off()
            continue
        others = 0
        for k, row in enumerate(rows):
            is_baseline = row is comparison.baseline
            table = accuracies[id(row)]
            levels = [level for level in strengths if (corruptions[i], level) in table]
            estimates = [estimate_mean(list(table[corruptions[i], level].values())) for level in levels]
            half_widths = [estimate.half_width for estimate in estimates]
            has_intervals = has_intervals or any(half_widths)
            shift = 0.07 * (k - (len(rows) - 1) / 2)  # so that intervals do not hide each other
            lines[id(row)] = axes.errorbar(
                [level + shift for level in levels],
                [100 * estimate.mean for estimate in estimates],
                yerr=[math.nan if width is None else 100 * width for width in half_widths],
                color=PALE if is_baseline else INK,
                ls="-" if is_baseline else DASHES[others],
                marker=None if is_baseline else MARKERS[others],
                mfc="white",
                ms=5,
                lw=3 if is_baseline else 1.1,
                elinewidth=1,
                capsize=2,
                zorder=2 if is_baseline else 3,
            )
            others += not is_baseline
        axes.set_title(make_label(corruptions[i]), fontsize=10)
        axes.set_xticks(strengths, ["clean", *map(str, strengths[1:])])
        axes.grid(axis="y", color="0.92")
        axes.set_axisbelow(True)
        if i + _COLUMNS >= len(corruptions):  # nothing is below it
            axes.tick_params(labelbottom=True)
    low, high = grid[0][0].get_ylim()
    grid[0][0].set_ylim(max(low, -_MARGIN), min(high, 100 + _MARGIN))  # an interval may reach beyond what is possible
    labels = [make_label(row.title) + (" (baseline)" if row is comparison.baseline else "") for row in rows]
    ncols = max(1, min(len(rows), _LEGEND_LETTERS // (max(map(len, labels)) + 6)))
    title = make_label(comparison.keys[0]) if len(comparison.keys) == 1 else ""  # labels of several keys name them
    figure.legend(
        list(lines.values()), labels, loc="outside upper center", ncols=ncols, frameon=False, fontsize=9, title=title
    )
    intervals = f" and their {100 * CONFIDENCE_LEVEL:g} % intervals" if has_intervals else ""
    figure.supxlabel(f"strength of the corruption. Means over seeds{intervals}{limit_note}", fontsize=10)
    figure.supylabel("test accuracy (%)", fontsize=10)
    return figure


def read_accuracies(row: Row) -> Accuracies:
    """Return the accuracies of the runs of a row, those of a seed averaged where several runs have it."""
    lists: dict[tuple[str, int], dict[int, list[float]]] = defaultdict(lambda: defaultdict(list))
    for record in row.records:
        if record.seed in row.scores.get(METRIC, {}):
            for key, accuracy in _read_run(record).items():
                lists[key][record.seed].append(accuracy)
    return {key: {seed: sum(x) / len(x) for seed, x in seeds.items()} for key, seeds in lists.items()}


def _read_run(record: RunRecord) -> dict[tuple[str, int], float]:
    """Return the accuracies of one run by corruption and strength; none where its summary has changed since."""
    if not record.finished:
        return {}
    try:
        summary = Run(record.directory).summary or {}
        return {
            (name, level): float(accuracy)
            for name, values in summary["corruptions"].items()
            for level, accuracy in enumerate([summary["test"]["accuracy"], *values])
        }
    except READ_ERRORS:
        return {}


def _choose_rows(comparison: Comparison, rows: Sequence[Row]) -> tuple[list[Row], str]:
    """Return the rows to draw, the baseline first and then the best first, and a note if they are not all."""
    others = [row for row in rows if row is not comparison.baseline]
    others.sort(key=lambda row: -math.fsum(row.scores[METRIC].values()) / len(row.scores[METRIC]))
    note = f" (the best {MAX_LINES} of {len(others):,} beside the baseline)" if len(others) > MAX_LINES else ""
    return [*(row for row in rows if row is comparison.baseline), *others[:MAX_LINES]], note
