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

ROOT = Path(__file__).resolve().parents[1]
PAGE = (ROOT / "docs" / "extending.md").read_text()
NEW_FILE = re.compile(r"New file `([^`]+)`:\n\n```\w+\n(.*?)```", re.DOTALL)
INSERTION = re.compile(r"In `([^`]+)`, (above|below) `([^`]+)`[^\n]*:\n\n```python\n(.*?)```", re.DOTALL)


def insert(file: Path, where: str, anchor: str, lines: str) -> None:
    """Insert lines above or below the one line of a file that holds the anchor."""
    before = file.read_text().splitlines(keepends=True)
    [place] = [i for i, line in enumerate(before) if anchor in line]
    place += where == "below"
    file.write_text("".join([*before[:place], lines, *before[place:]]))


@pytest.fixture(scope="module")
def extended(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A checkout with all examples in it."""
    checkout = tmp_path_factory.mktemp("checkout")
    for folder in ("regexp", "conf"):
        shutil.copytree(ROOT / folder, checkout / folder, ignore=shutil.ignore_patterns("__pycache__"))
    files = NEW_FILE.findall(PAGE)
    insertions = INSERTION.findall(PAGE)
    assert len(files) == 8
    assert len(insertions) == 7
    for name, content in files:
        assert not (checkout / name).exists(), name
        (checkout / name).write_text(content)
    for name, where, anchor, lines in insertions:
        insert(checkout / name, where, anchor, lines)
    return checkout


def run_extended(checkout: Path, *words: str) -> subprocess.CompletedProcess[str]:
    """Run `python -m regexp WORDS...` with the package of a checkout."""
    code = f"import sys; sys.path[:0] = [{str(checkout)!r}]; import regexp.__main__ as command; command.main()"
    done = subprocess.run(
        [sys.executable, "-W", "error", "-c", code, *words], capture_output=True, text=True, check=False
    )
    assert done.returncode == 0, done.stderr
    return done


def test_all_examples_work_together(extended: Path) -> None:
    digits = load_digits()
    table = np.column_stack([digits.target, np.rint(digits.data * 255 / 16)]).astype(int)
    np.savetxt("images.csv", table, fmt="%d", delimiter=",")
    run_extended(
        extended,
        "-m",
        "data=csv",
        "data.root=.",
        "model=pooled",
        "augmentation=invert",
        "augmentation.invert.p=0.1,0.2",
        "loss.confidence_penalty=0,0.1",
        "early_stopping.monitor=val_top_three",
        "optimizer.lr=0.05",
        "epochs=3",
        "seed=0,1",
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
    losses = {(s["best"]["val_loss"], s["seed"]) for s in summaries}
    assert len(losses) == 8, "an option had no effect"


def test_help_and_mistakes_know_the_examples(extended: Path) -> None:
    shown = run_extended(extended, "--help").stdout
    for words in ("pooled", "csv", "invert", "loss.confidence_penalty=0", "val_top_three"):
        assert words in shown


def test_runs_trained_before_a_metric_came_are_still_compared(extended: Path) -> None:
    """The metric is new; the others' figures are as they were."""
    command = [sys.executable, "-W", "error", "-m", "regexp", "-m", "epochs=2", "model.hidden_sizes=[8]", "seed=0,1"]
    subprocess.run(command, check=True, capture_output=True)
    code = f"import sys; sys.path[:0] = [{str(extended)!r}]; import regexp.cli.compare as command; command.main()"
    done = subprocess.run(
        [sys.executable, "-W", "error", "-c", code, "outputs/default", "--tensorboard", "--format", "json"],
        capture_output=True,
        text=True,
        check=True,
    )
    [row] = json.loads(done.stdout)["configurations"]
    assert row["test_accuracy"] > 0
    assert row["test_top_three"] is None
