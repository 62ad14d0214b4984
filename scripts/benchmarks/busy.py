"""What another program that keeps a core busy costs: sweeps, a single run, and the lesson's loop."""

import tempfile
from collections.abc import Callable
from pathlib import Path

from benchmarks.cohorts import LESSON, EpochwiseCohort, limit_images
from benchmarks.loops import make_lesson_epoch
from benchmarks.processes import EpochwiseWorkers, busy_core
from benchmarks.speed import SWEEPS
from benchmarks.timing import Rows, counted_turns, summarize_ratios, take_turns


def benchmark_busy(root: Path, epochs: int, train_size: int | None) -> dict[str, Rows]:
    """Compare the seconds of an epoch beside a busy core with those on a quiet machine.

    Args:
        root: the directory that holds MNIST/raw.
        epochs: the number of epochs that count, in each state.
        train_size: the number of training images; None for all.

    Returns:
        The rows by title.
    """
    turns = epochs + 2
    common = [*LESSON, *limit_images(train_size)]
    with tempfile.TemporaryDirectory() as outputs, busy_core() as core:
        # Each function is called twice a turn: quiet, and beside the busy core.
        workers = {
            name: EpochwiseWorkers(
                [[*common, *overrides] for overrides in sweep], root, 2 * turns, Path(outputs, name[:3])
            )
            for name, sweep in SWEEPS.items()
        }
        functions: dict[str, Callable[[], None]] = {
            **{name: cohort.train for name, cohort in workers.items()},
            "a single run": EpochwiseCohort([common], root, 2 * turns, Path(outputs, "alone")),
            "the lesson's loop": make_lesson_epoch(root, augment=True, train_size=train_size),
        }
        both = {}
        for name, function in functions.items():
            both[name], both[f"{name}, busy"] = function, core.beside(function)
        seconds = {name: counted_turns(values, epochs) for name, values in take_turns(both, turns).items()}
        for cohort in workers.values():
            cohort.close()
    rows: Rows = {
        f"{name}: busy over quiet": summarize_ratios(seconds[f"{name}, busy"], seconds[name]) for name in functions
    }
    for state, name in (("quiet", ""), ("busy", ", busy")):
        ratios = summarize_ratios(seconds[f"the lesson's loop{name}"], seconds[f"a single run{name}"])
        rows[f"the lesson's loop over a single run, {state}"] = ratios
    return {"beside one busy core; an epoch": rows}
