"""Whole commands: regexp's launcher against joblib's, which starts as many processes as there are cores."""

import os
import statistics
import subprocess
import tempfile
import time
from collections.abc import Sequence
from pathlib import Path

from benchmarks.cohorts import LESSON, fewer
from benchmarks.timing import Rows, ratio

ROOT = Path(__file__).resolve().parent.parent.parent
WITH_JOBLIB = ["uv", "run", "--no-sync", "--project", str(ROOT), "--with", "hydra-joblib-launcher"]


def benchmark_joblib(root: Path, train_size: int | None, runs: int, epochs: int, repeats: int) -> dict[str, Rows]:
    """Seconds of the same sweep over seeds by either launcher, in turn; nothing where joblib's cannot be had."""
    if not available():
        print("\nhydra-joblib-launcher cannot be had here: joblib is left out")
        return {}
    cores = os.cpu_count() or 1
    sweep = [*LESSON, *fewer(train_size), f"data.root={root.resolve()}", f"epochs={epochs}", f"seed=range({runs})"]
    # Processes of one thread each: with more they would be in each other's way.
    joblib = ["hydra/launcher=joblib", f"hydra.launcher.n_jobs={cores}", "device.threads=1"]
    together, processes = [], []
    for _ in range(repeats):
        together.append(command(sweep, runs))
        processes.append(command([*sweep, *joblib], runs))
    title = f"whole commands: {runs} seeds, {epochs} epochs of {train_size or 60_000:,} images"
    return {
        title: {
            "regexp -m": {"median": statistics.median(together)},
            f"regexp -m hydra/launcher=joblib, {cores} processes": {"median": statistics.median(processes)},
            "times faster than joblib": ratio(processes, together),
        }
    }


def available() -> bool:
    """Whether joblib's launcher can be had; fetches it."""
    check = [*WITH_JOBLIB, "python", "-c", "import hydra_plugins.hydra_joblib_launcher"]
    try:
        return subprocess.run(check, check=False, capture_output=True).returncode == 0
    except FileNotFoundError:
        return False


def command(words: Sequence[str], runs: int) -> float:
    """Seconds of `regexp -m WORDS` in a fresh folder, in which it must leave so many finished runs."""
    with tempfile.TemporaryDirectory() as folder:
        began = time.perf_counter()
        whole = [*WITH_JOBLIB, "regexp", "-m", *words]
        done = subprocess.run(whole, check=False, cwd=folder, capture_output=True, text=True)
        seconds = time.perf_counter() - began
        finished = len(list(Path(folder).glob("outputs/*/*/summary.json")))
    if done.returncode != 0 or finished != runs:
        raise SystemExit(f"regexp -m {' '.join(words)}: status {done.returncode}, {finished} runs\n{done.stderr}")
    return seconds
