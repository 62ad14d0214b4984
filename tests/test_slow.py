"""What takes longer: MNIST, and the package in an environment of its own."""

import os
import subprocess
import sys
from pathlib import Path

import pytest

from regexp import run

ROOT = Path(__file__).resolve().parent.parent


@pytest.mark.slow
@pytest.mark.parametrize(
    ("overrides", "low", "high"),
    [([], 0.94, 0.96), (["augmentation=none"], 0.965, 0.975), (["experiment=lesson_layernorm"], 0.93, 0.96)],
)
def test_the_lesson_reaches_its_accuracy(mnist_root: str, overrides: list[str], low: float, high: float) -> None:
    for seed in (0, 1):
        done = run(["experiment=lesson", f"data.root={mnist_root}", "epochs=2", f"seed={seed}", *overrides], quiet=True)
        assert low < done.metrics[-1]["val_accuracy"] < high


@pytest.mark.slow
@pytest.mark.parametrize("overrides", [[], ["normalization=batch"], ["normalization=layer", "model.dropout=0.2"]])
def test_digits_reach_93_percent(overrides: list[str]) -> None:
    for seed in range(3):
        done = run([f"seed={seed}", *overrides], quiet=True)
        assert done.summary is not None
        assert done.summary["test"]["accuracy"] > 0.93


@pytest.mark.slow
def test_a_wheel_works_in_an_empty_environment(tmp_path: Path) -> None:
    def sh(*command: str, **environment: str) -> str:
        clean = {name: value for name, value in os.environ.items() if name not in ("UV", "VIRTUAL_ENV", "UV_NO_SYNC")}
        done = subprocess.run(
            command, cwd=tmp_path, env=clean | environment, capture_output=True, text=True, check=False
        )
        assert done.returncode == 0, done.stderr
        return done.stdout

    sh("uv", "build", "--wheel", "--out-dir", str(tmp_path / "dist"), str(ROOT))
    [wheel] = (tmp_path / "dist").glob("*.whl")
    sh("uv", "venv", "--python", sys.executable, "env")
    sh("uv", "pip", "install", "--python", "env/bin/python", "--exclude-newer", "2026-11-20", str(wheel))
    assert "normalization" in sh("env/bin/regexp", "--help")
    out = sh("env/bin/regexp", "normalization=batch", "epochs=3")
    assert "curves   tensorboard --logdir outputs" in out.splitlines()
    assert (tmp_path / "outputs" / "default" / "epochs=3,normalization=batch" / "summary.json").is_file()
    assert not (tmp_path / "conf").exists()
    assert "2 together, 2 image streams" in sh("env/bin/regexp", "-m", "seed=0,1", "epochs=2", "early_stopping=none")
