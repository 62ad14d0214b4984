"""The gain of a second CPU thread for a single run, as hidden layers grow: quiet, and beside a busy core."""

import tempfile
from collections.abc import Callable
from pathlib import Path

import torch

from benchmarks.cohorts import LESSON, EpochwiseCohort, limit_images
from benchmarks.processes import busy_core
from benchmarks.timing import Rows, counted_turns, summarize_ratios, take_turns
from regexp.execution.forecasting.memory import count_flop

WIDTHS = ([128], [256], [512], [1024], [128, 128], [256, 256], [512, 512], [1024, 1024])
TRAIN_SIZE = 6000


def benchmark_threads(root: Path, epochs: int, train_size: int | None) -> dict[str, Rows]:
    """Compare the seconds of an epoch on one thread with those on two.

    Args:
        root: the directory that holds MNIST/raw.
        epochs: the number of epochs that count.
        train_size: the number of training images; None for 6,000.

    Returns:
        The rows by title; the name of each gives the floating-point operations of a step.
    """
    size = TRAIN_SIZE if train_size is None else train_size
    rows: Rows = {}
    for hidden_sizes in WIDTHS:
        model = f"model.hidden_sizes={hidden_sizes}".replace(" ", "")
        overrides = [*LESSON, *limit_images(size), model]
        with tempfile.TemporaryDirectory() as outputs, busy_core() as core:
            cohorts = {
                threads: EpochwiseCohort([overrides], root, 2 * (epochs + 2), Path(outputs, str(threads)))
                for threads in (1, 2)
            }
            functions: dict[str, Callable[[], None]] = {}
            for threads, cohort in cohorts.items():
                functions[f"{threads}"] = with_threads(threads, cohort)
                functions[f"{threads}, busy"] = core.beside(with_threads(threads, cohort))
            seconds = {
                name: counted_turns(values, epochs) for name, values in take_turns(functions, epochs + 2).items()
            }
        model_of_run = cohorts[1].cohort.model.architecture
        flop = count_flop(model_of_run, cohorts[1].cohort.batch_size)
        name = f"{' x '.join(map(str, hidden_sizes))} units, {flop / 1e6:.0f} MFLOP a step"
        rows[name] = summarize_ratios(seconds["1"], seconds["2"])
        rows["  beside a busy core".ljust(20 + len(rows))] = summarize_ratios(seconds["1, busy"], seconds["2, busy"])
    return {f"a single run, {size:,} images: one thread over two": rows}


def with_threads(threads: int, function: Callable[[], None]) -> Callable[[], None]:
    """Return a function that does the same on so many threads."""

    def function_on_threads() -> None:
        torch.set_num_threads(threads)
        function()

    return function_on_threads
