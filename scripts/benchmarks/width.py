"""The gain of training together as hidden layers grow."""

import statistics
import tempfile
from pathlib import Path

from benchmarks.cohorts import LESSON, EpochwiseCohort, limit_images
from benchmarks.timing import Rows, counted_turns, summarize_ratios, take_turns

WIDTHS = ([128], [512], [1024, 1024])
RUNS = 8
TRAIN_SIZE = 6000


def benchmark_width(root: Path, epochs: int, train_size: int | None) -> dict[str, Rows]:
    """Measure the seconds of a run and epoch of 8 runs together, and how many times longer a run takes alone.

    Args:
        root: the directory that holds MNIST/raw.
        epochs: the number of epochs that count.
        train_size: the number of training images; None for 6,000.

    Returns:
        The rows by title.
    """
    size = TRAIN_SIZE if train_size is None else train_size
    rows: Rows = {}
    for hidden_sizes in WIDTHS:
        model = f"model.hidden_sizes={hidden_sizes}".replace(" ", "")
        common = [*LESSON, *limit_images(size), model]
        sweeps = {
            "rates": [[*common, f"optimizer.lr={1e-3 * 2 ** (k / 4)}"] for k in range(RUNS)],
            "seeds": [[*common, f"seed={k}"] for k in range(RUNS)],
            "alone": [common],
        }
        with tempfile.TemporaryDirectory() as outputs:
            cohorts = {
                name: EpochwiseCohort(runs, root, epochs + 2, Path(outputs, name)) for name, runs in sweeps.items()
            }
            seconds = {name: counted_turns(values, epochs) for name, values in take_turns(cohorts, epochs + 1).items()}
        layers = " x ".join(map(str, hidden_sizes))
        for name, description, streams in (("rates", f"one seed, {RUNS} lr", 1), ("seeds", f"{RUNS} seeds", RUNS)):
            rows[f"{layers} hidden units, {description}"] = {
                "hidden_sizes": hidden_sizes,
                "streams": streams,
                "median": statistics.median(seconds[name]) / RUNS,
                **summarize_ratios(seconds["alone"], seconds[name], RUNS),
            }
    return {f"{RUNS} runs together, {size:,} images: times faster than run by run": rows}
