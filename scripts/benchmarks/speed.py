"""Sweeps of 48 runs that train together, against the same runs one by one and against the least work they need."""

import statistics
import tempfile
from collections.abc import Callable, Sequence
from itertools import product
from pathlib import Path

from benchmarks.cohorts import LESSON, EpochwiseCohort, limit_images
from benchmarks.loops import make_lesson_epoch
from benchmarks.processes import EpochwiseWorkers
from benchmarks.timing import Rows, counted_turns, summarize_ratios, take_turns

GRID = [
    [f"optimizer.lr={lr}", f"model.dropout={p}", f"optimizer.weight_decay={decay}"]
    for lr, p, decay in product((3e-4, 1e-3, 3e-3, 1e-2), (0, 0.2, 0.5), (0, 1e-5, 1e-4, 1e-3))
]
SEEDS = [[f"seed={seed}", f"optimizer.lr={lr}"] for seed, lr in product(range(16), (1e-3, 3e-3, 1e-2))]
SWEEPS = {"one seed: 4 lr x 3 dropout x 4 weight decay": GRID, "16 seeds x 3 lr": SEEDS}


def benchmark_speed(root: Path, epochs: int, train_size: int | None) -> dict[str, Rows]:
    """Compare the seconds of a run and epoch of each sweep with those of its alternatives.

    Args:
        root: the directory that holds MNIST/raw.
        epochs: the number of epochs that count.
        train_size: the number of training images; None for all.

    Returns:
        The rows by title.
    """
    return {
        f"{name}; a run and epoch": benchmark_sweep(root, epochs, train_size, sweep) for name, sweep in SWEEPS.items()
    }


def benchmark_sweep(root: Path, epochs: int, train_size: int | None, sweep: Sequence[Sequence[str]]) -> Rows:
    """Compare one sweep with its alternatives.

    Run by run, one run stands for all: the middle one of the sweep for regexp, and the lesson's own configuration for
    the lesson's loop.

    Args:
        root: the directory that holds MNIST/raw.
        epochs: the number of epochs that count; the runs end with the turn after them.
        train_size: the number of training images; None for all.
        sweep: the overrides of each run.
    """
    runs, turns = [[*LESSON, *limit_images(train_size), *overrides] for overrides in sweep], epochs + 2
    with tempfile.TemporaryDirectory() as outputs:
        together = EpochwiseWorkers(runs, root, turns, Path(outputs, "together"))
        functions: dict[str, Callable[[], None]] = {
            "together": together.train,
            "lesson": make_lesson_epoch(root, augment=True, train_size=train_size),
            "floor": together.train_floor,
            "alone": EpochwiseCohort([runs[len(runs) // 2]], root, turns, Path(outputs, "alone")),
        }
        all_seconds = take_turns(functions, turns)
        together.close()
    seconds = {name: counted_turns(values, epochs) for name, values in all_seconds.items()}
    size, epoch_seconds = together.size, statistics.median(seconds["together"])
    # What the first and the last epoch took longer than the others.
    start_and_end = all_seconds["together"][0] + all_seconds["together"][-1] - 2 * epoch_seconds
    recording = counted_turns(together.recording_seconds, epochs)
    return {
        f"regexp, {size} runs together": {"median": epoch_seconds / size},
        "  of which recording": {
            "median": statistics.median(recording) / size,
            **summarize_ratios(recording, seconds["together"]),
        },
        "regexp, run by run": {"median": statistics.median(seconds["alone"])},
        "the lesson's loop, run by run": {"median": statistics.median(seconds["lesson"])},
        f"the floor of {size} runs": {"median": statistics.median(seconds["floor"]) / size},
        "once a run: beginning and end": {"median": (together.setup_seconds + start_and_end) / size},
        "times faster than the lesson's loop": summarize_ratios(seconds["lesson"], seconds["together"], size),
        "times faster than regexp run by run": summarize_ratios(seconds["alone"], seconds["together"], size),
        "times as long as the floor": summarize_ratios(seconds["together"], seconds["floor"]),
    }
