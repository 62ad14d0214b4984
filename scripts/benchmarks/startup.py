"""How long regexp takes to start."""

import subprocess
import sys
import tempfile
import time

from benchmarks.timing import Rows, rows_of

# Runs the command and leaves after its first optimizer step. The step is patched when regexp.training is looked for,
# which is after everything it needs, so that imports happen in the order in which they would.
FIRST_STEP = """
import os, sys
class Late:
    def find_spec(self, name, path=None, target=None):
        if name == "regexp.training":
            sys.meta_path.remove(self)
            from regexp.cohort import Cohort
            step = Cohort.step
            Cohort.step = lambda *arguments: (step(*arguments), os._exit(0))
sys.meta_path.insert(0, Late())
sys.argv = ["regexp", "force=true"]
from regexp.__main__ import main
main()
"""


def benchmark_startup(repeats: int) -> Rows:
    """Seconds of whole processes; the ratio is to `import torch`."""
    commands = {
        "import torch": [sys.executable, "-c", "import torch"],
        "regexp --help": [sys.executable, "-m", "regexp", "--help"],
        "regexp, to the first step on digits": [sys.executable, "-c", FIRST_STEP],
    }
    seconds: dict[str, list[float]] = {name: [] for name in commands}
    with tempfile.TemporaryDirectory() as folder:
        for _ in range(repeats + 1):
            for name, command in commands.items():
                began = time.perf_counter()
                subprocess.run(command, cwd=folder, check=True, stdout=subprocess.DEVNULL)
                seconds[name].append(time.perf_counter() - began)
    return rows_of({name: values[1:] for name, values in seconds.items()}, "import torch")
