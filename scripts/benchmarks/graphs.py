"""The gain of launching an epoch's steps as one CUDA graph, as cohorts grow."""

import statistics
import tempfile
from pathlib import Path

import torch

import regexp
from benchmarks.cohorts import limit_images
from benchmarks.timing import Rows, summarize_ratios

COHORT_SIZES = (1, 4, 16, 64)
TRAIN_SIZE = 12000
# The first epoch has no graph, and the second captures it.
FIRST_EPOCHS = 2
REPEATS = 3


def benchmark_graphs(root: Path, epochs: int, train_size: int | None) -> dict[str, Rows]:
    """Compare the seconds of an epoch without a graph with those in one.

    Args:
        root: the directory that holds MNIST/raw.
        epochs: the number of epochs that count.
        train_size: the number of training images; None for 12,000.

    Returns:
        The rows by title.
    """
    if not torch.cuda.is_available():
        raise SystemExit("graphs: this machine has no CUDA device")
    size = TRAIN_SIZE if train_size is None else train_size
    common = ["experiment=lesson", "early_stopping.patience=null", "device=cuda", f"data.root={root}"]
    common += [f"epochs={FIRST_EPOCHS + epochs}", *limit_images(size)]
    rows: Rows = {}
    for num_runs in COHORT_SIZES:
        seconds: dict[str, list[float]] = {"false": [], "true": []}
        for _ in range(REPEATS):
            for graphs, medians in seconds.items():
                jobs = [[*common, f"device.graphs={graphs}", f"seed={k}"] for k in range(num_runs)]
                with tempfile.TemporaryDirectory() as outputs:
                    runs = regexp.sweep(jobs, outputs, quiet=True, workers=1)
                    medians.append(statistics.median(row["seconds"] for row in runs[0].metrics[FIRST_EPOCHS:]))
        rows[f"{num_runs} runs"] = {
            "median": statistics.median(seconds["true"]),
            **summarize_ratios(seconds["false"], seconds["true"]),
        }
    return {f"CUDA graphs, {size:,} images: an epoch without a graph over one in a graph": rows}
