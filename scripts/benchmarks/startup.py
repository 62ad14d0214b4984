"""The time that regexp needs to start, and that regexp-compare needs to read, compare and print."""

import json
import shutil
import subprocess
import sys
import tempfile
import time
from pathlib import Path

from benchmarks.timing import Rows, compare_with

# Runs the command and exits after its first optimizer step. The step is patched when regexp.training.loop is about to
# be imported, after everything it needs, so that the modules are imported in their usual order.
FIRST_STEP = """
import os, sys
class StepPatcher:
    def find_spec(self, name, path=None, target=None):
        if name == "regexp.training.loop":
            sys.meta_path.remove(self)
            from regexp.training.cohort import Cohort
            step = Cohort.step
            Cohort.step = lambda *arguments: (step(*arguments), os._exit(0))
sys.meta_path.insert(0, StepPatcher())
sys.argv = ["regexp", "force=true"]
from regexp.__main__ import main
main()
"""


# The numbers of runs that regexp-compare reads.
COMPARED_RUNS = (100, 1000)


def copy_run(directory: Path, target: Path, count: int) -> None:
    """Make directories of finished runs by copying one, as five seeds of several learning rates.

    Args:
        directory: the directory of a finished run.
        target: where the copies go.
        count: the number of copies.
    """
    record = json.loads((directory / "run.json").read_text())
    for i in range(count):
        lr, seed = 0.001 * (i // 5 + 1), i % 5
        copy = target / f"lr={lr:.3f},seed={seed}"
        shutil.copytree(directory, copy)
        config = {**record["config"], "optimizer.lr": lr, "seed": seed}
        overrides = [f"optimizer.lr={lr:.3f}", f"seed={seed}"]
        (copy / "run.json").write_text(json.dumps({**record, "config": config, "overrides": overrides}))
        summary = json.loads((copy / "summary.json").read_text())
        summary["test"]["accuracy"] -= 0.01 * ((7 * i) % 5)  # so that the seeds differ
        (copy / "summary.json").write_text(json.dumps(summary))


def benchmark_startup(repeats: int) -> Rows:
    """Compare the seconds of whole processes with those of `import torch`."""
    commands = {
        "import torch": [sys.executable, "-c", "import torch"],
        "regexp --help": [sys.executable, "-m", "regexp", "--help"],
        "regexp, to the first step on digits": [sys.executable, "-c", FIRST_STEP],
        **{
            f"regexp-compare, {count:,} runs": [sys.executable, "-m", "regexp.cli.compare", str(count)]
            for count in COMPARED_RUNS
        },
    }
    seconds: dict[str, list[float]] = {name: [] for name in commands}
    with tempfile.TemporaryDirectory() as cwd:
        subprocess.run([sys.executable, "-m", "regexp", "epochs=1"], cwd=cwd, check=True, stdout=subprocess.DEVNULL)
        [summary] = Path(cwd).glob("outputs/*/*/summary.json")
        for count in COMPARED_RUNS:
            copy_run(summary.parent, Path(cwd, str(count)), count)
        for _ in range(repeats + 1):
            for name, command in commands.items():
                began = time.perf_counter()
                subprocess.run(command, cwd=cwd, check=True, stdout=subprocess.DEVNULL)
                seconds[name].append(time.perf_counter() - began)
    return compare_with("import torch", {name: values[1:] for name, values in seconds.items()})
