"""Calibration and accuracies over the classes against scikit-learn and plain formulas in float64."""

import json
from collections.abc import Callable
from pathlib import Path

import numpy as np
import pytest
import torch
from sklearn import metrics
from torch import Tensor

from regexp.comparison.compare import compare_collection
from regexp.comparison.loading import collect
from regexp.comparison.verdicts import format_metric
from regexp.config.metric_registry import TALLY_METRICS, list_final_tags, list_metrics, list_run_metrics
from regexp.execution.images import encode_png
from regexp.execution.reliability_picture import draw_reliability
from regexp.runs.run import Run
from regexp.runs.run_record import read_run_record
from regexp.training.evaluation import measure
from regexp.training.measures.tally import BINS, Tally
from tests.helpers.run_directories import write_run

RUNS, IMAGES = 3, 230


def plain_ece(probabilities: np.ndarray, labels: np.ndarray) -> float:
    """Return the expected calibration error by its definition, bin by bin."""
    confidence, correct = probabilities.max(1), probabilities.argmax(1) == labels
    total = 0.0
    for m in range(BINS):
        inside = (confidence > m / BINS) & (confidence <= (m + 1) / BINS)
        if inside.any():
            total += inside.mean() * abs(correct[inside].mean() - confidence[inside].mean())
    return total


def plain_brier(probabilities: np.ndarray, labels: np.ndarray) -> float:
    return float(np.mean(((probabilities - np.eye(probabilities.shape[1])[labels]) ** 2).sum(1)))


def plain_worst(probabilities: np.ndarray, labels: np.ndarray) -> float:
    return min((probabilities.argmax(1)[labels == label] == label).mean() for label in np.unique(labels))


def top_five(probabilities: np.ndarray, labels: np.ndarray) -> float:
    classes = range(probabilities.shape[1])
    return float(metrics.top_k_accuracy_score(labels, probabilities, k=5, labels=classes))


ORACLES: dict[str, Callable[[np.ndarray, np.ndarray], float]] = {
    "balanced_accuracy": lambda p, y: metrics.balanced_accuracy_score(y, p.argmax(1)),
    "worst_class_accuracy": plain_worst,
    "top5_accuracy": top_five,
    "ece": plain_ece,
    "brier": plain_brier,
}


def draw_outputs(num_classes: int) -> tuple[Tensor, Tensor]:
    """Return logits [K, N, classes] that know something of their labels [K, N], among which one class is missing."""
    labels = torch.randint(max(1, num_classes - 1), (IMAGES,)).expand(RUNS, -1)
    scales = torch.tensor([0.3, 2.0, 20.0], dtype=torch.float64).view(RUNS, 1, 1)  # the last rounds to 0 and 1
    knowledge = torch.nn.functional.one_hot(labels, num_classes)
    return scales * (torch.randn(RUNS, IMAGES, num_classes, dtype=torch.float64) + knowledge), labels


def tally_parts(logits: Tensor, labels: Tensor, sizes: list[int]) -> Tally:
    """Return the tally of images that come in parts of these sizes."""
    tally = Tally(len(logits), logits.shape[-1], logits.device, torch.float64)
    for part, part_labels in zip(logits.split(sizes, 1), labels.split(sizes, 1), strict=True):
        tally.add(part, part_labels)
    return tally


@pytest.mark.filterwarnings("ignore:y_pred contains classes not in y_true")
@pytest.mark.parametrize("num_classes", [2, 5, 6, 12])
@pytest.mark.parametrize("sizes", [[IMAGES], [1, 100, 129]])
def test_every_final_metric_equals_its_oracle(num_classes: int, sizes: list[int]) -> None:
    logits, labels = draw_outputs(num_classes)
    values = measure(tally_parts(logits, labels, sizes))
    # Among five classes every label is one of the five largest: the figure would say nothing.
    assert set(values) == set(ORACLES) - ({"top5_accuracy"} if num_classes <= 5 else set())
    assert set(ORACLES) == set(TALLY_METRICS)
    for k in range(RUNS):
        probabilities = logits[k].softmax(-1).numpy()
        for name, value in values.items():
            assert float(value[k]) == pytest.approx(ORACLES[name](probabilities, labels[k].numpy()), abs=1e-12), name


def test_a_confidence_at_the_edge_of_bins_is_in_the_lower_one() -> None:
    tally = tally_parts(torch.zeros(1, 4, 3, dtype=torch.float64), torch.zeros(1, 4, dtype=torch.long), [4])
    assert tally.bin_sizes[0].nonzero().flatten().tolist() == [4]  # 1/3 = 5/15
    sure = torch.tensor([[[800.0, 0, 0]]], dtype=torch.float64)
    assert tally_parts(sure, torch.zeros(1, 1, dtype=torch.long), [1]).bin_sizes[0, -1] == 1


def test_a_diverged_run_changes_no_other_and_has_a_picture() -> None:
    logits, labels = draw_outputs(6)
    before = tally_parts(logits, labels, [IMAGES])
    logits[1] = torch.nan
    after = tally_parts(logits, labels, [IMAGES])
    for name, values in measure(after).items():
        assert torch.equal(values[[0, 2]], measure(before)[name][[0, 2]])
    assert encode_png(draw_reliability(after.reliability()[1])).width > 300


def test_a_reliability_diagram_shows_which_way_a_network_errs() -> None:
    colors = []
    for correct in (4.0, 9.0, 12.0):  # of 12 images with a confidence of 0.75
        reliability = torch.zeros(BINS, 3, dtype=torch.float64)
        reliability[11] = torch.tensor([12.0, 9.0, correct])
        colors.append({color for _, color in draw_reliability(reliability).getcolors(10_000)})
    orange, light_blue = (239, 138, 98), (146, 197, 222)
    assert [orange in picture for picture in colors] == [True, False, False]
    assert [light_blue in picture for picture in colors] == [False, False, True]


def test_a_metric_of_the_users_own_takes_the_place_of_one_with_its_name() -> None:
    user_metrics = list_metrics({"metrics.ece.better": "higher"})
    assert list_run_metrics(user_metrics)["test_ece"].better == 1
    assert list_run_metrics(list_metrics({}))["test_ece"].better == -1
    assert list(list_final_tags(user_metrics)).count("test_ece") == 1


def test_runs_recorded_before_there_were_these_metrics_still_compare(tmp_path: Path) -> None:
    old = write_run(tmp_path, ["epochs=3"], 0)
    new = write_run(tmp_path, ["epochs=3"], 1)
    summary = json.loads((new / "summary.json").read_text())
    summary["test"] |= {"ece": 0.25, "brier": None}
    (new / "summary.json").write_text(json.dumps(summary))
    assert "test_ece" not in read_run_record(Run(old)).metric_values
    [row] = compare_collection(collect([tmp_path]), metric="test_ece").rows
    assert row.scores["test_ece"] == {1: 0.25}
    assert set(row.scores["test_accuracy"]) == {0, 1}


@pytest.mark.parametrize(
    ("metric", "text"),
    [("test_ece", "12.35"), ("test_brier", "0.1235"), ("test_entropy", "0.1235"), ("val_loss", "0.1235")],
)
def test_figures_between_0_and_1_are_shown_with_enough_digits(metric: str, text: str) -> None:
    run_metrics = list_run_metrics(list_metrics({"metrics.entropy.better": "lower"}))
    assert format_metric(run_metrics[metric], 0.123456) == text
