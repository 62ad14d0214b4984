"""Plots of the measurements, whose lines can be told apart without colour."""

from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

import matplotlib

matplotlib.use("Agg")
import matplotlib.pyplot as plt
from matplotlib.axes import Axes
from matplotlib.figure import Figure

from benchmarks.timing import Rows

# The first style is for runs that share one image stream, the second for runs that do not.
STYLES: tuple[dict[str, Any], ...] = (
    {"color": "#1b6ca8", "marker": "o", "linestyle": "-"},
    {"color": "#c1440e", "marker": "s", "linestyle": "--", "markerfacecolor": "white"},
)


def save_plots(measured: Mapping[str, Mapping[str, Rows]], directory: Path) -> None:
    """Save a PNG for each measured part that has a plot.

    Args:
        measured: for each part, its rows by title.
        directory: the directory of the files sweep_PART.png.
    """
    plt.rcParams.update({"font.size": 11, "axes.spines.top": False, "axes.spines.right": False, "axes.grid": True})
    plt.rcParams.update({"grid.color": "#e4e4e4", "legend.frameon": False, "axes.axisbelow": True})
    plots = {"speed": plot_speed, "width": plot_width, "runs": plot_runs}
    directory.mkdir(parents=True, exist_ok=True)
    print()
    for part, plot in plots.items():
        if part in measured:
            figure = plot(measured[part])
            figure.savefig(directory / f"sweep_{part}.png", dpi=100, bbox_inches="tight")
            plt.close(figure)
            print(directory / f"sweep_{part}.png")


def plot_speed(rows_by_title: Mapping[str, Rows]) -> Figure:
    """Plot the time of the alternatives over the time of each sweep trained together."""
    figure, axes = plt.subplots(figsize=(7.5, 2.8))
    names = ("the lesson's loop,\nrun by run", "regexp,\nrun by run", "the floor")
    for i, ((title, rows), style) in enumerate(zip(rows_by_title.items(), STYLES, strict=True)):
        floor = rows["times as long as the floor"]
        ratios = [
            rows["times faster than the lesson's loop"],
            rows["times faster than regexp run by run"],
            {"ratio": 1 / floor["ratio"], "lowest": 1 / floor["highest"], "highest": 1 / floor["lowest"]},
        ]
        heights = [height + 0.13 - 0.26 * i for height in (2, 1, 0)]
        label = title.partition(";")[0]
        axes.errorbar(**_error_bars("x", ratios), y=heights, label=label, **{**style, "linestyle": "none"}, capsize=3)
        for row, height in zip(ratios, heights, strict=True):
            _write_beside(axes, f"{row['ratio']:.3g}", row["highest"], height, va="center")
    axes.axvline(1, color="#777777", linewidth=1)
    _write_beside(axes, "regexp,\nall together", 1, 2.45, va="top")
    axes.set(xscale="log", xlabel="time of a run and epoch, over that of regexp's 48 runs together", ylim=(-0.5, 2.5))
    axes.set_xticks([0.5, 1, 2, 5, 10, 20, 50], ["0.5", "1", "2", "5", "10", "20", "50"])
    axes.set_xticks([], minor=True)
    axes.set_yticks([2, 1, 0], names)
    axes.grid(axis="y", visible=False)
    axes.legend(loc="upper center", bbox_to_anchor=(0.45, -0.25), ncols=2)
    return figure


def plot_width(rows_by_title: Mapping[str, Rows]) -> Figure:
    """Plot how many times faster runs train together, against the hidden layers."""
    figure, axes = plt.subplots(figsize=(7.5, 3.2))
    [rows] = rows_by_title.values()
    lines = _split_by_streams(rows, "8 learning rates of one seed", "8 seeds")
    for (label, line), style in zip(lines.items(), STYLES, strict=True):
        axes.errorbar(range(len(line)), **_error_bars("y", line), label=label, **style, capsize=3)
    shapes = [" x ".join(map(str, row["hidden_sizes"])) for row in line]
    axes.axhline(1, color="#777777", linewidth=1)
    axes.set_xticks(range(len(shapes)), shapes)
    axes.set(xlabel="hidden units", ylabel="times faster than\nrun by run, 8 runs", ylim=(0, None))
    axes.legend()
    return figure


def plot_runs(rows_by_title: Mapping[str, Rows]) -> Figure:
    """Plot the time of a run and epoch against the number of runs."""
    figure, axes = plt.subplots(figsize=(7.5, 3.2))
    [rows] = rows_by_title.values()
    lines = _split_by_streams(rows, "K learning rates of one seed", "K seeds")
    for (label, line), style in zip(lines.items(), STYLES, strict=True):
        axes.errorbar([row["runs"] for row in line], **_error_bars("y", line), label=label, **style, capsize=3)
    counts = [row["runs"] for row in line]
    axes.axhline(1, color="#777777", linewidth=1)
    axes.set_xscale("log", base=2)
    axes.set_xticks(counts, [str(count) for count in counts])
    axes.set(xlabel="runs together (K)", ylabel="time of a run and epoch,\nover that of a run alone", ylim=(0, None))
    axes.legend()
    return figure


def _write_beside(axes: Axes, text: str, x: float, y: float, va: str) -> None:
    """Write a text to the right of a point."""
    axes.annotate(text, (x, y), (6, 0), textcoords="offset points", va=va, fontsize=9)


def _split_by_streams(rows: Rows, shared_label: str, separate_label: str) -> dict[str, list[dict[str, Any]]]:
    """Return by label the rows of runs that share one image stream, and the rows of runs that have one each."""
    return {
        shared_label: [row for name, row in rows.items() if "one seed" in name],
        separate_label: [row for name, row in rows.items() if "one seed" not in name],
    }


def _error_bars(axis: str, rows: Sequence[Mapping[str, float]]) -> dict[str, Any]:
    """Return the arguments of `errorbar` for an axis: the medians, with bars from the lowest to the highest ratio."""
    below, above = [r["ratio"] - r["lowest"] for r in rows], [r["highest"] - r["ratio"] for r in rows]
    return {axis: [r["ratio"] for r in rows], f"{axis}err": [below, above]}
