"""Plots of a comparison: every configuration is told, nothing is covered, and small differences show."""

import json
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
from regexp.comparison.plotting.robustness import MAX_LINES, plot_robustness

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
                    run = write_run(
                        directory, [*overrides, f"optimizer.weight_decay={decay}"], seed, accuracy, accuracy
                    )
                    add_corruptions(run, accuracy)
    return compare_collection(collect([directory]))


CORRUPTIONS = {"noise": 0.1, "shift": 0.05}


def add_corruptions(directory: Path, accuracy: float) -> None:
    """Add the accuracies on corrupted images to the summary of a run: each strength takes as much away."""
    path = directory / "summary.json"
    summary = json.loads(path.read_text())
    corruptions = {name: [accuracy - loss * level for level in range(1, 6)] for name, loss in CORRUPTIONS.items()}
    summary["test"]["corrupted_accuracy"] = float(np.mean(list(corruptions.values())))
    path.write_text(json.dumps({**summary, "corruptions": corruptions}))


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


def test_a_panel_for_each_corruption_has_the_baseline_and_the_best_from_clean_images_to_the_strongest(
    comparison: Comparison,
) -> None:
    """The best are those with normalization; the seeds are 0.1 points apart, and their interval is 6.4 times that."""
    figure = plot_robustness(comparison)
    assert f"the best {MAX_LINES} of 11 beside the baseline" in read_texts(figure)
    labels = [text.get_text() for text in figure.legends[0].get_texts()]
    assert labels[0] == f"{comparison.baseline.title} (baseline)"
    assert len(labels) == MAX_LINES + 1
    assert all("norm=batch" in label for label in labels[1:])
    panels = {axes.get_title(): axes for axes in figure.axes if axes.get_title()}
    assert list(panels) == list(CORRUPTIONS)
    baseline_accuracy = np.mean([0.9, 0.901])
    for name, axes in panels.items():
        assert [label.get_text() for label in axes.get_xticklabels()] == ["clean", "1", "2", "3", "4", "5"]
        assert len(axes.containers) == len(labels)
        [line, _, [bars]] = axes.containers[0]
        means = np.array(line.get_ydata(), dtype=float)
        np.testing.assert_allclose(means, 100 * (baseline_accuracy - CORRUPTIONS[name] * np.arange(6)))
        ends = np.array([segment[:, 1] for segment in bars.get_segments()])  # [6, 2]
        np.testing.assert_allclose(ends[:, 1] - ends[:, 0], 2 * 100 * 12.706 * 0.001 / 2, rtol=1e-3)


def test_runs_without_corruptions_are_left_out_of_the_plot(comparison: Comparison, tmp_path: Path) -> None:
    """One of the configurations has none, one has two seeds of which one has some, and a summary was edited by hand."""
    for seed in range(2):
        write_run(tmp_path, ["model.dropout=0"], seed)
        run = write_run(tmp_path, ["model.dropout=0.2"], seed)
        broken = write_run(tmp_path, ["model.dropout=0.5"], seed)
        add_corruptions(broken, 0.9)
        summary = json.loads((broken / "summary.json").read_text())
        (broken / "summary.json").write_text(json.dumps({**summary, "corruptions": None}))
    add_corruptions(run, 0.9)
    figure = plot_robustness(compare_collection(collect([tmp_path])))
    assert [text.get_text() for text in figure.legends[0].get_texts()] == ["0.2"]
    [line, *_] = figure.axes[0].containers[0]
    assert line.get_ydata()[0] == pytest.approx(90)
