"""The cost of a run in cohorts of 1 to 256 runs."""

import statistics
import tempfile
from pathlib import Path

from benchmarks.cohorts import LESSON, EpochwiseCohort, limit_images
from benchmarks.timing import Rows, counted_turns, summarize_ratios, take_turns

RUNS = (1, 4, 16, 64, 256)
TRAIN_SIZE = 6000


def benchmark_runs(root: Path, epochs: int, train_size: int | None) -> dict[str, Rows]:
    """Compare the seconds of a run and epoch with those of a run alone, by the number of runs.

    Args:
        root: the directory that holds MNIST/raw.
        epochs: the number of epochs that count.
        train_size: the number of training images; None for 6,000.

    Returns:
        The rows by title.
    """
    size = TRAIN_SIZE if train_size is None else train_size
    rows: Rows = {}
    for description, make_sweep in (("one seed, K lr", learning_rate_sweep), ("K seeds", seed_sweep)):
        with tempfile.TemporaryDirectory() as outputs:
            cohorts = {}
            for count in RUNS:
                runs = [[*LESSON, *limit_images(size), *overrides] for overrides in make_sweep(count)]
                cohorts[f"{count}"] = EpochwiseCohort(runs, root, epochs + 2, Path(outputs, f"{count}"))
            seconds = take_turns(cohorts, epochs + 1)
        run_seconds = {
            name: [value / cohort.size for value in counted_turns(seconds[name], epochs)]
            for name, cohort in cohorts.items()
        }
        for name, values in run_seconds.items():
            rows[f"K = {name}, {description}"] = {
                "runs": cohorts[name].size,
                "streams": len(cohorts[name].cohort.streams),
                "median": statistics.median(values),
                **summarize_ratios(values, run_seconds["1"]),
            }
    return {f"K runs together, {size:,} images: a run and epoch, over K = 1": rows}


def learning_rate_sweep(count: int) -> list[list[str]]:
    """Return the overrides of runs that share one image stream."""
    return [[f"optimizer.lr={1e-4 * 100 ** (k / count)}"] for k in range(count)]


def seed_sweep(count: int) -> list[list[str]]:
    """Return the overrides of runs that have an image stream each."""
    return [[f"seed={k}"] for k in range(count)]
