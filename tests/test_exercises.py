"""The exercises in scripts/exercises: each runs as it is written, and accepts overrides."""

import ast
import runpy
import subprocess
import sys
from pathlib import Path

import pytest
from helpers.commands import run_main

from regexp import load_run

DIRECTORY = Path(__file__).resolve().parent.parent / "scripts" / "exercises"
SCRIPTS = sorted(DIRECTORY.glob("[!_]*.py"))
SMALL = ["epochs=1", "model.hidden_sizes=[8]", "data.train_size=64"]


def run_exercise(script: Path, overrides: list[str], monkeypatch: pytest.MonkeyPatch) -> int:
    """Run an exercise with overrides, and return its exit status."""
    monkeypatch.syspath_prepend(DIRECTORY)
    return run_main(monkeypatch, lambda: runpy.run_path(str(script), run_name="__main__"), str(script), *overrides)


def test_the_exercises_are_found() -> None:
    assert {script.stem for script in SCRIPTS} >= {"patience", "normalization", "augmentation", "dropout"}


# One of them belongs to the fast tests: they have all but their grids in common.
FAST = "normalization"
SCRIPT_CASES = [pytest.param(script, marks=[] if script.stem == FAST else pytest.mark.slow) for script in SCRIPTS]


@pytest.mark.parametrize("script", SCRIPT_CASES, ids=lambda script: script.stem)
def test_an_exercise_trains_its_runs_and_prints_their_table(
    script: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    assert run_exercise(script, SMALL, monkeypatch) == 0
    runs = [load_run(path.parent) for path in Path("outputs", script.stem).glob("*/run.json")]
    printed = capsys.readouterr().out
    assert f"\n{len(runs)} runs: {len(runs)} to train\n" in f"\n{printed}"
    assert 12 <= len(runs) <= 30
    assert {run.status for run in runs} == {"completed"}
    assert {(run.config["epochs"], *run.config["model.hidden_sizes"]) for run in runs} == {(1, 8)}
    seeds = {run.config["seed"] for run in runs}
    table = printed[printed.index("validation %") :].split("\n\n")[0].splitlines()[1:]
    rows = [line for line in table if f"  {len(seeds)}  " in line]
    assert len(seeds) * len(rows) == len(runs)
    lines = printed.rstrip().splitlines()
    assert "Then: " in lines[-1]
    assert max(map(len, lines[-2:])) <= 80


@pytest.mark.parametrize("script", SCRIPTS, ids=lambda script: script.stem)
def test_a_mistyped_override_is_named(
    script: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    assert run_exercise(script, ["epoch=1"], monkeypatch) == 2
    assert capsys.readouterr().err == "regexp: epoch=1: there is no such key; did you mean epochs=1?\n"
    assert not Path("outputs").exists()


@pytest.mark.parametrize("script", SCRIPTS, ids=lambda script: script.stem)
def test_the_help_of_an_exercise_starts_with_its_question(
    script: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    question = ast.get_docstring(ast.parse(script.read_text())) or ""
    assert question.splitlines()[0].endswith("?")
    assert f"uv run scripts/exercises/{script.name} [OVERRIDES]" in question
    assert run_exercise(script, ["--help"], monkeypatch) == 0
    assert capsys.readouterr().out.strip().splitlines()[0] == question.splitlines()[0]


def test_an_interrupted_exercise_has_no_traceback(
    monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.setattr("regexp.utils.signals.StopRequest.requested", True)
    assert run_exercise(SCRIPTS[0], SMALL, monkeypatch) == 130
    assert "Make the same call again to resume." in capsys.readouterr().out


def test_an_exercise_runs_as_a_script() -> None:
    command = [sys.executable, "-W", "error", SCRIPTS[0], "normalisation=batch", "epochs=0"]
    process = subprocess.run(command, capture_output=True, text=True, check=False)
    assert process.returncode == 2
    assert process.stderr.startswith("regexp: 2 mistakes\n")
    assert "Traceback" not in process.stderr
    assert process.stdout == ""
