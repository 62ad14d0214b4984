"""A sweep that is trained by several executors, as commands, and how its figures are compared."""

import json
import os
import signal
import subprocess
import sys
import time
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager, suppress
from pathlib import Path
from typing import Any

import pytest
from helpers.cohorts import DOUBLE

# A machine that others keep busy takes ten times as long as a quiet one.
SECONDS = 600.0
# 48 runs: twelve configurations with four seeds each, which train long enough for a job of them to be found and ended.
GRID = [
    DOUBLE,
    "epochs=500",
    "early_stopping=none",
    "normalization=none,batch,layer",
    "augmentation=none,shift",
    "optimizer.lr=0.001,0.003",
    "seed=range(4)",
    "model.hidden_sizes=[16]",
    "data.train_size=300",
    "model.dropout=0.1",
]
# A checkpoint at almost every epoch, and long enough to be interrupted.
LONG = ["epochs=4000", "model.hidden_sizes=[16]", "data.train_size=300", "early_stopping=none"]


def command(outputs: str, *words: str) -> list[str]:
    """Return the command of a sweep whose runs lie below a directory."""
    return [sys.executable, "-m", "regexp", "-m", f"hydra.sweep.dir={outputs}", *words]


@contextmanager
def start(words: Sequence[str]) -> "Iterator[subprocess.Popen[str]]":
    """Start a command in a process group of its own, and end all its processes at the end of the block."""
    words = ["env", "--default-signal=INT", *words]  # the background jobs of a shell ignore Ctrl-C
    process = subprocess.Popen(
        words, stdout=subprocess.PIPE, stderr=subprocess.STDOUT, text=True, start_new_session=True
    )
    try:
        yield process
    finally:
        with suppress(ProcessLookupError):
            os.killpg(process.pid, signal.SIGKILL)
        process.wait()
        assert process.stdout is not None
        process.stdout.close()


def finish(words: Sequence[str], status: int = 0) -> str:
    """Run a command to its end, and return what it prints."""
    process = subprocess.run(
        words, stdout=subprocess.PIPE, stderr=subprocess.STDOUT, text=True, timeout=SECONDS, check=False
    )
    assert process.returncode == status, process.stdout
    return process.stdout


def wait_for(condition: Callable[[], object], process: "subprocess.Popen[str] | None" = None) -> None:
    """Wait until a condition holds, while a process runs."""
    end = time.monotonic() + SECONDS
    while not condition():
        if process is not None and process.poll() is not None:
            raise AssertionError(process.communicate()[0])
        assert time.monotonic() < end, "the condition never held"
        time.sleep(0.1)


def count(outputs: str, pattern: str) -> int:
    """Return the number of files in directories of runs that a pattern matches."""
    return len(list(Path(outputs).glob(f"default/*/{pattern}")))


def read_figures(outputs: str) -> dict[str, dict[str, Any]]:
    """Return what the summaries of runs say of their training, by the overrides of the runs."""
    figures = {}
    for path in Path(outputs).glob("default/*/summary.json"):
        summary = json.loads(path.read_text())
        record = json.loads((path.parent / "run.json").read_text())
        figures[" ".join(record["overrides"])] = {
            **{name: summary[name] for name in ("epochs", "best_epoch")},
            **{
                f"{part}_{name}": value
                for part in ("best", "last", "test", "test_last")
                for name, value in (summary[part] or {}).items()  # a pruned run is not tested
                if isinstance(value, float)
            },
        }
    return figures


def assert_equal_figures(outputs: str, others: str, runs: int) -> None:
    """Check that two directories hold the same runs, with the same figures to 1e-9."""
    figures, other_figures = read_figures(outputs), read_figures(others)
    assert len(figures) == runs
    assert set(figures) == set(other_figures)
    for name, values in figures.items():
        assert other_figures[name] == pytest.approx(values, rel=0, abs=1e-9), name
