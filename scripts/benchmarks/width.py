"""What training together gains as hidden layers grow."""

import statistics
import tempfile
from pathlib import Path

from benchmarks.cohorts import LESSON, Turns, fewer
from benchmarks.timing import Rows, counted, ratio, take_turns

WIDTHS = ([128], [512], [1024, 1024])
RUNS = 8
TRAIN_SIZE = 6000


def benchmark_width(root: Path, epochs: int, train_size: int | None) -> dict[str, Rows]:
    """Seconds of a run and epoch together, and how many times longer it takes alone; for each width."""
    size = TRAIN_SIZE if train_size is None else train_size
    rows: Rows = {}
    for hidden in WIDTHS:
        shaped = [*LESSON, *fewer(size), f"model.hidden_sizes={hidden}".replace(" ", "")]
        rates = [[*shaped, f"optimizer.lr={1e-3 * 2 ** (k / 4)}"] for k in range(RUNS)]
        seeds = [[*shaped, f"seed={k}"] for k in range(RUNS)]
        with tempfile.TemporaryDirectory() as folder:
            sides = {
                "rates": Turns(rates, root, epochs + 2, Path(folder, "rates")),
                "seeds": Turns(seeds, root, epochs + 2, Path(folder, "seeds")),
                "alone": Turns([shaped], root, epochs + 2, Path(folder, "alone")),
            }
            seconds = {name: counted(values, epochs) for name, values in take_turns(sides, epochs + 1).items()}
        layers = " x ".join(map(str, hidden))
        for name, words, streams in (("rates", f"one seed, {RUNS} lr", 1), ("seeds", f"{RUNS} seeds", RUNS)):
            rows[f"{layers} hidden units, {words}"] = {
                "hidden_sizes": hidden,
                "streams": streams,
                "median": statistics.median(seconds[name]) / RUNS,
                **ratio(seconds["alone"], seconds[name], RUNS),
            }
    return {f"{RUNS} runs together, {size:,} images: times faster than run by run": rows}
