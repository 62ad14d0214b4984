"""The script that measures published results again: its figures, its report, and its commands."""

import json
import sys
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest
import reproduce
from reproducing import commands, measurement
from reproducing.conclusions import draw_conclusions
from reproducing.experiment import Claim, Configuration, Experiment
from reproducing.measurement import Measurement, measure, read_measurement
from reproducing.registry import EXPERIMENTS
from reproducing.selection import Selection, select_runs
from reproducing.storage import Storage
from reproducing.tables import Row, Table

from regexp import sweep
from regexp.errors import ConfigError

NORMALIZATIONS = ("none", "batch")
TINY = Experiment(
    name="tiny",
    title="A tiny experiment",
    source="A paper.",
    setup="A network.",
    baseline={"normalization": "none"},
    configurations=(
        Configuration({"normalization": "none"}, "without", 1.5, 100.0),
        Configuration({"normalization": "batch"}, "with", 1.0, 0.0),
    ),
    claims=(Claim("it helps", {"normalization": "batch"}),),
    commands=(
        ("hydra.mode=MULTIRUN", "name=tiny", "epochs=2", "early_stopping=none", "model.hidden_sizes=[8]",
         "seed=0,1,2", f"normalization={','.join(NORMALIZATIONS)}"),
    ),
)  # fmt: skip


@pytest.fixture(scope="module")
def outputs(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The directory of the runs of TINY, and of one that does not belong to it."""
    directory = tmp_path_factory.mktemp("runs")
    common: dict[str, Any] = {"name": "tiny", "early_stopping": "none", "model.hidden_sizes": [[8]]}
    runs = {"normalization": NORMALIZATIONS, "seed": range(3), "epochs": 2, **common}
    sweep(runs, directory, quiet=True, workers=1)
    sweep({"epochs": 1, **common}, directory, quiet=True)
    return directory


@pytest.fixture(scope="module")
def tiny(outputs: Path) -> Selection:
    return select_runs(TINY, outputs)


def test_runs_are_those_of_exactly_these_configurations(tiny: Selection, tmp_path: Path) -> None:
    assert tiny.is_complete
    assert [dict(values)["normalization"] for values in tiny.values] == [*NORMALIZATIONS] * 3
    assert [run.config["seed"] for run in tiny.runs] == [0, 0, 1, 1, 2, 2]
    missing = select_runs(TINY, tmp_path)
    assert (missing.runs, missing.job_count, missing.is_complete) == ([], 6, False)


def test_figures_are_those_of_the_runs(tiny: Selection, tmp_path: Path) -> None:
    measured = measure(TINY, tiny)
    assert measured.run_count == 6
    assert measured.training_seconds == pytest.approx(sum(run.summary["share_seconds"] for run in tiny.runs))  # type: ignore[index]
    [table] = measured.tables
    for row, name in zip(table.rows, NORMALIZATIONS, strict=True):
        runs = [run for run in tiny.runs if run.config["normalization"] == name]
        errors = [100 * (1 - run.summary["test"]["accuracy"]) for run in runs]  # type: ignore[index]
        assert (row.seeds, row.error) == (3, pytest.approx(sum(errors) / 3))
    without, with_norm = table.rows
    assert (without.label, without.published, without.target, without.verdict) == ("without", 1.5, 100.0, "baseline")
    assert without.error is not None
    assert with_norm.difference == pytest.approx(with_norm.error - without.error)  # type: ignore[operator]
    measured.write(tmp_path / "tiny.json")
    stored = read_measurement(tmp_path / "tiny.json")
    assert measurement._round(json.loads(json.dumps(stored.tables[0].rows[1].values))) == with_norm.values
    assert stored.tables[0].rows[1].verdict == with_norm.verdict


def test_the_cocktail_is_chosen_by_validation(tiny: Selection) -> None:
    *_, means = measure(replace(TINY, is_cocktail=True), tiny).tables
    assert [row.label for row in means.rows] == ["none", "all together", "cocktail chosen by validation"]
    accuracies = [
        sum(run.summary["last"]["val_accuracy"] for run in tiny.runs if run.config["normalization"] == name)  # type: ignore[index]
        for name in NORMALIZATIONS
    ]
    chosen = means.rows[accuracies.index(max(accuracies))]
    assert means.rows[-1].error == chosen.error
    assert (chosen.difference, chosen.verdict) == (0.0, "the same with all 3 seeds")


def test_a_section_stays_when_its_runs_are_gone(
    outputs: Path, tiny: Selection, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    other = replace(TINY, name="other", title="Another one", plot="steps")
    experiments = {"tiny": TINY, "other": other}
    monkeypatch.setattr("reproducing.storage.EXPERIMENTS", experiments)
    monkeypatch.setattr(reproduce, "EXPERIMENTS", experiments)
    Storage(tmp_path / "report.md", outputs).write(TINY, tiny)
    Storage(tmp_path / "report.md", tmp_path / "other").write(other, tiny)
    page = (tmp_path / "report.md").read_text()
    assert page.index("## A tiny experiment\n\nA paper. A network.\n") < page.index("## Another one\n")
    assert "| configuration | seeds | published % | test error % | difference | Holm's p | verdict |" in page
    assert "- without: " in page
    assert "at most 100.00 % to reach: reached." in page
    assert "at most 0.00 % to reach: not reached." in page
    for name in experiments:
        assert (tmp_path / f"pictures/results_{name}.png").read_bytes().startswith(b"\x89PNG")
    assert str(tmp_path) not in page
    # Without runs, a report of all leaves the page as it is; a report by name says that there is nothing to write.
    arguments = ["--report-only", "--outputs", str(tmp_path / "nowhere"), "--report", str(tmp_path / "report.md")]
    statuses: list[int] = []
    monkeypatch.setattr(reproduce, "record_status", statuses.append)
    reproduce.reproduce(reproduce.parse_arguments(arguments))
    assert statuses == []
    reproduce.reproduce(reproduce.parse_arguments(["tiny", *arguments]))
    assert (statuses, (tmp_path / "report.md").read_text()) == ([3], page)


def make_row(error: float, difference: float, verdict: str) -> Row:
    return Row({"key": "a"}, "a", 3, 3, error, 0.1, None, 0.5, difference, 0.1, 0.01, verdict)


@pytest.mark.parametrize(
    ("error", "difference", "verdict", "conclusions"),
    [
        (0.504, -0.2, "better", ["a: 0.50 % measured, at most 0.50 % to reach: reached.", "a helps: confirmed, -0.20"]),
        (0.506, -0.2, "better", ["a: 0.51 % measured, at most 0.50 % to reach: not reached.", "a helps: confirmed"]),
        (0.4, 0.2, "worse", ["a: 0.40 % measured, at most 0.50 % to reach: reached.", "a helps: contradicted, +0.20"]),
        (0.4, 0.0, "not distinguishable with 3 seeds", ["a: 0.40", "a helps: not distinguishable with 3 seeds, +0.00"]),
    ],
)
def test_conclusions_are_computed(error: float, difference: float, verdict: str, conclusions: list[str]) -> None:
    experiment = replace(TINY, claims=(Claim("a helps", {"key": "a"}), Claim("b helps", {"key": "b"})))
    tables = [Table(None, [make_row(error, difference, verdict)])]
    measured = Measurement([], "", ("", ""), [], 1, 1.0, None, tables)
    sentences = list(draw_conclusions(experiment, measured))
    assert [sentence.startswith(start) for sentence, start in zip(sentences, conclusions, strict=False)] == [True, True]
    assert sentences[-1] == "b helps: not measured."


@pytest.mark.parametrize(
    ("differences", "sentence"),
    [
        ((-0.5, -2.0), "more with noise: confirmed, -0.50 ± 0.10 and -2.00 ± 0.10 points of test error."),
        ((-2.0, -0.5), "more with noise: contradicted, -2.00 ± 0.10 and -0.50 ± 0.10 points of test error."),
        (
            (-0.5, -0.6),
            "more with noise: not distinguishable, the intervals overlap, -0.50 ± 0.10 and -0.60 ± 0.10 points",
        ),
    ],
)
def test_growth_is_told_by_intervals(differences: tuple[float, float], sentence: str) -> None:
    experiment = replace(TINY, claims=(Claim("more with noise", {"key": "a"}, grows=True),))
    tables = [Table(str(i), [make_row(1.0, difference, "better")]) for i, difference in enumerate(differences)]
    *_, last = draw_conclusions(experiment, Measurement([], "", ("", ""), [], 2, 1.0, None, tables))
    assert last.startswith(sentence)


def test_the_place_of_the_data_is_passed_on_to_what_needs_it(monkeypatch: pytest.MonkeyPatch) -> None:
    typed: list[list[str]] = []
    monkeypatch.setattr(commands, "_run", lambda command: typed.append(list(command)) or 3)
    monkeypatch.setattr(commands, "needs_mnist", lambda words: words[0] != "experiment=kadra2021")
    for name in ("kadra2021", "simard2003"):
        assert commands.run_commands(EXPERIMENTS[name], Path("runs"), Path("data"), small=False) == 3
    start = [sys.executable, "-m", "regexp"]
    assert typed == [
        [*start, "experiment=kadra2021", "hydra.sweep.dir=runs"],
        [*start, "experiment=simard2003", "hydra.sweep.dir=runs", "data.root=data"],
    ]


def test_a_signal_ends_all_experiments(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    trained: list[str] = []
    statuses = {"lesson_patience": 3, "lesson_normalization": 130}
    monkeypatch.setattr(
        reproduce, "run_commands", lambda item, *_: trained.append(item.name) or statuses.get(item.name, 0)
    )
    recorded: list[int] = []
    monkeypatch.setattr(reproduce, "record_status", recorded.append)
    monkeypatch.setattr(reproduce, "report", lambda *_, **__: None)
    reproduce.reproduce(reproduce.parse_arguments(["--report", str(tmp_path / "report.md")]))
    assert (trained, recorded) == (["lesson_patience", "lesson_normalization"], [3, 130])


@pytest.mark.parametrize(
    ("words", "problem"),
    [
        (["simard", "zhang2018"], "^simard: there is no such experiment; did you mean simard2003?"),
        (["xyz"], "^xyz: there is no such experiment; there are lesson_patience, "),
        (["--small"], "^--small: its figures mean nothing"),
        (["--data", "nowhere"], "^--data nowhere: there is no such directory$"),
    ],
)
def test_mistakes(words: list[str], problem: str) -> None:
    with pytest.raises(ConfigError, match=problem):
        reproduce.reproduce(reproduce.parse_arguments(words))
