"""Plots of a comparison: every configuration is told, nothing is covered, and small differences show."""

from itertools import combinations, pairwise
from pathlib import Path

import numpy as np
import pytest
from helpers.run_directories import write_run
from matplotlib.axes import Axes
from matplotlib.backends.backend_agg import FigureCanvasAgg
from matplotlib.figure import Figure
from matplotlib.text import Annotation

from regexp.comparison.compare import Comparison, compare_collection
from regexp.comparison.curves import Curves
from regexp.comparison.loading import collect
from regexp.comparison.plotting.differences import plot_differences
from regexp.comparison.plotting.interactions import plot_interactions
from regexp.comparison.plotting.loss_curves import _narrow_limits, plot_curves
from regexp.comparison.plotting.overfitting import plot_gap
from regexp.comparison.plotting.point_labels import label_points

LEVELS = {
    "normalization": ("none", "batch"),
    "model.dropout": ("0", "0.2", "0.5"),
    "optimizer.weight_decay": ("0", "0.1"),
}


@pytest.fixture(scope="module")
def comparison(tmp_path_factory: pytest.TempPathFactory) -> Comparison:
    """Return a comparison of 12 configurations of two seeds, of which weight decay changes hardly anything."""
    directory: Path = tmp_path_factory.mktemp("runs")
    for i, normalization in enumerate(LEVELS["normalization"]):
        for j, dropout in enumerate(LEVELS["model.dropout"]):
            for k, decay in enumerate(LEVELS["optimizer.weight_decay"]):
                overrides = [f"normalization={normalization}", f"model.dropout={dropout}"]
                for seed in range(2):
                    accuracy = 0.9 + 0.03 * i - 0.01 * j + 0.0001 * k + 0.001 * seed
                    write_run(directory, [*overrides, f"optimizer.weight_decay={decay}"], seed, accuracy, accuracy)
    return compare_collection(collect([directory]))


def read_texts(figure: Figure) -> str:
    """Return all texts of a figure, those of its legends included."""
    return "\n".join(text.get_text() for text in figure.findobj(lambda artist: hasattr(artist, "get_text")))


@pytest.mark.parametrize("seed", range(3))
def test_labels_cover_neither_each_other_nor_points(seed: int) -> None:
    generator = np.random.default_rng(seed)
    clusters = generator.uniform(0, 1, (12, 2))
    points = [tuple(clusters[i % 12] + generator.normal(0, 0.01, 2)) for i in range(40)]
    figure = Figure(figsize=(6, 4))
    axes: Axes = figure.subplots()
    axes.plot(*zip(*points, strict=True), "o", ms=5)
    label_points(figure, axes, points, [str(i) for i in range(40)])
    labels = [artist for artist in axes.get_children() if isinstance(artist, Annotation)]
    numbers = [int(number) for label in labels for number in label.get_text().split(", ")]
    assert sorted(numbers) == list(range(40)), "every point is told once"
    renderer = FigureCanvasAgg(figure).get_renderer()  # type: ignore[no-untyped-call]
    boxes = [label.get_window_extent(renderer) for label in labels]
    assert not [pair for pair in combinations(boxes, 2) if pair[0].overlaps(pair[1])]
    frame = axes.get_window_extent(renderer)
    assert all(frame.contains(*corner) for box in boxes for corner in box.corners())
    positions = axes.transData.transform(points)
    assert not [box for box in boxes for position in positions if box.contains(*position)]


def test_the_plot_of_gaps_names_every_configuration(comparison: Comparison) -> None:
    text = read_texts(plot_gap(comparison))
    for number, row in enumerate(comparison.rows, 1):
        assert f"{number:>3}  {row.title}" in text
    assert "normalization: none" in text  # the markers


def test_plots_name_their_keys(comparison: Comparison) -> None:
    differences = read_texts(plot_differences(comparison))
    assert all(row.title in differences for row in comparison.rows if row is not comparison.baseline)
    interactions = read_texts(plot_interactions(comparison))
    assert all(key in interactions for key in LEVELS)


@pytest.mark.parametrize("column", ["val_loss", "train_loss"])
def test_every_configuration_has_a_curve(comparison: Comparison, column: str) -> None:
    curves = Curves(comparison.rows)
    figure = plot_curves(comparison, curves, column)
    panels = [axes for axes in figure.axes if axes.get_lines()]
    assert len(panels) == 4  # lines are those of the key with most values, dropout
    assert sum(len(axes.get_lines()) for axes in panels) == len(comparison.rows) + len(panels)
    text = read_texts(figure)
    for words in ("model.dropout", "norm=batch wd=0.1", "baseline", "0.2"):
        assert words in text


def test_more_values_than_a_panel_takes_are_in_several(tmp_path: Path) -> None:
    for i in range(14):
        write_run(tmp_path, [f"optimizer.lr={0.001 * (i + 1)}"], 0)
    comparison = compare_collection(collect([tmp_path]))
    panels = [axes for axes in plot_curves(comparison, Curves(comparison.rows), "val_loss").axes if axes.get_lines()]
    assert [len(axes.get_lines()) - 1 for axes in panels] == [6, 6, 2]


def test_small_differences_of_validation_losses_show() -> None:
    """Curves fall from 2.3, and end between 0.40 and 0.44; one never learns."""
    epochs = np.arange(1, 41)
    finals = (0.40, 0.41, 0.42, 0.43, 0.44)
    curves = [list(final + 1.9 * np.exp(-epochs / 4)) for final in finals]
    low, high, above = _narrow_limits([*curves, [2.3] * 40, [float("nan")] * 40])
    assert above == 1
    assert low < min(finals)
    assert all(max(curve[20:]) < high for curve in curves)
    # Neighbouring curves end at least a twentieth of the axis apart.
    assert all(b - a > (high - low) / 20 for a, b in pairwise(finals))
    assert _narrow_limits([[float("inf")]]) == (0.0, 0.0, 0)
