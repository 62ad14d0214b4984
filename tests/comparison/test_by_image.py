"""Comparison by image: its tests and intervals against plain formulas, how often they are right, and what is shown."""

import json
import math
import re
from dataclasses import replace
from itertools import product
from pathlib import Path

import numpy as np
import pytest
import torch
from helpers.run_directories import write_run
from scipy import stats
from sklearn import metrics

from regexp import compare
from regexp.comparison.by_image.advice import advise_on_corruptions
from regexp.comparison.by_image.crossed_effects import (
    Floats,
    analyse_differences,
    compute_images_p_value,
    estimate_variances,
)
from regexp.comparison.by_image.measures import can_measure, measure, measure_images
from regexp.comparison.compare import Comparison, compare_collection
from regexp.comparison.explaining.notes import make_notes
from regexp.comparison.formats.markdown import to_markdown
from regexp.comparison.formats.writing import format_comparison
from regexp.comparison.loading import collect
from regexp.config.metric_registry import TALLY_METRICS
from regexp.errors import ConfigError
from regexp.runs.files.kept_logits import PREDICTIONS, SplitLogits, write_logits
from regexp.runs.identity import Identity
from regexp.training.evaluation import measure as measure_tally
from regexp.training.measures.tally import Tally

IMAGES, CLASSES = 60, 7


@pytest.mark.parametrize(("only_first", "only_second"), [(0, 0), (1, 0), (3, 3), (10, 2), (150, 211)])
def test_the_test_over_images_is_mcnemars_exact_test(only_first: int, only_second: int) -> None:
    differences = np.array([1.0] * only_first + [-1.0] * only_second + [0.0] * 50)
    number = only_first + only_second
    expected = stats.binomtest(only_first, number).pvalue if number else 1.0
    assert compute_images_p_value(differences, 1.0) == pytest.approx(expected, rel=1e-9)


@pytest.mark.parametrize("unit", [1.0, 0.5, 1 / 3])
def test_of_several_pairs_it_flips_the_signs_of_images(unit: float) -> None:
    differences = unit * np.array([3, -1, 2, 2, 0, 1, -3, 1, 4.0])
    sums = np.array([abs(np.dot(signs, differences)) for signs in product((1, -1), repeat=len(differences))])
    expected = np.mean(sums >= abs(differences.sum()) - 1e-9)
    assert compute_images_p_value(differences, unit) == pytest.approx(expected, rel=1e-9)


def test_of_many_images_it_is_the_test_of_durkalski() -> None:
    differences = np.random.default_rng(0).choice([-2, -1, 0, 1, 2, 3], 3000).astype(float)
    statistic = differences.sum() ** 2 / (differences**2).sum()
    assert compute_images_p_value(differences, 1.0) == pytest.approx(stats.chi2.sf(statistic, 1), rel=1e-6)
    assert compute_images_p_value(differences / 7, None) == pytest.approx(stats.chi2.sf(statistic, 1), rel=1e-6)


def test_the_parts_of_the_variance_are_the_mean_squares_of_a_two_way_table() -> None:
    generator = np.random.default_rng(1)
    table = generator.normal(size=(4, 1)) + generator.normal(size=(1, 30)) + generator.normal(size=(4, 30))
    seeds, images = table.shape
    grand_mean = table.mean()
    of_seeds = images * sum((row.mean() - grand_mean) ** 2 for row in table) / (seeds - 1)
    of_images = seeds * sum((column.mean() - grand_mean) ** 2 for column in table.T) / (images - 1)
    residual = sum(
        (table[s, i] - table[s].mean() - table[:, i].mean() + grand_mean) ** 2
        for s in range(seeds)
        for i in range(images)
    ) / ((seeds - 1) * (images - 1))
    over_seeds, over_images = estimate_variances(table)
    assert over_seeds == pytest.approx(of_seeds / table.size)
    assert over_images == pytest.approx((of_images - residual) / table.size)


def test_intervals_are_those_of_students_t_and_their_combination() -> None:
    generator = np.random.default_rng(2)
    shared = generator.normal(0.3, 1, 40)
    rows = {seed: shared + generator.normal(0, 0.5, 40) + generator.normal() / 4 for seed in range(3)}
    item = analyse_differences(rows, None)
    seed_interval = stats.ttest_1samp([row.mean() for row in rows.values()], 0).confidence_interval(0.95)
    assert item.seeds_half_width == pytest.approx((seed_interval.high - seed_interval.low) / 2)
    assert item.half_width == pytest.approx(math.hypot(item.seeds_half_width or 0, item.images_half_width))
    # The p-value is the level of the interval that ends at zero.
    assert item.p_value is not None
    over_seeds, over_images = estimate_variances(np.stack(list(rows.values())))
    assert over_seeds is not None
    quantiles = stats.t.isf(item.p_value / 2, [2, 39])
    assert math.hypot(*quantiles * np.sqrt([over_seeds, over_images])) == pytest.approx(abs(item.mean))
    alone = analyse_differences({0: rows[0]}, None)
    image_interval = stats.ttest_1samp(rows[0], 0).confidence_interval(0.95)
    assert alone.images_half_width == pytest.approx((image_interval.high - image_interval.low) / 2)
    assert (alone.seeds_half_width, alone.half_width, alone.p_value) == (None, None, None)


def simulate_differences(seeds: int, images: int, generator: np.random.Generator) -> dict[int, Floats]:
    """Return the differences of two configurations whose seeds differ, on images that differ, by seed.

    Networks classify an image correctly with a probability that depends on network and image. The true mean is zero.
    """
    easiness, preference = generator.normal(1.5, 1, images), generator.normal(0, 0.8, images)
    values = []
    for sign in (1, -1):
        skill = generator.normal(0, 0.25, (seeds, 1))
        values.append(generator.normal(size=(seeds, images)) < easiness + sign * preference + skill)
    return dict(enumerate(values[0].astype(float) - values[1]))


@pytest.mark.slow
@pytest.mark.parametrize("seeds", [2, 3, 5, 10])
def test_the_interval_over_both_covers_and_that_over_seeds_does_not(seeds: int) -> None:
    generator = np.random.default_rng(seeds)
    items = [analyse_differences(simulate_differences(seeds, 150, generator), 1.0) for _ in range(2000)]
    # Where all seeds have the same difference by chance, there is no interval.
    items = [item for item in items if item.half_width is not None]
    assert len(items) > 1900
    both = np.mean([abs(item.mean) <= (item.half_width or 0) for item in items])
    over_seeds = np.mean([abs(item.mean) <= (item.seeds_half_width or 0) for item in items])
    assert 0.94 <= both <= 0.995
    assert over_seeds < both - 0.01
    assert np.mean([(item.p_value or 0) <= 0.05 for item in items]) == pytest.approx(1 - both)


@pytest.mark.slow
def test_the_parts_of_the_variance_are_estimated_without_bias() -> None:
    generator = np.random.default_rng(3)
    estimates, means = [], []
    for _ in range(4000):
        table = np.stack(list(simulate_differences(3, 100, generator).values()))
        estimates.append(estimate_variances(table))
        means.append(table.mean())
    total = np.mean([(over_seeds or 0) + over_images for over_seeds, over_images in estimates])
    assert total == pytest.approx(np.var(means), rel=0.1)


@pytest.fixture(scope="module")
def logits() -> SplitLogits:
    generator = np.random.default_rng(4)
    labels = generator.integers(0, CLASSES, IMAGES)
    table = generator.normal(0, 2, (IMAGES, CLASSES)) + 2 * (np.arange(CLASSES) == labels[:, None])
    return SplitLogits(table.astype(np.float32), labels)


def test_metrics_are_those_of_scikit_learn_and_of_training(logits: SplitLogits) -> None:
    probabilities, labels = logits.probabilities, logits.labels
    predictions = probabilities.argmax(1)
    one_hot = np.eye(CLASSES)[labels]
    expected = {
        "accuracy": metrics.accuracy_score(labels, predictions),
        "loss": metrics.log_loss(labels, probabilities),
        "brier": ((probabilities - one_hot) ** 2).sum(1).mean(),
        "top5_accuracy": metrics.top_k_accuracy_score(labels, probabilities, k=5),
        "balanced_accuracy": metrics.balanced_accuracy_score(labels, predictions),
        "worst_class_accuracy": metrics.recall_score(labels, predictions, average=None).min(),
    }
    for name, value in expected.items():
        assert measure(name, probabilities, labels) == pytest.approx(value), name
    tally = Tally(1, CLASSES, torch.device("cpu"), torch.float64)
    tally.add(torch.from_numpy(logits.logits).double().unsqueeze(0), torch.from_numpy(labels).unsqueeze(0))
    for name, values in measure_tally(tally).items():
        assert measure(name, probabilities, labels) == pytest.approx(values.item()), name
    assert set(measure_tally(tally)) == set(TALLY_METRICS)  # each of them is measured here, too
    assert not can_measure("top5_accuracy", 5)


def make_logits(labels: np.ndarray, accuracy: float, seed: int) -> SplitLogits:
    """Return logits of which about this share have their largest value at the label."""
    generator = np.random.default_rng(seed)
    winners = np.where(generator.random(len(labels)) < accuracy, labels, (labels + 1) % CLASSES)
    table = generator.normal(0, 0.5, (len(labels), CLASSES)) + 3 * (np.arange(CLASSES) == winners[:, None])
    return SplitLogits(table.astype(np.float32), labels)


def keep(directory: Path, logits: SplitLogits) -> None:
    """Write the predictions of a run of `write_run`."""
    identity = Identity(**json.loads((directory / "run.json").read_text())["identity"])
    write_logits(directory, torch.from_numpy(logits.logits), torch.from_numpy(logits.labels), identity)


@pytest.fixture
def written(tmp_path: Path, logits: SplitLogits) -> dict[tuple[str, int], SplitLogits]:
    """Write runs of three configurations with three seeds, of which the last configuration has kept no predictions."""
    kept = {}
    for number, (name, accuracy) in enumerate({"none": 0.6, "batch": 0.8, "layer": 0.7}.items()):
        for seed in range(3):
            table = make_logits(logits.labels, accuracy, 10 * number + seed)
            value = measure("accuracy", table.probabilities, table.labels)
            directory = write_run(tmp_path, [f"normalization={name}"], seed, test_accuracy=value, val_accuracy=accuracy)
            if name != "layer":
                keep(directory, table)
                kept[name, seed] = table
    return kept


def correct(logits: SplitLogits) -> Floats:
    return measure_images("accuracy", logits.probabilities, logits.labels)


def compare_written(tmp_path: Path, **arguments: bool) -> Comparison:
    return compare_collection(collect([tmp_path]), baseline=["normalization=none"], **arguments)


def test_rows_with_predictions_are_paired_by_image(tmp_path: Path, written: dict[tuple[str, int], SplitLogits]) -> None:
    by_name = {row["normalization"]: row for row in compare(tmp_path, baseline={"normalization": "none"})}
    differences = {seed: correct(written["batch", seed]) - correct(written["none", seed]) for seed in range(3)}
    expected = analyse_differences(differences, 1.0)
    assert by_name["batch"]["difference"] == pytest.approx(expected.mean)
    assert by_name["batch"]["images_half_width"] == expected.images_half_width
    assert by_name["batch"]["p_images_of_pairs"] == expected.pair_p_values
    assert by_name["batch"]["p_both"] == by_name["batch"]["p_both_holm"] == expected.p_value
    assert by_name["batch"]["both_high"] - by_name["batch"]["both_low"] == pytest.approx(2 * (expected.half_width or 0))
    assert by_name["layer"]["images"] is None
    comparison = compare_written(tmp_path)
    notes = "\n".join(make_notes(comparison))
    assert "3 finished runs without predictions: tables by image leave these rows out; to add them without " in notes
    assert "normalization=layer seed=0,1 predictions=true" in notes
    text = to_markdown(comparison)
    assert "difference to normalization=none by image, 3 seeds x 60 images" in text
    for file_format in ("md", "json", "csv", "latex", "html"):
        assert "pairs" in format_comparison(file_format, comparison)
    assert "p_images_of_pairs" not in format_comparison("csv", comparison)


def test_without_predictions_nothing_is_added(tmp_path: Path, written: dict[tuple[str, int], SplitLogits]) -> None:
    for path in tmp_path.glob(f"*/{PREDICTIONS}"):
        path.unlink()
    comparison = compare_written(tmp_path)
    text = to_markdown(comparison)
    assert "by image" not in text
    assert "without predictions" not in text
    assert "may be off by up to" in text
    assert "(kept predictions measure it)" in text
    assert "p_images" not in format_comparison("json", comparison)
    with pytest.raises(
        ConfigError, match=r"--ensemble: no configuration has the predictions of all .*predictions=true"
    ):
        compare_written(tmp_path, ensemble=True)


def test_predictions_that_do_not_fit_are_left_out(
    tmp_path: Path, written: dict[tuple[str, int], SplitLogits], logits: SplitLogits
) -> None:
    path = tmp_path / "normalization=batch,seed=1" / PREDICTIONS
    content = path.read_bytes()
    path.write_bytes(content[:-1])
    comparison = compare_written(tmp_path, ensemble=True)
    assert comparison.image_pairing.differences == {}
    assert any(f"{PREDICTIONS} is broken" in note for note in make_notes(comparison))
    # The same number of images with other labels: another test set.
    for seed in range(3):
        keep(tmp_path / f"normalization=batch,seed={seed}", make_logits((logits.labels + 1) % CLASSES, 0.5, seed))
    comparison = compare_written(tmp_path, ensemble=True)
    assert comparison.image_pairing.differences == {}
    assert comparison.ensembles is not None
    assert len(comparison.ensembles.ensembles) == 2
    assert comparison.ensembles.differences == {}


def test_an_ensemble_is_the_mean_of_the_probabilities(
    tmp_path: Path, written: dict[tuple[str, int], SplitLogits]
) -> None:
    rows = compare(tmp_path, baseline={"normalization": "none"}, metric="test_ece", ensemble=True)
    by_name = {row["normalization"]: row for row in rows}
    ensembles = {}
    for name in ("none", "batch"):
        members = [written[name, seed] for seed in range(3)]
        mean = sum(torch.from_numpy(member.logits).double().softmax(1) for member in members).numpy() / 3
        ensembles[name] = (mean.argmax(1) == members[0].labels).astype(float)
        row = by_name[name]
        assert row["ensemble_accuracy"] == pytest.approx(ensembles[name].mean())
        assert row["single_accuracy"] == pytest.approx(np.mean([correct(member).mean() for member in members]))
        assert row["ensemble_gain"] == pytest.approx(row["ensemble_accuracy"] - row["single_accuracy"])
        assert row["ensemble_ece"] == pytest.approx(measure("ece", mean, members[0].labels))
    first, second = (
        int((ensembles["batch"] > ensembles["none"]).sum()),
        int((ensembles["batch"] < ensembles["none"]).sum()),
    )
    assert by_name["batch"]["ensemble_p_images"] == pytest.approx(stats.binomtest(first, first + second).pvalue)
    assert by_name["layer"]["ensemble_accuracy"] is None
    text = format_comparison("md", compare_written(tmp_path, ensemble=True))
    assert "Test accuracy of ensembles" in text


def test_rows_that_average_over_keys_average_images_too(tmp_path: Path, logits: SplitLogits) -> None:
    kept = {}
    for number, (name, dropout) in enumerate(product(("none", "batch"), (0.0, 0.5))):
        for seed in range(2):
            kept[name, dropout, seed] = make_logits(logits.labels, 0.6, 10 * number + seed)
            value = measure("accuracy", kept[name, dropout, seed].probabilities, logits.labels)
            overrides = [f"normalization={name}", f"model.dropout={dropout}"]
            keep(write_run(tmp_path, overrides, seed, test_accuracy=value), kept[name, dropout, seed])
    [_, row] = sorted(
        compare(tmp_path, by="normalization", baseline={"normalization": "none"}), key=lambda row: not row["baseline"]
    )
    means = {
        (name, seed): (correct(kept[name, 0.0, seed]) + correct(kept[name, 0.5, seed])) / 2
        for name in ("none", "batch")
        for seed in range(2)
    }
    expected = analyse_differences({seed: means["batch", seed] - means["none", seed] for seed in range(2)}, 0.5)
    assert row["p_images"] == expected.images_p_value
    assert row["difference"] == pytest.approx(expected.mean)
    with pytest.raises(ConfigError, match="--ensemble: an ensemble is of one configuration"):
        compare_collection(collect([tmp_path]), by=["normalization"], ensemble=True)


def test_a_single_image_has_no_interval(tmp_path: Path) -> None:
    for name, seed in product(("none", "batch"), range(2)):
        directory = write_run(tmp_path, [f"normalization={name}"], seed, test_accuracy=1.0, val_accuracy=0.5)
        keep(directory, make_logits(np.zeros(1, np.int64), 1.0, seed))
    comparison = compare_written(tmp_path, ensemble=True)
    assert "100.00" in to_markdown(comparison)
    for file_format in ("md", "json", "csv", "latex", "html"):
        assert not re.search(r"\binf(inity)?\b|\bnan\b", format_comparison(file_format, comparison), re.IGNORECASE)


def test_figures_that_runs_lack_are_added_by_their_command(tmp_path: Path) -> None:
    for name, seed in product(("none", "batch"), range(2)):
        write_run(tmp_path, [f"normalization={name}"], seed, test_accuracy=0.9)
    notes = "\n".join(make_notes(compare_collection(collect([tmp_path]), metric="corrupted_accuracy")))
    assert "4 finished runs without test corrupted accuracy: not in the differences; to add it without" in notes
    assert "evaluation.corruptions=true" in notes
    records = collect([tmp_path]).records
    assert (
        advise_on_corruptions([replace(record, config={**record.config, "data": "wine"}) for record in records]) == ""
    )
