"""Sweeps of 48 runs that train together, against the same runs one by one, and against the floor."""

import statistics
import tempfile
from collections.abc import Callable, Sequence
from itertools import product
from pathlib import Path

from benchmarks.cohorts import LESSON, Turns, fewer
from benchmarks.floor import floor
from benchmarks.loops import lesson_loop
from benchmarks.timing import Rows, counted, ratio, take_turns

GRID = [
    [f"optimizer.lr={lr}", f"model.dropout={p}", f"optimizer.weight_decay={decay}"]
    for lr, p, decay in product((3e-4, 1e-3, 3e-3, 1e-2), (0, 0.2, 0.5), (0, 1e-5, 1e-4, 1e-3))
]
SEEDS = [[f"seed={seed}", f"optimizer.lr={lr}"] for seed, lr in product(range(16), (1e-3, 3e-3, 1e-2))]
SWEEPS = {"one seed: 4 lr x 3 dropout x 4 weight decay": GRID, "16 seeds x 3 lr": SEEDS}


def benchmark_speed(root: Path, epochs: int, train_size: int | None) -> dict[str, Rows]:
    """For each sweep, seconds of a run and epoch, and how they compare."""
    return {f"{name}; a run and epoch": benchmark_one(root, epochs, train_size, runs) for name, runs in SWEEPS.items()}


def benchmark_one(root: Path, epochs: int, train_size: int | None, sweep: Sequence[Sequence[str]]) -> Rows:
    """One sweep, whose runs end after the last turn.

    Run by run, one stands for all: of ours the middle one, and the lesson's loop with the lesson's numbers.
    """
    runs, turns = [[*LESSON, *fewer(train_size), *overrides] for overrides in sweep], epochs + 2
    with tempfile.TemporaryDirectory() as folder:
        together = Turns(runs, root, turns, Path(folder, "together"))
        alone = Turns([runs[len(runs) // 2]], root, turns, Path(folder, "alone"))
        sides: dict[str, Callable[[], None]] = {
            "together": together,
            "lesson": lesson_loop(root, augment=True, train_size=train_size),
            "floor": floor(together.cohort),
            "alone": alone,
        }
        every = take_turns(sides, turns)
    seconds = {name: counted(values, epochs) for name, values in every.items()}
    size, usual = together.runs, statistics.median(seconds["together"])
    once = together.setup + every["together"][0] + every["together"][-1] - 2 * usual
    recording = counted(together.recording, epochs)
    return {
        f"regexp, {size} runs together": {"median": usual / size},
        "  of which recording": {
            "median": statistics.median(recording) / size,
            **ratio(recording, seconds["together"]),
        },
        "regexp, run by run": {"median": statistics.median(seconds["alone"])},
        "the lesson's loop, run by run": {"median": statistics.median(seconds["lesson"])},
        f"the floor of {size} runs": {"median": statistics.median(seconds["floor"]) / size},
        "once a run: beginning and end": {"median": once / size},
        "times faster than the lesson's loop": ratio(seconds["lesson"], seconds["together"], size),
        "times faster than regexp run by run": ratio(seconds["alone"], seconds["together"], size),
        "times as long as the floor": ratio(seconds["together"], seconds["floor"]),
    }
