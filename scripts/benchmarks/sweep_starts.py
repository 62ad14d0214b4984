"""The time and memory that a sweep needs before it trains: finished runs shown again, and dry runs."""

import os
import subprocess
import sys
import tempfile
from collections.abc import Callable, Sequence
from functools import partial

from benchmarks.timing import Rows, compare_with, take_turns
from benchmarks.versions import DIGITS_SWEEP

REGEXP = [sys.executable, "-m", "regexp"]
# Each run trains for a moment only: what is measured is the command that shows it again.
FINISHED_SWEEP = ["-m", "epochs=1", "data.train_size=64", "model.hidden_sizes=[8]", *DIGITS_SWEEP]
DRY_RUNS = (1_000, 10_000)


def benchmark_sweep_starts(repeats: int) -> dict[str, Rows]:
    """Compare the seconds and the memory of whole commands that train nothing.

    Args:
        repeats: how often each command counts; once more before that does not.

    Returns:
        The rows by title: finished runs with `regexp --help`, and large dry runs with small ones.
    """
    kilobytes: dict[int, list[float]] = {count: [] for count in DRY_RUNS}
    help_name, finished_name = "regexp --help", "1,008 finished runs shown again"
    with tempfile.TemporaryDirectory() as cwd:
        run_command(FINISHED_SWEEP, cwd)

        def dry_run(count: int) -> None:
            grid = [f"seed=range({count // 10})", f"model.dropout={','.join(f'0.{i}' for i in range(10))}"]
            kilobytes[count].append(run_command(["-m", *grid, "hydra.launcher.dry_run=true"], cwd))

        functions: dict[str, Callable[[], object]] = {
            help_name: lambda: run_command(["--help"], cwd),
            finished_name: lambda: run_command(FINISHED_SWEEP, cwd),
            **{f"dry run of {count:,} runs": partial(dry_run, count) for count in DRY_RUNS},
        }
        seconds = {name: turns[1:] for name, turns in take_turns(functions, repeats + 1).items()}
    small, large = (f"dry run of {count:,} runs" for count in DRY_RUNS)
    dry_run_rows = compare_with(small, {name: seconds[name] for name in (small, large)})
    memory = compare_with(small, {small: kilobytes[DRY_RUNS[0]][1:], large: kilobytes[DRY_RUNS[1]][1:]})[large]
    dry_run_rows[f"memory of the larger one, {memory.pop('median') / 1e6:.2f} GB"] = memory
    return {
        "finished runs": compare_with(help_name, {name: seconds[name] for name in (help_name, finished_name)}),
        "dry runs": dry_run_rows,
    }


def run_command(words: Sequence[str], cwd: str) -> int:
    """Run `regexp WORDS` in a directory, and return the peak memory of its largest process in kilobytes (on Linux)."""
    with subprocess.Popen([*REGEXP, *words], cwd=cwd, stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL) as process:
        _, status, usage = os.wait4(process.pid, 0)
        process.returncode = os.waitstatus_to_exitcode(status)
    if process.returncode:
        raise SystemExit(f"regexp {' '.join(words)}: exit status {process.returncode}")
    return usage.ru_maxrss
