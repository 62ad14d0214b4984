"""Tests that take longer: accuracies on MNIST and digits, false findings, and the wheel in an empty environment."""

import os
import subprocess
import sys
from pathlib import Path

import pytest
from helpers.run_directories import simulate_runs
from scipy import stats

from regexp import run, sweep
from regexp.comparison.compare import compare_collection

ROOT = Path(__file__).resolve().parent.parent


@pytest.mark.slow
@pytest.mark.parametrize(
    ("overrides", "low", "high"),
    [([], 0.94, 0.96), (["augmentation=none"], 0.965, 0.975), (["experiment=lesson_layernorm"], 0.93, 0.96)],
)
def test_the_lesson_reaches_its_accuracy(mnist_root: str, overrides: list[str], low: float, high: float) -> None:
    lesson = ["experiment=lesson", f"data.root={mnist_root}", "epochs=2"]
    for seed in (0, 1):
        finished = run([*lesson, f"seed={seed}", *overrides], quiet=True)
        assert low < finished.metrics[-1]["val_accuracy"] < high


@pytest.mark.slow
@pytest.mark.parametrize("overrides", [[], ["normalization=batch"], ["normalization=layer", "model.dropout=0.2"]])
def test_digits_reach_93_percent(overrides: list[str]) -> None:
    for seed in range(3):
        finished = run([f"seed={seed}", *overrides], quiet=True)
        assert finished.summary is not None
        assert finished.summary["test"]["accuracy"] > 0.93


@pytest.mark.slow
def test_false_findings_between_equal_configurations_are_as_rare_as_stated() -> None:
    """In each of 30 comparisons, three copies of the baseline are compared with it.

    The copies differ in their seeds only, and no two of them share a seed.
    """
    comparisons, copies, seeds = 30, 4, 5
    size = comparisons * copies * seeds
    runs = sweep([["epochs=12", "model.hidden_sizes=[32]", f"seed={seed}"] for seed in range(size)], quiet=True)
    accuracies = iter([run.summary["test"]["accuracy"] for run in runs if run.summary is not None])
    unadjusted_findings, comparisons_with_findings = 0, 0
    for _ in range(comparisons):
        accuracies_by_copy = {f"copy{i}": {index: next(accuracies) for index in range(seeds)} for i in range(copies)}
        differences = [
            row.difference
            for row in compare_collection(simulate_runs(accuracies_by_copy)).rows
            if row.difference is not None
        ]
        assert len(differences) == copies - 1
        unadjusted_findings += sum(
            d.test is not None and d.test.p_value is not None and d.test.p_value <= 0.05 for d in differences
        )
        comparisons_with_findings += any(difference.significant for difference in differences)
    assert unadjusted_findings <= stats.binom.ppf(0.999, comparisons * (copies - 1), 0.05)
    assert comparisons_with_findings <= stats.binom.ppf(0.999, comparisons, 0.05)


@pytest.mark.slow
def test_a_wheel_works_in_an_empty_environment(tmp_path: Path) -> None:
    environment = {name: value for name, value in os.environ.items() if name not in ("UV", "VIRTUAL_ENV", "UV_NO_SYNC")}

    def sh(*command: str) -> str:
        process = subprocess.run(command, cwd=tmp_path, env=environment, capture_output=True, text=True, check=False)
        assert process.returncode == 0, process.stderr
        return process.stdout

    sh("uv", "build", "--wheel", "--out-dir", str(tmp_path / "dist"), str(ROOT))
    [wheel] = (tmp_path / "dist").glob("*.whl")
    sh("uv", "venv", "--python", sys.executable, "env")
    sh("uv", "pip", "install", "--python", "env/bin/python", "--exclude-newer", "2026-11-20", str(wheel))
    assert "normalization" in sh("env/bin/regexp", "--help")
    assert any(path.name == "py.typed" for path in (tmp_path / "env").rglob("regexp/*"))
    out = sh("env/bin/regexp", "normalization=batch", "epochs=3")
    assert "curves   tensorboard --logdir outputs" in out.splitlines()
    assert (tmp_path / "outputs" / "default" / "normalization=batch,epochs=3" / "summary.json").is_file()
    assert not (tmp_path / "conf").exists()
    assert "2 together, 2 image streams" in sh("env/bin/regexp", "-m", "seed=0,1", "epochs=2", "early_stopping=none")
    assert "2 runs (2 finished), 1 configuration, 2 seeds" in sh("env/bin/regexp-compare", "--output", "report")
    assert (tmp_path / "report" / "curves.png").is_file()
