"""How long regexp takes to start, and regexp-compare to read, compare and print."""

import json
import shutil
import subprocess
import sys
import tempfile
import time
from pathlib import Path

from benchmarks.timing import Rows, rows_of

# Runs the command and leaves after its first optimizer step. The step is patched when regexp.training.loop is
# looked for, which is after everything it needs, so that imports happen in the order in which they would.
FIRST_STEP = """
import os, sys
class Late:
    def find_spec(self, name, path=None, target=None):
        if name == "regexp.training.loop":
            sys.meta_path.remove(self)
            from regexp.training.cohort import Cohort
            step = Cohort.step
            Cohort.step = lambda *arguments: (step(*arguments), os._exit(0))
sys.meta_path.insert(0, Late())
sys.argv = ["regexp", "force=true"]
from regexp.__main__ import main
main()
"""


COMPARED = (100, 1000)


def copies(folder: Path, count: int) -> None:
    """So many finished runs: copies of one, five seeds each of as many learning rates."""
    one = next(folder.parent.glob("outputs/*/*/summary.json")).parent
    record = json.loads((one / "run.json").read_text())
    for i in range(count):
        lr, seed = 0.001 * (i // 5 + 1), i % 5
        run = folder / f"lr={lr:.3f},seed={seed}"
        shutil.copytree(one, run)
        config = {**record["config"], "optimizer.lr": lr, "seed": seed}
        overrides = [f"optimizer.lr={lr:.3f}", f"seed={seed}"]
        (run / "run.json").write_text(json.dumps({**record, "config": config, "overrides": overrides}))
        summary = json.loads((run / "summary.json").read_text())
        summary["test"]["accuracy"] -= 0.01 * ((7 * i) % 5)  # so that there is a spread
        (run / "summary.json").write_text(json.dumps(summary))


def benchmark_startup(repeats: int) -> Rows:
    """Seconds of whole processes; the ratio is to `import torch`."""
    commands = {
        "import torch": [sys.executable, "-c", "import torch"],
        "regexp --help": [sys.executable, "-m", "regexp", "--help"],
        "regexp, to the first step on digits": [sys.executable, "-c", FIRST_STEP],
        **{
            f"regexp-compare, {count:,} runs": [sys.executable, "-m", "regexp.cli.compare", str(count)]
            for count in COMPARED
        },
    }
    seconds: dict[str, list[float]] = {name: [] for name in commands}
    with tempfile.TemporaryDirectory() as folder:
        subprocess.run([sys.executable, "-m", "regexp", "epochs=1"], cwd=folder, check=True, stdout=subprocess.DEVNULL)
        for count in COMPARED:
            copies(Path(folder, str(count)), count)
        for _ in range(repeats + 1):
            for name, command in commands.items():
                began = time.perf_counter()
                subprocess.run(command, cwd=folder, check=True, stdout=subprocess.DEVNULL)
                seconds[name].append(time.perf_counter() - began)
    return rows_of({name: values[1:] for name, values in seconds.items()}, "import torch")
