"""Whole commands of this version against those of another checkout, in turn."""

import subprocess
import tempfile
from collections.abc import Sequence
from pathlib import Path

from benchmarks.launchers import ROOT
from benchmarks.timing import Rows, compare_with, take_turns

# 3 shapes x 4 dropouts x 7 learning rates x 12 seeds.
DIGITS_SWEEP = [
    "normalization=none,batch,layer",
    "model.dropout=0,0.1,0.3,0.5",
    "optimizer.lr=1e-4,3e-4,1e-3,2e-3,3e-3,1e-2,3e-2",
    "seed=range(12)",
]
LESSON_SWEEP = ["experiment=lesson", "early_stopping.patience=null"]
COMMANDS = {
    "1,008 digits runs, 30 epochs": ["-m", "epochs=30", "early_stopping=none", *DIGITS_SWEEP],
    "48 lesson runs of one seed, 4 epochs": [
        *("-m", "epochs=4", *LESSON_SWEEP, "optimizer.lr=3e-4,1e-3,3e-3,1e-2", "model.dropout=0,0.2,0.5"),
        "optimizer.weight_decay=0,1e-5,1e-4,1e-3",
    ],
    "a single lesson run, 4 epochs": ["epochs=4", *LESSON_SWEEP],
}


def benchmark_versions(other: Path, root: Path, repeats: int, names: Sequence[str]) -> Rows:
    """Compare the seconds of whole commands of two versions.

    Args:
        other: a checkout of the other version, with its environment in .venv.
        root: the directory that holds MNIST/raw.
        repeats: how often each command is run.
        names: which of COMMANDS to run; empty for all.
    """
    rows: Rows = {}
    for name, words in COMMANDS.items():
        if names and name not in names:
            continue
        functions = {
            "other": lambda words=words: run_command(other, words, root),
            "this": lambda words=words: run_command(ROOT, words, root),
        }
        compared = compare_with("other", take_turns(functions, repeats))
        rows[name] = compared["this"]
        rows[f"  {name.partition(',')[0]}, other version"] = {"median": compared["other"]["median"]}
    return rows


def run_command(checkout: Path, words: Sequence[str], root: Path) -> None:
    """Run `regexp WORDS` of a checkout in an empty directory."""
    python = checkout / ".venv" / "bin" / "python"
    with tempfile.TemporaryDirectory() as cwd:
        command = [str(python), "-m", "regexp", *words, f"data.root={root.resolve()}"]
        subprocess.run(command, cwd=cwd, check=True, stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL)
