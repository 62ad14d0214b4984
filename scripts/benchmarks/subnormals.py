"""The gain of taking subnormal numbers for zero: early in training, and once Adam's averages have become subnormal."""

import tempfile
from collections.abc import Callable
from pathlib import Path

import torch

from benchmarks.cohorts import LESSON, EpochwiseCohort, limit_images
from benchmarks.timing import Rows, summarize_ratios, take_turns

EPOCHS = 30
TRAIN_SIZE = 6000
PLAIN = ["data=mnist", "device=cpu", "early_stopping=none"]
RUNS = {
    "the lesson's run": [LESSON],
    "a run without regularizers": [PLAIN],
    "4 runs of lr=0.01": [[*PLAIN, "optimizer.lr=0.01", f"model.dropout={dropout}"] for dropout in (0, 0.1, 0.2, 0.3)],
}


def benchmark_subnormals(root: Path, train_size: int | None) -> dict[str, Rows]:
    """Compare the seconds of an epoch with and without subnormal numbers.

    Args:
        root: the directory that holds MNIST/raw.
        train_size: the number of training images; None for 6,000.

    Returns:
        The rows by title.
    """
    size = TRAIN_SIZE if train_size is None else train_size
    rows: Rows = {}
    for name, runs in RUNS.items():
        words = [[*run, *limit_images(size)] for run in runs]
        with tempfile.TemporaryDirectory() as outputs:
            functions = {
                kind: with_subnormals(kind == "kept", EpochwiseCohort(words, root, EPOCHS, Path(outputs, kind)))
                for kind in ("kept", "zero")
            }
            seconds = take_turns(functions, EPOCHS)
        torch.set_flush_denormal(False)
        # The first epoch warms up, and the last contains what runs write at their end.
        for first, last in ((2, 6), (EPOCHS - 5, EPOCHS - 1)):
            kept, zero = (seconds[kind][first - 1 : last] for kind in ("kept", "zero"))
            rows[f"{name}, epochs {first} to {last}"] = summarize_ratios(kept, zero)
    return {f"{size:,} images: time with subnormal numbers over that without": rows}


def with_subnormals(are_kept: bool, function: Callable[[], None]) -> Callable[[], None]:
    """Return a function that does the same with subnormal numbers, or with zeros in their place."""

    def function_with_subnormals() -> None:
        torch.set_flush_denormal(not are_kept)
        function()

    return function_with_subnormals
