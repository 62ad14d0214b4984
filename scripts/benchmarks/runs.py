"""What a run costs in company, from 1 run to 256."""

import statistics
import tempfile
from pathlib import Path

from benchmarks.cohorts import LESSON, Turns, fewer
from benchmarks.timing import Rows, counted, ratio, take_turns

RUNS = (1, 4, 16, 64, 256)
TRAIN_SIZE = 6000


def benchmark_runs(root: Path, epochs: int, train_size: int | None) -> dict[str, Rows]:
    """Seconds of a run and epoch, and their ratio to those of a run alone, by the number of runs."""
    size = TRAIN_SIZE if train_size is None else train_size
    rows: Rows = {}
    for words, sweep in (("one seed, K lr", rates), ("K seeds", seeds)):
        with tempfile.TemporaryDirectory() as folder:
            sides = {}
            for count in RUNS:
                runs = [[*LESSON, *fewer(size), *overrides] for overrides in sweep(count)]
                sides[f"{count}"] = Turns(runs, root, epochs + 2, Path(folder, f"{count}"))
            seconds = take_turns(sides, epochs + 1)
        each = {name: [value / sides[name].runs for value in counted(seconds[name], epochs)] for name in sides}
        for name, values in each.items():
            facts = {"runs": sides[name].runs, "streams": len(sides[name].cohort.streams)}
            rows[f"K = {name}, {words}"] = {**facts, "median": statistics.median(values), **ratio(values, each["1"])}
    return {f"K runs together, {size:,} images: a run and epoch, over K = 1": rows}


def rates(count: int) -> list[list[str]]:
    """Runs that share one image stream."""
    return [[f"optimizer.lr={1e-4 * 100 ** (k / count)}"] for k in range(count)]


def seeds(count: int) -> list[list[str]]:
    """Runs that each have their own."""
    return [[f"seed={k}"] for k in range(count)]
