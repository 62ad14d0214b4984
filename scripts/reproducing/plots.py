"""Plots of what was measured. Lines can be told apart without colour: by their dashes and markers."""

import math
from collections.abc import Callable, Sequence
from pathlib import Path
from statistics import mean

import matplotlib
from matplotlib.axes import Axes
from matplotlib.figure import Figure

from regexp import Run
from regexp.comparison.plotting.style import DASHES, INK, MARKERS, PALE, STYLE
from reproducing.experiment import Experiment
from reproducing.measurement import Measurement
from reproducing.selection import Selection
from reproducing.tables import Row, Table, label_values, name_table

_COLORS = ("#1b6ca8", "#c1440e", "#3f7d20", "#6b4c9a")
_ERROR = "test error (%)"

# The text in place of each kind of plot, for who does not see it.
DESCRIPTIONS = {
    "errors": "Test errors with their intervals",
    "noise": "Test errors with their intervals, by what splits the experiment",
    "curves": "Validation errors over epochs",
    "steps": "Validation accuracy over training steps",
}


def save_plot(experiment: Experiment, measurement: Measurement, selection: Selection, path: Path) -> None:
    """Save the plot of an experiment as PNG.

    Args:
        experiment: the experiment.
        measurement: what its runs measured.
        selection: its runs.
        path: the file.
    """
    with matplotlib.rc_context(STYLE):
        figure = PLOTS[experiment.plot](experiment, measurement, selection)
        path.parent.mkdir(parents=True, exist_ok=True)
        figure.savefig(path, dpi=110, metadata={"Software": None})


def plot_errors(experiment: Experiment, measurement: Measurement, selection: Selection) -> Figure:
    """Plot the test error of each row with its interval, and beside it the published one and the one to reach."""
    tables = measurement.tables
    height = 0.9 + 0.27 * sum(len(table.rows) + 1.5 * (len(tables) > 1) for table in tables)
    figure = Figure(figsize=(7.0, max(2.2, height)), layout="constrained")
    panels = figure.subplots(len(tables), 1, squeeze=False, height_ratios=[len(table.rows) for table in tables])
    for axes, table in zip(panels[:, 0], tables, strict=True):
        for place, row in enumerate(table.rows):
            if row.error is not None:
                axes.errorbar(row.error, place, xerr=row.half_width, fmt="o", color=INK, ms=5, capsize=3, elinewidth=1)
        _mark(axes, table.rows, "published", "D")
        _mark(axes, table.rows, "target", "|")
        # The label of a cocktail names all that is in it: its beginning says which row it is.
        axes.set_yticks(range(len(table.rows)), [row.label.partition(":")[0] for row in table.rows])
        axes.set_ylim(len(table.rows) - 0.5, -0.5)
        axes.grid(axis="x", color="0.93")
        axes.set_title(name_table(experiment, table), fontsize=10, loc="left")
        axes.set_xlim(left=max(0.0, axes.get_xlim()[0]))
    panels[-1, 0].set_xlabel(_ERROR)
    if panels[0, 0].get_legend_handles_labels()[0]:
        panels[0, 0].plot([], [], "o", color=INK, ms=5, label="measured")
        figure.legend(loc="outside upper left", ncols=3, fontsize=9, frameon=False)
    return figure


def _mark(axes: Axes, rows: Sequence[Row], name: str, marker: str) -> None:
    """Mark the published errors of rows, or those to reach, beside the measured ones."""
    points = [(getattr(row, name), place) for place, row in enumerate(rows) if getattr(row, name) is not None]
    if points:
        style = {"mfc": "white", "ms": 6} if marker != "|" else {"ms": 14}
        label = "to reach" if name == "target" else name
        axes.plot(*zip(*points, strict=True), marker, color="#c1440e", label=label, zorder=1, **style)


def plot_noise(experiment: Experiment, measurement: Measurement, selection: Selection) -> Figure:
    """Plot the test error of each configuration, with its interval, over the values that split the experiment."""
    figure = Figure(figsize=(6.4, 3.6), layout="constrained")
    axes = figure.subplots()
    labels = dict.fromkeys(row.label for table in measurement.tables for row in table.rows)
    for place, label in enumerate(labels):
        points = [(float(table.value or 0), _find_row(table, label)) for table in measurement.tables]
        axes.errorbar(
            [x for x, _ in points],
            [math.nan if row is None or row.error is None else row.error for _, row in points],
            yerr=[0.0 if row is None or row.half_width is None else row.half_width for _, row in points],
            fmt=MARKERS[place % len(MARKERS)],
            linestyle=DASHES[place % len(DASHES)],
            color=_COLORS[place % len(_COLORS)],
            capsize=3,
            label=label,
        )
    axes.set(xlabel=experiment.split, ylabel=_ERROR)
    axes.legend(frameon=False)
    axes.grid(color="0.93")
    return figure


def _find_row(table: Table, label: str) -> Row | None:
    return next((row for row in table.rows if row.label == label), None)


def plot_curves(experiment: Experiment, measurement: Measurement, selection: Selection) -> Figure:
    """Plot the validation error of each configuration over epochs: the mean and the range over seeds."""
    figure = _plot_scores(experiment, measurement, selection, lambda run: 1, lambda accuracy: 100 * (1 - accuracy))
    for axes in figure.axes:
        axes.set_xlabel("epoch")
        axes.set_yscale("log")
        axes.yaxis.set_major_formatter("{x:g}")
        axes.yaxis.set_minor_formatter("{x:g}")
    figure.axes[0].set_ylabel("validation error (%)")
    return figure


def plot_steps(experiment: Experiment, measurement: Measurement, selection: Selection) -> Figure:
    """Plot the validation accuracy of each configuration over training steps: the mean and the range over seeds."""
    figure = _plot_scores(experiment, measurement, selection, _count_steps, lambda accuracy: 100 * accuracy)
    for axes in figure.axes:
        axes.set_xlabel("step")
    figure.axes[0].set_ylabel("validation accuracy (%)")
    return figure


def _plot_scores(
    experiment: Experiment,
    measurement: Measurement,
    selection: Selection,
    epoch_length: Callable[[Run], int],
    score: Callable[[float], float],
) -> Figure:
    """Plot a score of each configuration over training, with a panel for each table.

    Args:
        experiment: the experiment.
        measurement: what its runs measured.
        selection: its runs.
        epoch_length: returns the length of an epoch of a run, in units of the axis.
        score: returns what is plotted of a validation accuracy.
    """
    tables = measurement.tables
    figure = Figure(figsize=(max(6.4, 4.2 * len(tables)), 3.4), layout="constrained")
    panels = figure.subplots(1, len(tables), squeeze=False, sharey=True)[0]
    for axes, table in zip(panels, tables, strict=True):
        for place, row in enumerate(table.rows):
            members = zip(selection.runs, selection.values, strict=True)
            runs = [run for run, values in members if dict(values) == dict(row.values)]
            curves = [[score(epoch["val_accuracy"]) for epoch in run.metrics] for run in runs]
            epochs = list(zip(*curves, strict=False))  # as far as all runs went
            positions = [epoch_length(runs[0]) * number for number in range(1, len(epochs) + 1)]
            color, dashes = _COLORS[place % len(_COLORS)], DASHES[place % len(DASHES)]
            label = label_values(experiment, row.values)
            axes.plot(positions, [mean(scores) for scores in epochs], linestyle=dashes, color=color, label=label)
            lowest, highest = [min(scores) for scores in epochs], [max(scores) for scores in epochs]
            axes.fill_between(positions, lowest, highest, color=color, alpha=0.2, linewidth=0)
        axes.grid(color=PALE, alpha=0.3)
        axes.set_title(name_table(experiment, table), fontsize=10, loc="left")
    panels[-1].legend(frameon=False)
    return figure


def _count_steps(run: Run) -> int:
    """Return the number of steps of an epoch."""
    assert run.summary is not None
    return math.ceil(int(run.summary["images"]["train"]) / int(run.config["batch_size"]))


Plot = Callable[[Experiment, Measurement, Selection], Figure]
PLOTS: dict[str, Plot] = {
    "errors": plot_errors,
    "noise": plot_noise,
    "curves": plot_curves,
    "steps": plot_steps,
}
