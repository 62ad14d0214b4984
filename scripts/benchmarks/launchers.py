"""Whole commands: regexp's launcher against joblib's, which starts as many processes as there are cores."""

import os
import statistics
import subprocess
import tempfile
import time
from collections.abc import Sequence
from pathlib import Path

from benchmarks.cohorts import LESSON, limit_images
from benchmarks.timing import Rows, summarize_ratios

ROOT = Path(__file__).resolve().parent.parent.parent
WITH_JOBLIB = ["uv", "run", "--no-sync", "--project", str(ROOT), "--with", "hydra-joblib-launcher"]


def benchmark_joblib(root: Path, train_size: int | None, runs: int, epochs: int, repeats: int) -> dict[str, Rows]:
    """Compare the seconds of a sweep over seeds with either launcher, in turn.

    Args:
        root: the directory that holds MNIST/raw.
        train_size: the number of training images; None for all.
        runs: the number of seeds.
        epochs: the number of epochs of each run.
        repeats: how often each command is run.

    Returns:
        The rows by title; nothing where joblib's launcher is not available.
    """
    if not is_joblib_available():
        print("\nhydra-joblib-launcher is not available here: joblib is left out")
        return {}
    cores = os.cpu_count() or 1
    sweep = [
        *LESSON, *limit_images(train_size), f"data.root={root.resolve()}", f"epochs={epochs}", f"seed=range({runs})"
    ]  # fmt: skip
    # One thread in each process: more threads would be in each other's way.
    joblib = ["hydra/launcher=joblib", f"hydra.launcher.n_jobs={cores}", "device.threads=1"]
    cohort_seconds, joblib_seconds = [], []
    for _ in range(repeats):
        cohort_seconds.append(time_sweep(sweep, runs))
        joblib_seconds.append(time_sweep([*sweep, *joblib], runs))
    title = f"whole commands: {runs} seeds, {epochs} epochs of {train_size or 60_000:,} images"
    return {
        title: {
            "regexp -m": {"median": statistics.median(cohort_seconds)},
            f"regexp -m hydra/launcher=joblib, {cores} processes": {"median": statistics.median(joblib_seconds)},
            "times faster than joblib": summarize_ratios(joblib_seconds, cohort_seconds),
        }
    }


def is_joblib_available() -> bool:
    """Return whether joblib's launcher can be imported, after fetching it where that is possible."""
    check = [*WITH_JOBLIB, "python", "-c", "import hydra_plugins.hydra_joblib_launcher"]
    try:
        return subprocess.run(check, check=False, capture_output=True).returncode == 0
    except FileNotFoundError:
        return False


def time_sweep(words: Sequence[str], runs: int) -> float:
    """Return the seconds of `regexp -m WORDS` in an empty directory, and check that so many runs have finished."""
    with tempfile.TemporaryDirectory() as directory:
        began = time.perf_counter()
        command = [*WITH_JOBLIB, "regexp", "-m", *words]
        process = subprocess.run(command, check=False, cwd=directory, capture_output=True, text=True)
        seconds = time.perf_counter() - began
        finished = len(list(Path(directory).glob("outputs/*/*/summary.json")))
    if process.returncode != 0 or finished != runs:
        raise SystemExit(
            f"regexp -m {' '.join(words)}: exit status {process.returncode}, {finished} runs finished\n{process.stderr}"
        )
    return seconds
