"""Convolutional networks, bound to the run axis, against bare loops of such a module: the steps of an epoch."""

import statistics
import tempfile
from collections.abc import Callable, Mapping, Sequence
from multiprocessing.connection import Connection
from pathlib import Path
from typing import Any

import torch
import torch.nn.functional as F
from loky.backend import get_context

from benchmarks.cohorts import LESSON, limit_images
from benchmarks.timing import Rows, counted_turns, summarize_ratios, take_turns
from regexp.config.compose import compose_job, compose_jobs
from regexp.data.dataset import scale
from regexp.execution.builders import build_cohort, load_dataset, make_architecture
from regexp.runs.reserving.claims import Claims
from regexp.runs.reserving.plan import plan_runs
from regexp.training.loop import train_one_epoch
from regexp.utils.system_limits import count_cores

MODELS = {
    "cnn": ["model=cnn"],
    "cnn of 8 and 16 channels": ["model=cnn", "model.channels=[8,16]", "model.hidden_sizes=[]"],
    "resnet": ["model=resnet"],
}
RUNS = 8
TRAIN_SIZE = 6000

# Makes a function that takes the steps of an epoch, given the overrides of runs.
MakeSteps = Callable[[Sequence[Sequence[str]]], Callable[[], None]]


def benchmark_bound(root: Path, epochs: int, train_size: int | None) -> dict[str, Rows]:
    """Compare one run with a bare loop, and 8 runs with 8 processes of bare loops on the same cores.

    Args:
        root: the directory that holds MNIST/raw.
        epochs: the number of epochs that count.
        train_size: the number of training images; None for 6,000.

    Returns:
        The rows by title.
    """
    size = TRAIN_SIZE if train_size is None else train_size
    common = [*LESSON, *limit_images(size), "augmentation=none", "device.threads=1", f"data.root={root}"]
    runs_by_model = {
        model: [[*common, *words, f"seed={seed}"] for seed in range(RUNS)] for model, words in MODELS.items()
    }
    return {
        f"one run, {size:,} images, one thread: speed over that of a bare loop": {
            model: compare_one_run(runs[0], epochs) for model, runs in runs_by_model.items()
        },
        f"{RUNS} runs, {size:,} images, a worker for each core: speed over that of {RUNS} processes of a bare loop": {
            model: compare_processes(runs, epochs) for model, runs in runs_by_model.items()
        },
    }


def compare_one_run(overrides: Sequence[str], epochs: int) -> dict[str, Any]:
    """Compare the steps of one run with those of a bare loop, in turns in this process."""
    return _compare({"bound": make_bound_steps([overrides]), "bare": make_bare_steps([overrides])}, 1, epochs)


def compare_processes(runs: Sequence[Sequence[str]], epochs: int) -> dict[str, Any]:
    """Compare the steps of runs in a worker for each core with those of a process of a bare loop for each run."""
    workers = Processes(make_bound_steps, [runs[start :: count_cores()] for start in range(count_cores())])
    processes = Processes(make_bare_steps, [[overrides] for overrides in runs])
    row = _compare({"bound": workers.take_steps, "bare": processes.take_steps}, len(runs), epochs)
    workers.close()
    processes.close()
    return row


def _compare(functions: Mapping[str, Callable[[], None]], num_runs: int, epochs: int) -> dict[str, Any]:
    """Return the seconds of a run and epoch, and how many times as long the bare loops take."""
    seconds = {name: counted_turns(values, epochs) for name, values in take_turns(functions, epochs + 1).items()}
    return {
        "median": statistics.median(seconds["bound"]) / num_runs,
        **summarize_ratios(seconds["bare"], seconds["bound"]),
    }


def make_bound_steps(runs: Sequence[Sequence[str]]) -> Callable[[], None]:
    """Return a function that takes the steps of an epoch of a cohort, without measuring and recording."""
    with tempfile.TemporaryDirectory() as outputs, Claims(print) as claims:
        cohort = build_cohort(plan_runs(compose_jobs(runs), Path(outputs), claims))

    def take_steps() -> None:
        cohort.begin_epoch()
        train_one_epoch(cohort)
        cohort.draw_ahead()

    return take_steps


def make_bare_steps(runs: Sequence[Sequence[str]]) -> Callable[[], None]:
    """Return a function that takes the steps of an epoch of one run: a plain module, tensors in memory, fused Adam."""
    [overrides] = runs
    config = compose_job(overrides).config
    torch.set_num_threads(1)
    dataset = load_dataset(config)
    module = make_architecture(config, dataset).make_module().train()
    optimizer = torch.optim.Adam(module.parameters(), lr=config.optimizer.lr, fused=True)
    images, labels = scale(dataset.train.images, torch.float32), dataset.train.labels

    def take_steps() -> None:
        for rows in torch.randperm(len(labels)).split(config.batch_size):
            F.cross_entropy(module(images[rows]), labels[rows]).backward()
            optimizer.step()
            optimizer.zero_grad()

    return take_steps


class Processes:
    """Processes that take the steps of an epoch, all at the same time, whenever they are asked to."""

    def __init__(
        self,
        make_steps: Callable[[Sequence[Sequence[str]]], Callable[[], None]],
        parts: Sequence[Sequence[Sequence[str]]],
    ) -> None:
        """Start a process for each part of the runs, and wait until all are ready.

        Args:
            make_steps: makes the function that takes the steps, given the overrides of runs.
            parts: the overrides of the runs of each process.
        """
        context = get_context("loky")
        self.processes: list[tuple[Any, Connection]] = []
        for runs in parts:
            connection, process_connection = context.Pipe()
            arguments = (process_connection, make_steps, runs)
            process = context.Process(target=serve_steps, args=arguments, env={"OMP_NUM_THREADS": "1"})
            process.start()
            process_connection.close()
            self.processes.append((process, connection))
        self._await_all()

    def take_steps(self) -> None:
        """Take the steps of an epoch in all processes."""
        for _, connection in self.processes:
            connection.send("steps")
        self._await_all()

    def _await_all(self) -> None:
        for _, connection in self.processes:
            connection.recv()

    def close(self) -> None:
        """End the processes."""
        for process, connection in self.processes:
            connection.close()
            process.join()


def serve_steps(connection: Connection, make_steps: MakeSteps, runs: Sequence[Sequence[str]]) -> None:
    """Take the steps of an epoch each time that the parent asks for them."""
    take_steps = make_steps(runs)
    while True:
        connection.send("done")
        try:
            connection.recv()
        except EOFError:
            return
        take_steps()
