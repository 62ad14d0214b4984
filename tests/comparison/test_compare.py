"""Comparisons: differences, effects, verdicts and notes, and how often their findings are false."""

import math
from itertools import product
from pathlib import Path

import numpy as np
import pytest
from helpers.run_directories import simulate_grid, simulate_runs, write_run
from scipy import stats

from regexp.comparison.compare import Comparison, compare_collection
from regexp.comparison.effects import Effect
from regexp.comparison.explaining.notes import make_brief_notes, make_notes
from regexp.comparison.formats.tables import tabulate_overview
from regexp.comparison.grouping import group_by_configuration
from regexp.comparison.loading import Collection, collect
from regexp.comparison.statistics import count_required_seeds, sd_confidence_interval
from regexp.comparison.verdicts import INTERACTION, format_verdict
from regexp.config.metric_registry import RUN_METRICS
from regexp.errors import ConfigError

CONFIGURATIONS = ("none", "a", "b", "c")


def find_notes(comparison: Comparison, words: str) -> list[str]:
    """Return the notes that contain these words."""
    return [note for note in make_notes(comparison) if words in note]


def format_verdicts(comparison: Comparison) -> dict[str, str]:
    """Return the verdict on the difference of each row, by title."""
    return {
        row.title: format_verdict(row.difference, comparison.metric)
        for row in comparison.rows
        if row.difference is not None
    }


def summarize_differences(comparison: Comparison) -> dict[str, tuple[float, float | None, float | None, bool]]:
    """Return the mean, p-value, adjusted p-value and significance of the difference of each row, by title."""
    return {
        row.title: (
            row.difference.test.estimate.mean,
            row.difference.test.p_value,
            row.difference.adjusted_p_value,
            row.difference.significant,
        )
        for row in comparison.rows
        if row.difference is not None and row.difference.test is not None
    }


def format_effect(effect: Effect) -> str:
    """Return the values of an effect in one line."""
    return " x ".join(f"{key}={value}" for key, value in effect.values.items())


def test_differences_are_paired_by_seed() -> None:
    none = {0: 0.90, 1: 0.92, 2: 0.97, 3: 0.80}
    batch = {3: 0.83, 0: 0.92, 1: 0.93, 2: 0.99, 7: 0.1}
    comparison = compare_collection(simulate_runs({"none": none, "batch": batch}))
    assert comparison.baseline.title == "none"
    mean, p_value, adjusted_p_value, significant = summarize_differences(comparison)["batch"]
    expected = stats.ttest_rel([batch[seed] for seed in none], list(none.values()))
    assert mean == pytest.approx(0.02)
    assert p_value == adjusted_p_value == pytest.approx(expected.pvalue, abs=1e-12)
    assert significant == (expected.pvalue <= 0.05)
    assert any(note.startswith("Rows have different seeds") for note in make_notes(comparison))


def test_false_findings_are_as_rare_as_stated() -> None:
    """Tables without any difference: 1,000 families of three comparisons with 5 seeds."""
    rng = np.random.default_rng(0)
    unadjusted, families_with_findings, families = 0, 0, 1000
    for _ in range(families):
        shared = rng.normal(size=5)  # common to the seeds of all configurations, like an image stream
        scores = {name: dict(enumerate(0.9 + 0.01 * (shared + rng.normal(size=5)))) for name in CONFIGURATIONS}
        differences = list(summarize_differences(compare_collection(simulate_runs(scores))).values())
        unadjusted += sum(p <= 0.05 for _, p, _, _ in differences if p is not None)
        families_with_findings += any(significant for _, _, _, significant in differences)
    assert unadjusted <= stats.binom.ppf(0.999, 3 * families, 0.05)
    assert families_with_findings <= stats.binom.ppf(0.999, families, 0.05)
    # The tests do find differences as often as their level allows.
    assert unadjusted >= stats.binom.ppf(0.001, 3 * families, 0.04)


def test_false_findings_are_as_rare_as_stated_for_accuracies_on_few_images() -> None:
    """Accuracies on 360 images take few values, so that they are not normal."""
    rng = np.random.default_rng(1)
    for seeds, spread in ((3, 0.8), (5, 1.5), (8, 1.5)):
        accuracies = np.round(rng.normal(350, spread, size=(2, 1000, seeds))) / 360
        findings = sum(
            significant
            for baseline, scores in zip(*accuracies, strict=True)
            for _, _, _, significant in summarize_differences(
                compare_collection(simulate_runs({"none": dict(enumerate(baseline)), "a": dict(enumerate(scores))}))
            ).values()
        )
        assert findings <= stats.binom.ppf(0.999, 1000, 0.06)


@pytest.mark.parametrize("seeds", [3, 5, pytest.param(12, marks=pytest.mark.slow)])
def test_the_interval_covers_a_known_difference(seeds: int) -> None:
    rng = np.random.default_rng(seeds)
    covered = 0
    for _ in range(1000):
        shared = rng.normal(size=seeds)
        baseline = dict(enumerate(0.9 + 0.01 * (shared + rng.normal(size=seeds))))
        scores = dict(enumerate(0.902 + 0.01 * (shared + rng.normal(size=seeds))))
        row = next(
            row for row in compare_collection(simulate_runs({"none": baseline, "a": scores})).rows if row.title == "a"
        )
        assert row.difference is not None
        assert row.difference.test is not None
        low, high = row.difference.test.estimate.confidence_interval or (math.nan, math.nan)
        covered += low <= 0.002 <= high
    assert 0.93 <= covered / 1000 <= 0.97


def test_a_large_difference_is_found_and_named() -> None:
    baseline = {seed: 0.9 + 0.001 * (seed % 3) for seed in range(6)}
    scores = {
        "none": baseline,
        "up": {seed: value + 0.05 + 0.001 * (seed % 2) for seed, value in baseline.items()},
        "down": {seed: value - 0.05 - 0.001 * (seed % 2) for seed, value in baseline.items()},
        "noise": {seed: value + (-1) ** seed * 0.01 + 0.001 for seed, value in baseline.items()},
        "same": baseline,
    }
    verdicts = format_verdicts(compare_collection(simulate_runs(scores)))
    assert verdicts["up"] == "better"
    assert verdicts["down"] == "worse"
    assert verdicts["same"] == "the same with all 6 seeds"
    assert verdicts["noise"].startswith("not distinguishable with 6 seeds (a difference of 0.10 points would need ")
    losses = simulate_runs(scores, metric="test_loss")
    for record in losses.records:
        record.metric_values["val_accuracy"] = 0.5
    assert format_verdicts(compare_collection(losses, metric="test/loss"))["up"] == "worse"
    gaps = simulate_runs(scores, metric="gap")
    assert format_verdicts(compare_collection(gaps, metric="gap"))["up"] == "higher"


def test_a_verdict_says_when_sign_flips_contradict_it() -> None:
    """The last of six differences gets smaller, until the t test is below 5 % and the sign-flip test is not."""
    baseline = dict.fromkeys(range(6), 0.5)
    for last in np.linspace(0.0, 0.2, 400):
        differences = [0.1, 0.101, 0.1, 0.099, 0.1, 0.1 - last]
        comparison = compare_collection(
            simulate_runs({"none": baseline, "a": {i: 0.5 + d for i, d in enumerate(differences)}})
        )
        [difference] = [row.difference for row in comparison.rows if row.difference is not None]
        assert difference.test is not None
        assert difference.significant == (difference.test.p_value is not None and difference.test.p_value <= 0.05)
        if difference.significant and (difference.test.sign_flip_p_value or 0) > 0.05:
            assert format_verdict(difference, comparison.metric) == "better, though not by the sign-flip test"
            break
    else:
        pytest.fail("no such comparison was tried")


@pytest.mark.parametrize("metric", ["test_accuracy", "val_accuracy"])
def test_equal_differences_of_two_seeds_are_not_significant(metric: str) -> None:
    """One image of 360 more for both seeds: differences that differ in floating point, but have no spread."""
    for k in range(300, 358):
        scores = {"none": {0: k / 360, 1: (k + 1) / 360}, "a": {0: (k + 1) / 360, 1: (k + 2) / 360}}
        comparison = compare_collection(simulate_runs(scores, metric), metric=metric)
        [difference] = [row.difference for row in comparison.rows if row.difference is not None]
        assert difference.test is not None
        assert difference.test.estimate.sd == 0
        assert difference.test.p_value == 0.5
        assert not difference.significant
    equal = simulate_runs({"none": {0: 0.1 + 0.2, 1: 0.5}, "a": {0: 0.3, 1: 0.5}})
    [difference] = [row.difference for row in compare_collection(equal).rows if row.difference is not None]
    assert format_verdict(difference, RUN_METRICS["test_accuracy"]) == "the same with all 2 seeds"


def test_false_findings_are_as_rare_as_stated_with_two_seeds() -> None:
    rng = np.random.default_rng(2)
    families_with_findings = 0
    for accuracies in np.round(rng.normal(350, 3, size=(400, 9, 2))) / 360:
        scores = {str(i): dict(enumerate(map(float, by_seed))) for i, by_seed in enumerate(accuracies)}
        families_with_findings += any(
            significant
            for _, _, _, significant in summarize_differences(compare_collection(simulate_runs(scores))).values()
        )
    assert families_with_findings <= stats.binom.ppf(0.999, 400, 0.05)


def test_a_verdict_says_that_diverged_seeds_are_left_out(tmp_path: Path) -> None:
    for seed in range(6):
        write_run(tmp_path, ["normalization=none"], seed, test_accuracy=0.9 + 0.001 * seed)
        status = "diverged" if seed > 2 else "completed"
        write_run(
            tmp_path, ["normalization=batch"], seed, test_accuracy=0.95 + 0.0011 * seed, val_accuracy=0.9, status=status
        )
    comparison = compare_collection(collect([tmp_path]))
    [row] = [row for row in comparison.rows if row.difference is not None]
    assert row.difference is not None
    assert format_verdict(row.difference, comparison.metric) == "better, among the seeds that did not diverge"
    assert any("(3 seeds; 3 diverged)" in note for note in make_notes(comparison) if note.startswith("Chosen"))


def test_seconds_are_not_compared() -> None:
    with pytest.raises(ConfigError, match="runs that train together share their time"):
        compare_collection(simulate_runs({"none": {0: 1.0}, "a": {0: 2.0}}), metric="seconds")


@pytest.mark.parametrize(
    ("runs", "names", "condition"),
    [
        ([("data=digits", "d"), ("data=mnist", "m")], "digits, mnist", "data=digits"),
        (
            [("data=arrays data.path=a.npz", "d"), ("data=arrays data.path=b.npz", "m")],
            "a.npz, b.npz",
            "data.path=a.npz",
        ),
        ([("normalization=batch", "one"), ("normalization=none", "two")], "one, two", "data.fingerprint=one"),
    ],
    ids=["option", "path", "contents"],
)
def test_a_comparison_of_several_data_sets_says_so(
    tmp_path: Path, runs: list[tuple[str, str]], names: str, condition: str
) -> None:
    for overrides, data in runs:
        for seed in range(2):
            write_run(tmp_path, overrides.split(), seed, data=data)
    comparison = compare_collection(collect([tmp_path]))
    note = f"The runs are of 2 data sets ({names}): figures on one cannot be compared with figures on another."
    for notes in (make_notes(comparison), make_brief_notes(comparison)):
        assert notes.count(f"{note} Compare the runs of one: --where {condition}") == 1
    one = compare_collection(collect([tmp_path]), where=[condition])
    assert len(one.records) == 2
    assert not any("data sets" in note for note in make_notes(one))


def test_required_seeds_are_computed_for_the_corrected_level() -> None:
    rng = np.random.default_rng(6)
    scores = {name: dict(enumerate(0.9 + 0.01 * rng.normal(size=5))) for name in CONFIGURATIONS}
    differences = [
        row.difference for row in compare_collection(simulate_runs(scores)).rows if row.difference is not None
    ]
    for difference in differences:
        assert difference.test is not None
        estimate = difference.test.estimate
        assert estimate.sd is not None
        low, high = (
            count_required_seeds(estimate.mean, sd, 0.05 / 3) for sd in sd_confidence_interval(estimate.sd, 5, 0.8)
        )
        assert difference.required_seeds == (max(low, 6), max(high, 6))


def test_a_note_says_when_pairs_are_too_few_for_a_permutation_test() -> None:
    rng = np.random.default_rng(0)
    for seeds, expected in (
        (4, "A two-sided sign-flip permutation test of 4 pairs cannot reach 5 % (at best 12.5 %"),
        (6, None),
    ):
        scores = {name: dict(enumerate(rng.normal(size=seeds))) for name in CONFIGURATIONS}
        notes = find_notes(compare_collection(simulate_runs(scores)), "cannot reach")
        assert len(notes) == (expected is not None)
        assert all(note.startswith(str(expected)) for note in notes)


def test_one_seed_has_no_interval_and_a_note_with_the_command_for_more(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.delenv("UV", raising=False)
    comparison = compare_collection(simulate_runs({"none": {3: 0.9}, "a": {3: 0.8}}))
    assert all(row.estimate("test_accuracy").half_width is None for row in comparison.rows)  # type: ignore[union-attr]
    assert summarize_differences(comparison)["a"][1:] == (None, None, False)
    assert any(
        note.endswith("To get both: regexp -m normalization=a,b 'seed=range(5)'") for note in make_notes(comparison)
    )
    assert format_verdict(next(r.difference for r in comparison.rows if r.difference), comparison.metric).startswith(
        "one pair"
    )


def test_rows_without_a_seed_in_common_are_not_compared() -> None:
    comparison = compare_collection(simulate_runs({"none": {0: 0.9, 1: 0.91}, "a": {2: 0.8, 3: 0.81}}))
    [row] = [row for row in comparison.rows if row.difference is not None]
    assert row.difference is not None
    assert row.difference.test is None
    assert format_verdict(row.difference, comparison.metric) == "no pairs"


LEVELS = {"normalization": ["none", "batch"], "augmentation": ["none", "shift", "affine"]}


def draw_scores(rng: np.random.Generator, seeds: int = 4) -> dict[tuple[str, ...], dict[int, float]]:
    """Return random scores for every combination of values and seed."""
    return {values: dict(enumerate(rng.normal(size=seeds))) for values in product(*LEVELS.values())}


def test_averages_equal_those_of_a_plain_loop() -> None:
    cells = draw_scores(np.random.default_rng(5))
    comparison = compare_collection(simulate_grid(cells, tuple(LEVELS)), by=["augmentation"])
    assert comparison.averaged_keys == ["normalization"]
    for row in comparison.rows:
        for seed, value in row.scores["test_accuracy"].items():
            assert value == pytest.approx(
                sum(cells[n, row.values["augmentation"]][seed] for n in LEVELS["normalization"]) / 2
            )
    shift = summarize_differences(comparison)["shift"]
    gains = [
        np.mean([cells[n, "shift"][seed] - cells[n, "none"][seed] for n in LEVELS["normalization"]])
        for seed in range(4)
    ]
    assert shift[1] == pytest.approx(stats.ttest_1samp(gains, 0).pvalue, abs=1e-12)


def test_points_of_a_large_space_have_no_effects() -> None:
    """Thirty keys of three values have more combinations than can be listed."""
    keys = [f"key{i}" for i in range(30)]
    cells = {tuple(level for _ in keys): {0: 0.5, 1: 0.6} for level in "abc"}
    comparison = compare_collection(simulate_grid(cells, keys), by=keys)
    assert not comparison.main_effects
    assert not comparison.interactions


def test_averages_are_over_the_combinations_that_all_rows_have() -> None:
    """The combination of batch and affine is missing, so neither row is averaged over affine."""
    cells = draw_scores(np.random.default_rng(6))
    del cells["batch", "affine"]
    comparison = compare_collection(simulate_grid(cells, tuple(LEVELS)), by=["normalization"])
    for row in comparison.rows:
        none, shift = (cells[row.values["normalization"], a] for a in ("none", "shift"))
        assert row.scores["test_accuracy"] == {seed: pytest.approx((none[seed] + shift[seed]) / 2) for seed in range(4)}
    assert not comparison.main_effects
    assert "augmentation: not averaged over affine, which not all rows have." in make_notes(comparison)
    without_common = {("none", "none"): {0: 1.0}, ("batch", "shift"): {0: 1.0}}
    with pytest.raises(ConfigError, match="--by normalization: no combination of augmentation occurs with all values"):
        compare_collection(simulate_grid(without_common, tuple(LEVELS)), by=["normalization"])


def test_effects_and_interactions_equal_those_of_least_squares() -> None:
    """A linear model with treatment-coded interactions, fitted to each seed, gives the same contrasts."""
    cells = draw_scores(np.random.default_rng(7))
    comparison = compare_collection(simulate_grid(cells, tuple(LEVELS)))
    assert [format_effect(effect) for effect in comparison.main_effects] == [
        "normalization=batch",
        "augmentation=shift",
        "augmentation=affine",
    ]
    for effect in comparison.interactions:
        _, augmentation = effect.values.values()
        samples = []
        for seed in range(4):
            design = [
                [
                    1,
                    x == "batch",
                    y == "shift",
                    y == "affine",
                    (x, y) == ("batch", "shift"),
                    (x, y) == ("batch", "affine"),
                ]
                for x, y in cells
            ]
            fitted, *_ = np.linalg.lstsq(np.array(design, float), [by_seed[seed] for by_seed in cells.values()])
            samples.append(fitted[4 if augmentation == "shift" else 5])
        assert effect.difference.test is not None
        assert effect.difference.test.estimate.mean == pytest.approx(np.mean(samples))
        assert effect.difference.test.p_value == pytest.approx(stats.ttest_1samp(samples, 0).pvalue)
    main = comparison.main_effects[0].difference.test
    assert main is not None
    assert main.estimate.mean == pytest.approx(
        np.mean([[cells["batch", a][s] - cells["none", a][s] for a in LEVELS["augmentation"]] for s in range(4)])
    )


def test_an_interaction_has_a_verdict_of_its_own() -> None:
    cells = {values: {s: 0.5 + 0.001 * s for s in range(5)} for values in product(*LEVELS.values())}
    cells["batch", "shift"] = {s: 0.9 + 0.0011 * s for s in range(5)}
    comparison = compare_collection(simulate_grid(cells, tuple(LEVELS)))
    interaction_verdicts = {
        format_effect(effect): format_verdict(effect.difference, comparison.metric, INTERACTION)
        for effect in comparison.interactions
    }
    assert interaction_verdicts["normalization=batch x augmentation=shift"] == "more than additive"
    assert any(note.startswith("Keys interact") for note in make_notes(comparison))


def test_a_grid_with_a_gap_has_no_effects() -> None:
    cells = draw_scores(np.random.default_rng(8))
    del cells["batch", "shift"]
    incomplete = compare_collection(simulate_grid(cells, tuple(LEVELS)))
    assert incomplete.main_effects == incomplete.interactions == []
    cells = draw_scores(np.random.default_rng(8))
    cells["batch", "shift"] = {9: 0.5}
    without_common_seed = compare_collection(simulate_grid(cells, tuple(LEVELS)))
    assert without_common_seed.main_effects == []
    assert "No effects of single keys: the configurations have no seed in common." in make_notes(without_common_seed)
    assert "No effects of single keys: some combinations of values are missing." in make_notes(incomplete)


def test_the_baseline_is_chosen_by_conditions() -> None:
    collection = simulate_grid(draw_scores(np.random.default_rng(9)), tuple(LEVELS))
    assert compare_collection(collection).baseline.title == "norm=none aug=none"
    assert compare_collection(collection, baseline=["augmentation=affine"]).baseline.title == "norm=none aug=affine"
    conditions = ["normalization=batch", "augmentation=shift"]
    comparison = compare_collection(collection, baseline=conditions)
    assert comparison.baseline.title == "norm=batch aug=shift"
    # Effects are differences to the same values.
    assert {(key, value) for effect in comparison.main_effects for key, value in effect.reference.items()} == {
        ("normalization", "batch"),
        ("augmentation", "shift"),
    }


@pytest.mark.parametrize(
    ("options", "message"),
    [
        (
            {"baseline": ["normalization=batsh"]},
            "normalization=batsh: no run has this value; the values are none, batch",
        ),
        ({"baseline": ["normalization"]}, "--baseline normalization: type key=value"),
        ({"baseline": ["normalisation=batch"]}, "--baseline normalisation: .* did you mean normalization?"),
        ({"baseline": ["seed=1"]}, "--baseline seed: the keys that varied are normalization, augmentation"),
        ({"where": ["augmentation"]}, "augmentation: is not a condition; type key=value"),
        ({"metric": "accuracy"}, "--metric accuracy: must be one of test_accuracy, .*did you mean"),
        ({"sort": "nonsense"}, "--sort nonsense: must be one of normalization, augmentation, test_accuracy"),
        (
            {"by": ["normalisation"]},
            "--by normalisation: the keys that varied are normalization, augmentation; did you mean",
        ),
        ({"where": ["seed=77"]}, "seed=77: no run has this value; the values are 0, 1, 2, 3"),
        ({"where": ["augmentation=shift", "normalization=layer"]}, "normalization=layer: no run has this value"),
    ],
    ids=str,
)
def test_mistakes_in_options_are_answered(options: dict[str, list[str]], message: str) -> None:
    with pytest.raises(ConfigError, match=message):
        compare_collection(simulate_grid(draw_scores(np.random.default_rng(0)), tuple(LEVELS)), **options)  # type: ignore[arg-type]


def test_rows_are_sorted_as_asked() -> None:
    scores = {"none": {0: 0.5}, "a": {0: 0.9}, "b": {0: 0.7}}
    by_default = compare_collection(simulate_runs(scores))
    by_key = compare_collection(simulate_runs(scores), sort="normalization")
    by_loss = compare_collection(simulate_runs(scores, "test_loss"), sort="test/loss")
    assert [row.title for row in by_default.rows] == ["a", "b", "none"]
    assert [row.title for row in by_key.rows] == ["none", "a", "b"]
    assert [row.title for row in by_loss.rows] == ["none", "b", "a"]


def test_a_note_says_that_the_best_of_many_was_chosen() -> None:
    [note] = find_notes(compare_collection(simulate_runs({"none": {0: 0.5}, "a": {0: 0.9}})), "Chosen")
    assert note.startswith("Chosen on validation, the best of 2: a, with 90.00 % (1 seed).")
    assert "had no part in the choice" in note


def test_a_note_gives_the_sampling_error_of_the_test_set() -> None:
    low, high = stats.binomtest(360, 400).proportion_ci(method="wilson")
    [note] = find_notes(compare_collection(simulate_runs({"none": {0: 0.5}, "a": {0: 0.9}})), "400 images")
    assert (
        "An accuracy of 90.00 % on them puts the accuracy on the population that they are drawn from between "
        f"{100 * low:.1f}"
    ) in note
    assert f"and {100 * high:.1f} % (95 %, Wilson)" in note
    # Two models with 10 and 50 % errors, never on the same image: the mean difference for an image is 0.4.
    bound = 1.96 * math.sqrt((0.1 + 0.5 - 0.4**2) / 400)
    assert f"its difference to the baseline may be off by up to {100 * bound:.1f} points" in note


def test_the_sampling_error_of_a_difference_is_an_upper_bound() -> None:
    """The standard error of the difference on paired images is never above the bound that is printed."""
    rng = np.random.default_rng(3)
    for _ in range(50):
        correct, baseline_correct = (rng.random(400) < share for share in rng.uniform(0.5, 1, size=2))
        exact = 1.96 * np.std(correct.astype(float) - baseline_correct) / math.sqrt(400)
        scores = {"none": {0: float(baseline_correct.mean())}, "a": {0: float(correct.mean())}}
        if correct.mean() > baseline_correct.mean():
            [note] = find_notes(compare_collection(simulate_runs(scores)), "400 images")
            assert float(note.split("up to ")[1].split(" ")[0]) >= 100 * exact - 0.05


def find_varied_values(directory: Path) -> list[dict[str, str]]:
    """Return the values that varied, for each configuration of a directory."""
    return [configuration.values for configuration in group_by_configuration(collect([directory]).records)]


def test_the_keys_that_varied_are_found(tmp_path: Path) -> None:
    for lr in ("1e-3", "0.01"):
        for seed in (0, 1):
            write_run(tmp_path, ["data=digits", f"optimizer.lr={lr}", "normalization=batch"], seed)
    assert find_varied_values(tmp_path) == [{"optimizer.lr": "0.001"}, {"optimizer.lr": "0.01"}]
    write_run(tmp_path, ["optimizer.lr=0.001", "normalization=batch"], 2)  # the same as the first, typed otherwise
    write_run(tmp_path, [], 0)
    assert find_varied_values(tmp_path) == [
        {"optimizer.lr": "0.001", "normalization": "batch"},
        {"optimizer.lr": "0.01", "normalization": "batch"},
        {"optimizer.lr": "0.001", "normalization": "none"},
    ]


def test_sweeps_over_different_keys_are_compared_by_all_of_them(tmp_path: Path) -> None:
    write_run(tmp_path / "one", ["augmentation=lesson"], 0, started="1")
    write_run(tmp_path / "one", ["augmentation=none"], 0, started="2")
    write_run(tmp_path / "two", ["model.dropout=0.5"], 0, started="3")
    write_run(tmp_path / "two", ["augmentation=lesson", "augmentation.rotate.degrees=5"], 0, started="4")
    assert find_varied_values(tmp_path) == [
        {"augmentation": "lesson", "model.dropout": "0", "augmentation.rotate.degrees": "10"},
        {"augmentation": "none", "model.dropout": "0", "augmentation.rotate.degrees": "-"},
        {"augmentation": "none", "model.dropout": "0.5", "augmentation.rotate.degrees": "-"},
        {"augmentation": "lesson", "model.dropout": "0", "augmentation.rotate.degrees": "5"},
    ]


def test_keys_that_nobody_typed_are_found_if_they_varied(tmp_path: Path) -> None:
    """Such keys vary when a default has changed, or the data."""
    first = write_run(tmp_path, ["normalization=batch"], 0)
    text = (first / "run.json").read_text()
    second = write_run(tmp_path, ["normalization=batch"], 1, data="other")
    (second / "run.json").write_text((second / "run.json").read_text().replace('"epochs": 100', '"epochs": 7'))
    assert '"epochs": 100' in text
    assert find_varied_values(tmp_path) in ([{"epochs": "100"}, {"epochs": "7"}],)


def test_runs_with_another_split_are_said_to_be_measured_on_different_images(tmp_path: Path) -> None:
    for size in (0.1, 0.2):
        write_run(tmp_path, [f"data.val_size={size}"], 0)
    collection = collect([tmp_path])
    assert not any("different images" in note for note in make_notes(compare_collection(collection)))
    for record in collection.records:
        del record.metric_values["test_accuracy"]
    assert find_notes(compare_collection(collection), "different images")


def test_runs_of_several_commands_get_no_command_for_more_seeds(tmp_path: Path) -> None:
    for normalization in ("none", "batch"):
        write_run(tmp_path, [f"normalization={normalization}"], 0)
    [note] = [note for note in make_notes(compare_collection(collect([tmp_path]))) if note.startswith("One seed")]
    assert note.endswith("train the same configurations with more seeds, such as 'seed=range(5)'")


@pytest.mark.parametrize(
    ("command", "suggestion"),
    [
        ("regexp", "regexp -m 'seed=range(5)'"),
        ("regexp seed=3 hydra.run.dir=a", "regexp -m hydra.sweep.dir=a 'seed=range(5)'"),
        (r"regexp -m $'name=caf\351\'s' 'a b' seed=3", r"regexp -m $'name=caf\351\'s' 'a b' 'seed=range(5)'"),
    ],
)
def test_a_single_seed_gets_the_command_for_more_seeds(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, command: str, suggestion: str
) -> None:
    monkeypatch.delenv("UV", raising=False)
    write_run(tmp_path, [], 0, command=command)
    [note] = [note for note in make_notes(compare_collection(collect([tmp_path]))) if note.startswith("One seed")]
    assert note.endswith(f"To get both: {suggestion}")


def test_a_seed_that_was_trained_twice_counts_once(tmp_path: Path) -> None:
    write_run(tmp_path / "one", [], 0, test_accuracy=0.1, started="2026-01-01")
    write_run(tmp_path / "two", [], 0, test_accuracy=0.2, started="2026-01-02")
    write_run(tmp_path / "three", [], 0, status="unfinished", started="2026-01-03")
    comparison = compare_collection(collect([tmp_path]))
    assert comparison.rows[0].scores["test_accuracy"] == {0: 0.2}
    assert any("trained twice, the newest run counts (2 left out)" in note for note in make_notes(comparison))


def test_conditions_select_runs(tmp_path: Path) -> None:
    for lr, dropout, seed in product(("0.1", "0.01"), ("0", "0.5"), (0, 1)):
        write_run(tmp_path, [f"optimizer.lr={lr}", f"model.dropout={dropout}"], seed)
    collection: Collection = collect([tmp_path])
    assert {r.seed for r in compare_collection(collection, where=["seed=1"]).records} == {1}
    for condition in ("seed=range(2)", "seed=choice(0,1)", "seed=range(0,1),1"):
        assert {r.seed for r in compare_collection(collection, where=[condition]).records} == {0, 1}
    comparison = compare_collection(collection, where=["lr=1e-1,0.01", "dropout=0.50"])
    assert [row.values for row in comparison.cells] == [{"optimizer.lr": "0.1"}, {"optimizer.lr": "0.01"}]
    assert len(comparison.records) == 4


@pytest.mark.parametrize(
    ("scores", "verdict"),
    [
        ({0: 0.9, 1: 0.8, 2: 0.7}, "same"),
        ({0: 0.8, 1: 0.9, 2: 0.7}, "unclear"),  # the mean is the same, the seeds are not
        ({0: 0.95, 1: 0.86, 2: 0.755}, "better"),
    ],
)
def test_the_short_table_calls_only_equal_results_the_same(scores: dict[int, float], verdict: str) -> None:
    table = tabulate_overview(compare_collection(simulate_runs({"none": {0: 0.9, 1: 0.8, 2: 0.7}, "batch": scores})))
    assert {row[0]: row[-1] for row in table.rows}["batch"] == verdict
