"""The worked examples of docs/extending.md, added to a copy of the package and used together."""

import json
import re
import shutil
import subprocess
import sys
from pathlib import Path

import numpy as np
import pytest
from sklearn.datasets import load_digits

from regexp import sweep

ROOT = Path(__file__).resolve().parents[1]
PAGE = (ROOT / "docs" / "extending.md").read_text()
NEW_FILE = re.compile(r"New file `([^`]+)`:\n\n```\w+\n(.*?)```", re.DOTALL)
INSERTION = re.compile(r"In `([^`]+)`, (above|below) `([^`]+)`[^\n]*:\n\n```python\n(.*?)```", re.DOTALL)


def insert(file: Path, where: str, anchor: str, lines: str) -> None:
    """Insert lines above or below the one line of a file that holds the anchor."""
    file_lines = file.read_text().splitlines(keepends=True)
    [index] = [i for i, line in enumerate(file_lines) if anchor in line]
    index += where == "below"
    file.write_text("".join([*file_lines[:index], lines, *file_lines[index:]]))


@pytest.fixture(scope="module")
def extended_checkout(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Return a checkout with all examples in it."""
    checkout = tmp_path_factory.mktemp("checkout")
    for directory in ("regexp", "conf"):
        shutil.copytree(ROOT / directory, checkout / directory, ignore=shutil.ignore_patterns("__pycache__"))
    new_files = NEW_FILE.findall(PAGE)
    insertions = INSERTION.findall(PAGE)
    assert len(new_files) == 9
    assert len(insertions) == 8
    for name, content in new_files:
        assert not (checkout / name).exists(), name
        (checkout / name).write_text(content)
    for name, where, anchor, lines in insertions:
        insert(checkout / name, where, anchor, lines)
    return checkout


def run_extended(checkout: Path, *arguments: str) -> subprocess.CompletedProcess[str]:
    """Run `python -m regexp ARGUMENTS...` with the package of a checkout."""
    code = f"import sys; sys.path[:0] = [{str(checkout)!r}]; import regexp.__main__ as command; command.main()"
    process = subprocess.run(
        [sys.executable, "-W", "error", "-c", code, *arguments], capture_output=True, text=True, check=False
    )
    assert process.returncode == 0, process.stderr
    return process


@pytest.mark.slow
def test_all_examples_work_together(extended_checkout: Path) -> None:
    digits = load_digits()
    table = np.column_stack([digits.target, np.rint(digits.data * 255 / 16)]).astype(int)
    np.savetxt("images.csv", table, fmt="%d", delimiter=",")
    run_extended(
        extended_checkout,
        "-m",
        "data=csv",
        "data.root=.",
        "model=pooled",
        "augmentation=invert",
        "augmentation.invert.p=0.1,0.2",
        "loss.logit_penalty=0,0.001",
        "early_stopping.monitor=val_top_three",
        "optimizer.lr=0.05",
        "epochs=3",
        "seed=0,1",
        "hydra.launcher.executor=idle",
        "hydra.launcher.idle.max_load=10000",
    )
    summaries = [json.loads(path.read_text()) for path in Path("outputs/default").glob("*/summary.json")]
    assert len(summaries) == 8
    assert {summary["cohort"]["size"] for summary in summaries} == {8}
    for summary in summaries:
        assert 0.9 < summary["best"]["val_top_three"] <= 1
        assert summary["best"]["val_accuracy"] <= summary["best"]["val_top_three"]
        assert 0.9 < summary["test"]["top_three"] <= 1
    header = next(Path("outputs/default").glob("*/metrics.csv")).read_text().splitlines()[0]
    assert "train_top_three" in header
    assert "val_top_three" in header
    losses = {(summary["best"]["val_loss"], summary["seed"]) for summary in summaries}
    assert len(losses) == 8, "an option had no effect"


def test_the_help_lists_the_examples(extended_checkout: Path) -> None:
    help_text = run_extended(extended_checkout, "--help").stdout
    for word in ("pooled", "csv", "invert", "loss.logit_penalty=0", "val_top_three"):
        assert word in help_text


def test_runs_trained_before_a_metric_was_added_can_still_be_compared(extended_checkout: Path) -> None:
    """Compare runs of the original package with the extended one: only the new metric is missing."""
    sweep([["epochs=2", "model.hidden_sizes=[8]", f"seed={seed}"] for seed in (0, 1)], quiet=True)
    code = (
        f"import sys; sys.path[:0] = [{str(extended_checkout)!r}]; import regexp.cli.compare as command; command.main()"
    )
    process = subprocess.run(
        [sys.executable, "-W", "error", "-c", code, "outputs/default", "--tensorboard", "--format", "json"],
        capture_output=True,
        text=True,
        check=True,
    )
    [row] = json.loads(process.stdout)["configurations"]
    assert row["test_accuracy"] > 0
    assert row["test_top_three"] is None
