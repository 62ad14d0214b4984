"""Kill training at random moments, and compare what it leaves with what undisturbed training leaves.

    uv run scripts/kill_runs.py single --kills 200
    uv run scripts/kill_runs.py sweep --kills 100
    uv run scripts/kill_runs.py digits --kills 20

Training is killed with SIGKILL and started again, until it ends; then it begins anew in an empty directory, until there
were as many kills as asked for. `single` is one run, whose figures must be the same bits. `sweep` is a sweep of eight
runs in one process. `digits` is the command for the sweep of 45 runs in the README, with its workers. Sweeps train in
float64 here: the runs of a cohort may end in another cohort, and so their figures must agree to 1e-9.
"""

import argparse
import math
import os
import random
import shutil
import signal
import sys
import tempfile
import time
import traceback
from collections import Counter
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from itertools import product
from pathlib import Path
from typing import Any

from tensorboard.backend.event_processing.event_file_loader import EventFileLoader

from regexp import load_run
from regexp.runs.listing.finding import find_runs
from regexp.runs.tensor_file import read_tensors

# How far figures may differ that are not the same bits.
TOLERANCE = 1e-9
POLL_SECONDS = 0.002

SINGLE = ["epochs=40", "model.hidden_sizes=[16]", "data.train_size=300", "normalization=batch", "model.dropout=0.1"]
SINGLE += ["augmentation=shift", "early_stopping=none"]
DOUBLE = "device.precision=float64"
SWEEP = [
    ["epochs=40", "model.hidden_sizes=[16]", "data.train_size=300", "early_stopping.patience=3", DOUBLE, *choice]
    for choice in product(("normalization=none", "normalization=batch"), ("seed=0", "seed=1", "seed=2", "seed=3"))
]
DIGITS = ["-m", "normalization=none,batch,layer", "augmentation=none,shift,affine", "seed=range(5)", DOUBLE]


@dataclass(frozen=True)
class Training:
    """A training that is started again and again.

    Attributes:
        start: starts it with a directory for its outputs, and returns the number of its process.
        is_exact: whether its figures must be the same bits.
    """

    start: Callable[[Path], int]
    is_exact: bool


def fork(train: Callable[[Path], object]) -> Callable[[Path], int]:
    """Return a function that trains in a copy of this process, which has imported torch already."""

    def start(outputs: Path) -> int:
        pid = os.fork()
        if pid == 0:
            status = 1
            try:
                train(outputs)
                status = 0
            except BaseException:
                traceback.print_exc()
            os._exit(status)
        return pid

    return start


def start_digits(outputs: Path) -> int:
    """Start the command for the sweep of 45 runs, which starts its workers."""
    command = [sys.executable, "-m", "regexp", *DIGITS, f"hydra.sweep.dir={outputs}"]
    silence = (os.POSIX_SPAWN_OPEN, 1, os.devnull, os.O_WRONLY, 0)
    return os.posix_spawn(sys.executable, command, os.environ, file_actions=[silence])


def train_single(outputs: Path) -> None:
    """Train one run."""
    from regexp import run

    run(SINGLE, outputs, quiet=True)


def train_sweep(outputs: Path) -> None:
    """Train a sweep in this process."""
    from regexp import sweep

    sweep(SWEEP, outputs, workers=1, quiet=True)


TRAININGS = {
    "single": Training(fork(train_single), is_exact=True),
    "sweep": Training(fork(train_sweep), is_exact=False),
    "digits": Training(start_digits, is_exact=False),
}


def main() -> None:
    """Read the command line, print what became of every kill, and exit with status 1 if anything was lost."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0] if __doc__ else None)
    parser.add_argument("training", choices=TRAININGS)
    parser.add_argument("--kills", type=int, default=100, help="how often to kill (default %(default)s)")
    parser.add_argument("--seed", type=int, default=0, help="the seed of the moments (default %(default)s)")
    arguments = parser.parse_args()
    if arguments.training != "digits":
        import regexp.execution.execute  # noqa: F401  (imports torch once, for all copies of this process)
    with tempfile.TemporaryDirectory() as directory:
        counts, problems = kill(TRAININGS[arguments.training], Path(directory), arguments.kills, arguments.seed)
    for name, count in counts.items():
        print(f"{count:6}  {name}")
    for problem in problems:
        print(f"WRONG   {problem}")
    sys.exit(1 if problems else 0)


def kill(training: Training, directory: Path, kills: int, seed: int) -> tuple[Counter[str], list[str]]:
    """Kill a training so often, and return how often each thing happened, and what was wrong at the end.

    Args:
        training: the training.
        directory: where to train.
        kills: how often to kill it.
        seed: the seed of the moments, which are uniform over the time that undisturbed training takes.
    """
    moments, counts, problems = random.Random(seed), Counter[str](), list[str]()
    start = time.monotonic()
    if wait(training.start(directory / "undisturbed"), math.inf) != 0:
        return counts, ["undisturbed training failed"]
    seconds = time.monotonic() - start
    expected = {name: read_figures(path) for name, path in list_runs(directory / "undisturbed")}
    while counts["kills"] < kills and not problems:
        outputs, finished = directory / "killed", dict[str, tuple[int, int]]()
        status = None
        while status is None:
            patience = moments.uniform(0, seconds) if counts["kills"] < kills else math.inf
            status = wait(training.start(outputs), patience)
            if status is None:
                counts["kills"] += 1
                counts[f"kills {describe_moment(outputs)}"] += 1
            now_finished = {path.parent.name: identify(path) for path in outputs.glob("*/*/summary.json")}
            trained_again = [name for name, file in finished.items() if now_finished.get(name) != file]
            problems += [f"{name} had finished and was trained again" for name in trained_again]
            finished = now_finished
        if status != 0:
            problems.append(f"training ended with status {status} after it had been killed")
        figures = {name: read_figures(path) for name, path in list_runs(outputs)}
        if set(figures) != set(expected):
            problems.append(f"{len(figures)} of {len(expected)} runs have finished")
        for name in set(figures) & set(expected):
            differences = list(find_differences(figures[name], expected[name], 0 if training.is_exact else TOLERANCE))
            counts["runs with the figures of undisturbed training"] += not differences
            problems += [f"{name}: {difference}" for difference in differences[:3]]
        shutil.rmtree(outputs)
    return counts, problems


def wait(pid: int, seconds: float) -> int | None:
    """Wait for a process, and return its status; kill it after so many seconds, and return None."""
    deadline = time.monotonic() + seconds
    while time.monotonic() < deadline:
        ended, status = os.waitpid(pid, os.WNOHANG)
        if ended:
            return os.waitstatus_to_exitcode(status)
        time.sleep(POLL_SECONDS)
    os.kill(pid, signal.SIGKILL)
    os.waitpid(pid, 0)
    return None


def identify(path: Path) -> tuple[int, int]:
    """Return what changes when a file is replaced."""
    stat = path.stat()
    return stat.st_ino, stat.st_mtime_ns


def describe_moment(outputs: Path) -> str:
    """Return at which moment training was killed, as its files show it."""
    if not list(outputs.glob("*/*/run.json")):
        return "before there was a run"
    if not list(outputs.glob("*/*/checkpoint.safetensors")):
        return "before the first checkpoint"
    directories = [path.parent for path in outputs.glob("*/*/run.json")]
    if all((directory / "summary.json").exists() for directory in directories):
        return "after the last summary"
    if list(outputs.glob("*/*/*.part")):
        return "while a file was replaced"
    return "between two checkpoints"


def list_runs(outputs: Path) -> list[tuple[str, Path]]:
    """Return the names and directories of the finished runs below a directory of outputs."""
    runs = [run for name in outputs.iterdir() for run in find_runs(name)]
    return [(run.directory.name, run.directory) for run in runs if run.summary is not None]


def read_figures(directory: Path) -> dict[str, Any]:
    """Return all figures that a finished run has left, which do not depend on the times and names of its files.

    They include the epochs of every curve in TensorBoard's file, in the order of the file.
    """
    run = load_run(directory)
    assert run.summary is not None
    keys = ("status", "epochs", "best_epoch", "best", "last", "test", "test_last", "lr", "images")
    weights: dict[str, Any] = {}
    for name in ("best.safetensors", "checkpoint.safetensors"):
        tensors, _ = read_tensors(directory / name)
        weights |= {f"{name} {key}": tensor.tolist() for key, tensor in tensors.items()}
    curves: dict[str, list[tuple[int, float]]] = {}
    [events] = directory.glob("events.out.tfevents.*")
    for event in EventFileLoader(str(events)).Load():
        for value in event.summary.value:
            if value.tag not in ("train/seconds", "configuration") and not value.tag.startswith("visuals/"):
                number = value.tensor.float_val[0] if value.tensor.float_val else 0.0
                curves.setdefault(value.tag, []).append((event.step, number))
    return {
        "summary": {key: run.summary[key] for key in keys},
        "metrics": [{key: value for key, value in row.items() if key != "seconds"} for row in run.metrics],
        "weights": weights,
        "curves": curves,
    }


def find_differences(value: Any, expected: Any, tolerance: float, name: str = "") -> Iterator[str]:
    """Yield where two values differ: numbers by more than the tolerance, or anything else at all.

    Args:
        value: a value as in a JSON file, with dictionaries and lists in it.
        expected: the value that it should be.
        tolerance: how far a number may be off, relative to 1 or to the number if that is larger.
        name: the name of the value.
    """
    if isinstance(value, dict) and isinstance(expected, dict) and set(value) == set(expected):
        for key in value:
            yield from find_differences(value[key], expected[key], tolerance, f"{name}.{key}")
    elif isinstance(value, list | tuple) and isinstance(expected, list | tuple) and len(value) == len(expected):
        for index, pair in enumerate(zip(value, expected, strict=True)):
            yield from find_differences(*pair, tolerance, f"{name}[{index}]")
    elif isinstance(value, float) and isinstance(expected, float):
        if abs(value - expected) > tolerance * max(1.0, abs(expected)):
            yield f"{name} is {value!r}, not {expected!r}"
    elif value != expected:
        yield f"{name} is {str(value)[:200]}, not {str(expected)[:200]}"


if __name__ == "__main__":
    main()
