"""What is compared with what, and how often it is wrong."""

import math
from itertools import product
from pathlib import Path

import numpy as np
import pytest
from helpers.run_folders import grid, leave, table
from scipy import stats

from regexp.comparison.compare import Comparison, compare_all
from regexp.comparison.effects import Effect
from regexp.comparison.grouping import group_by_configuration
from regexp.comparison.loading import Collection, collect
from regexp.comparison.notes import brief_notes, notes
from regexp.comparison.rows import METRICS
from regexp.comparison.statistics import sd_confidence_interval, count_required_seeds
from regexp.comparison.verdicts import INTERACTION, verdict
from regexp.errors import ConfigError

ARMS = ("none", "a", "b", "c")


def differences(comparison: Comparison) -> dict[str, tuple[float, float | None, float | None, bool]]:
    return {
        row.label: (
            row.difference.test.estimate.mean,
            row.difference.test.p_value,
            row.difference.p_adjusted,
            row.difference.significant,
        )
        for row in comparison.rows
        if row.difference is not None and row.difference.test is not None
    }


def named(effect: Effect) -> str:
    return " x ".join(f"{key}={value}" for key, value in effect.values.items())


def test_differences_are_paired_by_seed() -> None:
    none = {0: 0.90, 1: 0.92, 2: 0.97, 3: 0.80}
    batch = {3: 0.83, 0: 0.92, 1: 0.93, 2: 0.99, 7: 0.1}
    found = compare_all(table({"none": none, "batch": batch}))
    assert found.baseline.label == "none"
    mean, p, corrected, real = differences(found)["batch"]
    expected = stats.ttest_rel([batch[seed] for seed in none], list(none.values()))
    assert mean == pytest.approx(0.02)
    assert p == corrected == pytest.approx(expected.pvalue, abs=1e-12)
    assert real == (expected.pvalue <= 0.05)
    assert any(note.startswith("Rows have different seeds") for note in notes(found))


def test_of_nothing_nothing_is_found_too_often() -> None:
    """Tables without any difference: 1,000 families of three comparisons with 5 seeds."""
    draw = np.random.default_rng(0)
    unadjusted, families, made = 0, 0, 1000
    for _ in range(made):
        shared = draw.normal(size=5)  # what seeds have in common, as image streams
        arms = {name: dict(enumerate(0.9 + 0.01 * (shared + draw.normal(size=5)))) for name in ARMS}
        found = list(differences(compare_all(table(arms))).values())
        unadjusted += sum(p <= 0.05 for _, p, _, _ in found if p is not None)
        families += any(real for _, _, _, real in found)
    assert unadjusted <= stats.binom.ppf(0.999, 3 * made, 0.05)
    assert families <= stats.binom.ppf(0.999, made, 0.05)
    # And not for want of power.
    assert unadjusted >= stats.binom.ppf(0.001, 3 * made, 0.04)


def test_of_counted_images_nothing_is_found_too_often() -> None:
    """Accuracies on 360 images are no continuous figures; the t test has to bear that."""
    draw = np.random.default_rng(1)
    for seeds, spread in ((3, 0.8), (5, 1.5), (8, 1.5)):
        counts = np.round(draw.normal(350, spread, size=(2, 1000, seeds))) / 360
        found = sum(
            real
            for one, other in zip(*counts, strict=True)
            for _, _, _, real in differences(
                compare_all(table({"none": dict(enumerate(one)), "a": dict(enumerate(other))}))
            ).values()
        )
        assert found <= stats.binom.ppf(0.999, 1000, 0.06)


@pytest.mark.parametrize("seeds", [3, 5, 12])
def test_the_interval_covers_a_known_difference(seeds: int) -> None:
    draw = np.random.default_rng(seeds)
    covered = 0
    for _ in range(1000):
        shared = draw.normal(size=seeds)
        one = dict(enumerate(0.9 + 0.01 * (shared + draw.normal(size=seeds))))
        other = dict(enumerate(0.902 + 0.01 * (shared + draw.normal(size=seeds))))
        row = next(row for row in compare_all(table({"none": one, "a": other})).rows if row.label == "a")
        assert row.difference is not None
        assert row.difference.test is not None
        low, high = row.difference.test.estimate.confidence_interval or (math.nan, math.nan)
        covered += low <= 0.002 <= high
    assert 0.93 <= covered / 1000 <= 0.97


def test_a_large_difference_is_found_and_named() -> None:
    seeds = {seed: 0.9 + 0.001 * (seed % 3) for seed in range(6)}
    arms = {
        "none": seeds,
        "up": {seed: value + 0.05 + 0.001 * (seed % 2) for seed, value in seeds.items()},
        "down": {seed: value - 0.05 - 0.001 * (seed % 2) for seed, value in seeds.items()},
        "noise": {seed: value + (-1) ** seed * 0.01 + 0.001 for seed, value in seeds.items()},
        "same": seeds,
    }
    said = {
        row.label: verdict(row.difference, METRICS["test_accuracy"])
        for row in compare_all(table(arms)).rows
        if row.difference is not None
    }
    assert said["up"] == "better"
    assert said["down"] == "worse"
    assert said["same"] == "the same with all 6 seeds"
    assert said["noise"].startswith("not distinguishable with 6 seeds (a difference of 0.10 points would need ")
    losses = table(arms, metric="test_loss")
    for record in losses.records:
        record.metric_values["val_accuracy"] = 0.5
    by_loss = compare_all(losses, metric="test/loss")
    assert {row.label: verdict(row.difference, by_loss.metric) for row in by_loss.rows if row.difference is not None}[
        "up"
    ] == "worse"
    gaps = compare_all(table(arms, metric="gap"), metric="gap")
    assert {row.label: verdict(row.difference, gaps.metric) for row in gaps.rows if row.difference is not None}[
        "up"
    ] == "higher"


def test_a_verdict_that_sign_flips_doubt_says_so() -> None:
    """One seed of six pulls the other way: Student's p is below 5 %, that of the flips is not."""
    base = dict.fromkeys(range(6), 0.5)
    for last in np.linspace(0.0, 0.2, 400):
        moved = [0.1, 0.101, 0.1, 0.099, 0.1, 0.1 - last]
        comparison = compare_all(table({"none": base, "a": {i: 0.5 + d for i, d in enumerate(moved)}}))
        [difference] = [row.difference for row in comparison.rows if row.difference is not None]
        assert difference.test is not None
        assert difference.significant == (difference.test.p_value is not None and difference.test.p_value <= 0.05)
        if difference.significant and (difference.test.sign_flip_p or 0) > 0.05:
            assert verdict(difference, comparison.metric) == "better, though not by sign flips"
            break
    else:
        pytest.fail("no such table was tried")


@pytest.mark.parametrize("metric", ["test_accuracy", "val_accuracy"])
def test_the_same_difference_of_two_seeds_is_not_certain(metric: str) -> None:
    """Twice one image of 360 more: in floating point not quite the same number, and no spread all the same."""
    for k in range(300, 358):
        arms = {"none": {0: k / 360, 1: (k + 1) / 360}, "a": {0: (k + 1) / 360, 1: (k + 2) / 360}}
        comparison = compare_all(table(arms, metric), metric=metric)
        [difference] = [row.difference for row in comparison.rows if row.difference is not None]
        assert difference.test is not None
        assert difference.test.estimate.sd == 0
        assert difference.test.p_value == 0.5
        assert not difference.significant
    same = table({"none": {0: 0.1 + 0.2, 1: 0.5}, "a": {0: 0.3, 1: 0.5}})
    [difference] = [row.difference for row in compare_all(same).rows if row.difference is not None]
    assert verdict(difference, METRICS["test_accuracy"]) == "the same with all 2 seeds"


def test_two_seeds_of_counted_images_find_nothing_too_often() -> None:
    draw = np.random.default_rng(2)
    wrong = 0
    for counts in np.round(draw.normal(350, 3, size=(400, 9, 2))) / 360:
        arms = {str(i): dict(enumerate(map(float, arm))) for i, arm in enumerate(counts)}
        wrong += any(real for _, _, _, real in differences(compare_all(table(arms))).values())
    assert wrong <= stats.binom.ppf(0.999, 400, 0.05)


def test_who_survived_is_said(tmp_path: Path) -> None:
    for seed in range(6):
        leave(tmp_path, ["normalization=none"], seed, test=0.9 + 0.001 * seed)
        status = "diverged" if seed > 2 else "completed"
        leave(tmp_path, ["normalization=batch"], seed, test=0.95 + 0.0011 * seed, val=0.9, status=status)
    comparison = compare_all(collect([tmp_path]))
    [row] = [row for row in comparison.rows if row.difference is not None]
    assert row.difference is not None
    assert verdict(row.difference, comparison.metric) == "better, of the seeds that did not diverge"
    assert any("(3 seeds; 3 diverged)" in note for note in notes(comparison) if note.startswith("Chosen"))


def test_time_is_shared_and_not_compared() -> None:
    with pytest.raises(ConfigError, match="runs that train together share their time"):
        compare_all(table({"none": {0: 1.0}, "a": {0: 2.0}}), metric="seconds")


def test_other_data_is_another_test_set(tmp_path: Path) -> None:
    leave(tmp_path, ["normalization=batch"], 0, data="one")
    leave(tmp_path, ["normalization=none"], 0, data="other")
    comparison = compare_all(collect([tmp_path]))
    for said in (notes(comparison), brief_notes(comparison)):
        assert any(note.startswith("The configurations are measured on different images") for note in said)


def test_the_seeds_needed_are_for_the_corrected_level() -> None:
    draw = np.random.default_rng(6)
    arms = {name: dict(enumerate(0.9 + 0.01 * draw.normal(size=5))) for name in ARMS}
    found = [row.difference for row in compare_all(table(arms)).rows if row.difference is not None]
    for difference in found:
        assert difference.test is not None
        seen = difference.test.estimate
        assert seen.sd is not None
        low, high = (count_required_seeds(seen.mean, sd, 0.05 / 3) for sd in sd_confidence_interval(seen.sd, 5, 0.8))
        assert difference.required_seeds == (max(low, 6), max(high, 6))


def test_few_pairs_are_said_to_be_too_few_for_a_permutation_test() -> None:
    draw = np.random.default_rng(0)
    for seeds, said in (
        (4, "No two-sided sign-flip permutation test of 4 pairs could reach 5 % (at best 12.5 %"),
        (6, None),
    ):
        arms = {name: dict(enumerate(draw.normal(size=seeds))) for name in ARMS}
        lines = [note for note in notes(compare_all(table(arms))) if "could reach" in note]
        assert len(lines) == (said is not None)
        assert all(line.startswith(str(said)) for line in lines)


def test_one_seed_gets_no_interval_but_the_command_for_more(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.delenv("UV", raising=False)
    comparison = compare_all(table({"none": {3: 0.9}, "a": {3: 0.8}}))
    assert all(row.estimate("test_accuracy").half_width is None for row in comparison.rows)  # type: ignore[union-attr]
    assert differences(comparison)["a"][1:] == (None, None, False)
    assert any(note.endswith("For both: regexp -m normalization=a,b 'seed=range(5)'") for note in notes(comparison))
    assert verdict(next(r.difference for r in comparison.rows if r.difference), comparison.metric).startswith(
        "one pair"
    )


def test_rows_without_a_seed_in_common_are_not_compared() -> None:
    comparison = compare_all(table({"none": {0: 0.9, 1: 0.91}, "a": {2: 0.8, 3: 0.81}}))
    [row] = [row for row in comparison.rows if row.difference is not None]
    assert row.difference is not None
    assert row.difference.test is None
    assert verdict(row.difference, comparison.metric) == "no pairs"


LEVELS = {"normalization": ["none", "batch"], "augmentation": ["none", "shift", "affine"]}


def full(draw: np.random.Generator, seeds: int = 4) -> dict[tuple[str, ...], dict[int, float]]:
    return {values: dict(enumerate(draw.normal(size=seeds))) for values in product(*LEVELS.values())}


def test_averages_are_those_of_a_plain_loop() -> None:
    cells = full(np.random.default_rng(5))
    found = compare_all(grid(cells, tuple(LEVELS)), by=["augmentation"])
    assert found.averaged_keys == ["normalization"]
    for row in found.rows:
        for seed, value in row.scores["test_accuracy"].items():
            assert value == pytest.approx(
                sum(cells[n, row.values["augmentation"]][seed] for n in LEVELS["normalization"]) / 2
            )
    shift = differences(found)["shift"]
    gains = [
        np.mean([cells[n, "shift"][seed] - cells[n, "none"][seed] for n in LEVELS["normalization"]])
        for seed in range(4)
    ]
    assert shift[1] == pytest.approx(stats.ttest_1samp(gains, 0).pvalue, abs=1e-12)


def test_averages_are_over_what_all_have() -> None:
    """batch with affine is not there: neither is averaged over affine."""
    cells = full(np.random.default_rng(6))
    del cells["batch", "affine"]
    found = compare_all(grid(cells, tuple(LEVELS)), by=["normalization"])
    for row in found.rows:
        one, other = (cells[row.values["normalization"], a] for a in ("none", "shift"))
        assert row.scores["test_accuracy"] == {seed: pytest.approx((one[seed] + other[seed]) / 2) for seed in range(4)}
    assert not found.main_effects
    assert "augmentation: not averaged over affine, which not all rows have." in notes(found)
    lonely = {("none", "none"): {0: 1.0}, ("batch", "shift"): {0: 1.0}}
    with pytest.raises(ConfigError, match="--by normalization: no combination of augmentation is there for all"):
        compare_all(grid(lonely, tuple(LEVELS)), by=["normalization"])


def test_effects_and_interactions_are_those_of_least_squares() -> None:
    """A linear model with treatment-coded interactions, fitted to each seed, gives the same contrasts."""
    cells = full(np.random.default_rng(7))
    found = compare_all(grid(cells, tuple(LEVELS)))
    assert [named(effect) for effect in found.main_effects] == [
        "normalization=batch",
        "augmentation=shift",
        "augmentation=affine",
    ]
    for effect in found.interactions:
        _, a = effect.values.values()
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
            fitted, *_ = np.linalg.lstsq(np.array(design, float), [own[seed] for own in cells.values()])
            samples.append(fitted[4 if a == "shift" else 5])
        assert effect.difference.test is not None
        assert effect.difference.test.estimate.mean == pytest.approx(np.mean(samples))
        assert effect.difference.test.p_value == pytest.approx(stats.ttest_1samp(samples, 0).pvalue)
    main = found.main_effects[0].difference.test
    assert main is not None
    assert main.estimate.mean == pytest.approx(
        np.mean([[cells["batch", a][s] - cells["none", a][s] for a in LEVELS["augmentation"]] for s in range(4)])
    )


def test_an_interaction_is_called_what_it_is() -> None:
    cells = {values: {s: 0.5 + 0.001 * s for s in range(5)} for values in product(*LEVELS.values())}
    cells["batch", "shift"] = {s: 0.9 + 0.0011 * s for s in range(5)}
    found = compare_all(grid(cells, tuple(LEVELS)))
    said = {named(effect): verdict(effect.difference, found.metric, INTERACTION) for effect in found.interactions}
    assert said["normalization=batch x augmentation=shift"] == "more than additive"
    assert any(note.startswith("Keys interact") for note in notes(found))


def test_a_grid_with_a_gap_has_no_effects() -> None:
    cells = full(np.random.default_rng(8))
    del cells["batch", "shift"]
    found = compare_all(grid(cells, tuple(LEVELS)))
    assert found.main_effects == found.interactions == []
    cells = full(np.random.default_rng(8))
    cells["batch", "shift"] = {9: 0.5}
    apart = compare_all(grid(cells, tuple(LEVELS)))
    assert apart.main_effects == []
    assert "No effects of single keys: the configurations have no seed in common." in notes(apart)
    assert "No effects of single keys: not all combinations of values are there." in notes(found)


def test_the_baseline_is_chosen_by_conditions() -> None:
    collection = grid(full(np.random.default_rng(9)), tuple(LEVELS))
    assert compare_all(collection).baseline.label == "none, none"
    assert compare_all(collection, baseline=["augmentation=affine"]).baseline.label == "none, affine"
    both = ["normalization=batch", "augmentation=shift"]
    chosen = compare_all(collection, baseline=both)
    assert chosen.baseline.label == "batch, shift"
    # Effects are against the same values.
    assert {(key, value) for effect in chosen.main_effects for key, value in effect.reference.items()} == {
        ("normalization", "batch"),
        ("augmentation", "shift"),
    }


@pytest.mark.parametrize(
    ("asked", "said"),
    [
        (
            {"baseline": ["normalization=batsh"]},
            "normalization=batsh: no run has this value; the values are none, batch",
        ),
        ({"baseline": ["normalization"]}, "--baseline normalization: type key=value"),
        ({"baseline": ["normalisation=batch"]}, "--baseline normalisation: .* did you mean normalization?"),
        ({"baseline": ["seed=1"]}, "--baseline seed: the keys that varied are normalization, augmentation"),
        ({"where": ["augmentation"]}, "augmentation: is not a condition; type key=value"),
        ({"metric": "accuracy"}, "--metric accuracy: is none of test_accuracy, .*did you mean"),
        ({"sort": "nonsense"}, "--sort nonsense: is none of normalization, augmentation, test_accuracy"),
        (
            {"by": ["normalisation"]},
            "--by normalisation: the keys that varied are normalization, augmentation; did you mean",
        ),
        ({"where": ["seed=77"]}, "seed=77: no run has this value; the values are 0, 1, 2, 3"),
        ({"where": ["augmentation=shift", "normalization=layer"]}, "normalization=layer: no run has this value"),
    ],
    ids=str,
)
def test_a_mistake_is_answered(asked: dict[str, list[str]], said: str) -> None:
    with pytest.raises(ConfigError, match=said):
        compare_all(grid(full(np.random.default_rng(0)), tuple(LEVELS)), **asked)  # type: ignore[arg-type]


def test_rows_are_sorted_as_asked() -> None:
    arms = {"none": {0: 0.5}, "a": {0: 0.9}, "b": {0: 0.7}}
    assert [row.label for row in compare_all(table(arms)).rows] == ["a", "b", "none"]
    assert [row.label for row in compare_all(table(arms), sort="normalization").rows] == ["none", "a", "b"]
    assert [row.label for row in compare_all(table(arms, "test_loss"), sort="test/loss").rows] == ["none", "b", "a"]


def test_the_best_of_many_is_said_to_be_that() -> None:
    [line] = [note for note in notes(compare_all(table({"none": {0: 0.5}, "a": {0: 0.9}}))) if "Chosen" in note]
    assert line.startswith("Chosen on validation, the best of 2: a, with 90.00 % (1 seed).")
    assert "had no part in the choice" in line


def test_the_test_sets_own_error_is_shown() -> None:
    low, high = stats.binomtest(360, 400).proportion_ci(method="wilson")
    [line] = [note for note in notes(compare_all(table({"none": {0: 0.5}, "a": {0: 0.9}}))) if "400 images" in note]
    assert f"From 90.00 % on it the accuracy on the population they are drawn from is between {100 * low:.1f}" in line
    assert f"and {100 * high:.1f} % (95 %, Wilson)" in line
    # Two models that never fail on the same image: 10 and 50 % errors, a difference of 0.4 a image.
    most = 1.96 * math.sqrt((0.1 + 0.5 - 0.4**2) / 400)
    assert f"its difference to none may be off by up to {100 * most:.1f} points" in line


def test_the_bound_of_the_images_error_is_one() -> None:
    """Of paired images, right or wrong: the standard error of a difference is never above what is printed."""
    draw = np.random.default_rng(3)
    for _ in range(50):
        one, other = (draw.random(400) < share for share in draw.uniform(0.5, 1, size=2))
        exact = 1.96 * np.std(one.astype(float) - other) / math.sqrt(400)
        arms = {"none": {0: float(other.mean())}, "a": {0: float(one.mean())}}
        if one.mean() > other.mean():
            [line] = [note for note in notes(compare_all(table(arms))) if "400 images" in note]
            assert float(line.split("up to ")[1].split(" ")[0]) >= 100 * exact - 0.05


def varied(folder: Path) -> list[dict[str, str]]:
    return [found.values for found in group_by_configuration(collect([folder]).records)]


def test_what_varied_is_found(tmp_path: Path) -> None:
    for lr in ("1e-3", "0.01"):
        for seed in (0, 1):
            leave(tmp_path, ["data=digits", f"optimizer.lr={lr}", "normalization=batch"], seed)
    assert varied(tmp_path) == [{"optimizer.lr": "0.001"}, {"optimizer.lr": "0.01"}]
    leave(tmp_path, ["optimizer.lr=0.001", "normalization=batch"], 2)  # the same as the first, typed otherwise
    leave(tmp_path, [], 0)
    assert varied(tmp_path) == [
        {"optimizer.lr": "0.001", "normalization": "batch"},
        {"optimizer.lr": "0.01", "normalization": "batch"},
        {"optimizer.lr": "0.001", "normalization": "none"},
    ]


def test_sweeps_with_other_keys_are_compared_by_all(tmp_path: Path) -> None:
    leave(tmp_path / "one", ["augmentation=lesson"], 0, started="1")
    leave(tmp_path / "one", ["augmentation=none"], 0, started="2")
    leave(tmp_path / "two", ["model.dropout=0.5"], 0, started="3")
    leave(tmp_path / "two", ["augmentation=lesson", "augmentation.rotate.degrees=5"], 0, started="4")
    found = [c.values for c in group_by_configuration(collect([tmp_path]).records)]
    assert found == [
        {"augmentation": "lesson", "model.dropout": "0", "augmentation.rotate.degrees": "10"},
        {"augmentation": "none", "model.dropout": "0", "augmentation.rotate.degrees": "-"},
        {"augmentation": "none", "model.dropout": "0.5", "augmentation.rotate.degrees": "-"},
        {"augmentation": "lesson", "model.dropout": "0", "augmentation.rotate.degrees": "5"},
    ]


def test_what_nobody_typed_is_found_as_well(tmp_path: Path) -> None:
    """As where a default has changed, or the data."""
    one = leave(tmp_path, ["normalization=batch"], 0)
    text = (one / "run.json").read_text()
    other = leave(tmp_path, ["normalization=batch"], 1, data="other")
    (other / "run.json").write_text((other / "run.json").read_text().replace('"epochs": 100', '"epochs": 7'))
    assert '"epochs": 100' in text
    assert varied(tmp_path) in ([{"epochs": "100"}, {"epochs": "7"}],)


def test_another_split_is_measured_on_other_images(tmp_path: Path) -> None:
    for size in (0.1, 0.2):
        leave(tmp_path, [f"data.val_size={size}"], 0)
    collection = collect([tmp_path])
    assert not any("different images" in note for note in notes(compare_all(collection)))  # their test set is the same
    for record in collection.records:
        del record.metric_values["test_accuracy"]
    assert any("different images" in note for note in notes(compare_all(collection)))


def test_several_commands_make_no_command_for_more_seeds(tmp_path: Path) -> None:
    for normalization in ("none", "batch"):
        leave(tmp_path, [f"normalization={normalization}"], 0)
    [line] = [note for note in notes(compare_all(collect([tmp_path]))) if note.startswith("One seed")]
    assert line.endswith("train the same with more seeds, such as 'seed=range(5)'")


def test_the_first_command_of_all_is_told_how_to_go_on(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.delenv("UV", raising=False)
    leave(tmp_path, [], 0, command="regexp")
    [line] = [note for note in notes(compare_all(collect([tmp_path]))) if note.startswith("One seed")]
    assert line.endswith("For both: regexp -m 'seed=range(5)'")


def test_repeats_count_once(tmp_path: Path) -> None:
    leave(tmp_path / "one", [], 0, test=0.1, started="2026-01-01")
    leave(tmp_path / "two", [], 0, test=0.2, started="2026-01-02")
    leave(tmp_path / "three", [], 0, status="unfinished", started="2026-01-03")
    comparison = compare_all(collect([tmp_path]))
    assert comparison.rows[0].scores["test_accuracy"] == {0: 0.2}
    assert any("trained twice, the newest run counts (2 left out)" in note for note in notes(comparison))


def test_conditions_choose_runs(tmp_path: Path) -> None:
    for lr, dropout, seed in product(("0.1", "0.01"), ("0", "0.5"), (0, 1)):
        leave(tmp_path, [f"optimizer.lr={lr}", f"model.dropout={dropout}"], seed)
    collection: Collection = collect([tmp_path])
    assert {r.seed for r in compare_all(collection, where=["seed=1"]).records} == {1}
    chosen = compare_all(collection, where=["lr=1e-1,0.01", "dropout=0.50"])
    assert [row.values for row in chosen.cells] == [{"optimizer.lr": "0.1"}, {"optimizer.lr": "0.01"}]
    assert len(chosen.records) == 4
