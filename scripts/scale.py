"""What a sweep of many runs costs beside its training: uv run scripts/scale.py 1000.

One run is trained, and its files are copied for all others, so that thousands of runs take minutes. Seconds are those
of the processor, which other programs change little, and in brackets those of the clock.
"""

import argparse
import json
import math
import resource
import shutil
import sys
import tempfile
import time
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from pathlib import Path

from regexp import compare, run
from regexp.config.compose import compose_jobs
from regexp.config.job import Job
from regexp.execution.launcher import print_forecast
from regexp.execution.terminal import Terminal
from regexp.runs.directories import PlannedRun
from regexp.runs.reserving.claims import Claims
from regexp.runs.reserving.plan import plan_runs
from regexp.runs.sweep_record import SweepRecord
from regexp.utils.messages import speak_python

# Runs of ten seeds each.
SEEDS = 10
# What a run leaves when it has ended, beside what is written when it begins.
COPIED = ("metrics.csv", "best.safetensors", "checkpoint.safetensors", "run.log", "confusion.csv")


def main() -> None:
    """Measure the numbers of runs that the command line asks for."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("runs", type=int, nargs="+", help="numbers of runs")
    parser.add_argument("--epochs", type=int, default=30, help="epochs of a run (default: 30)")
    parser.add_argument("--directory", type=Path, help="where to write the runs (default: a temporary directory)")
    parser.add_argument("--json", type=Path, help="also write the measurements to this file")
    arguments = parser.parse_args()
    rows = []
    for count in arguments.runs:
        with tempfile.TemporaryDirectory(dir=arguments.directory) as directory:
            rows.append(measure(count, arguments.epochs, Path(directory)))
        print(json.dumps(rows[-1], indent=2), flush=True)
    if arguments.json:
        arguments.json.write_text(json.dumps(rows, indent=2) + "\n")


def measure(count: int, epochs: int, directory: Path) -> dict[str, str]:
    """Return what each step of a sweep costs, by the name of the step.

    Args:
        count: the number of runs.
        epochs: the epochs of a run.
        directory: an empty directory.
    """
    common = [f"epochs={epochs}", "early_stopping=none", "model.hidden_sizes=[16]"]
    with speak_python():
        template = run(common, directory / "template", quiet=True).directory
    words = [[*common, f"optimizer.lr={1e-4 * (i // SEEDS + 1):g}", f"seed={i % SEEDS}"] for i in range(count)]
    outputs, row = directory / "outputs", {"runs": str(count)}
    with timed(row, "composing"):
        jobs = compose_jobs(words)
    with timed(row, "dry run"):
        print_forecast(jobs, outputs, Terminal(quiet=True), max_runs=None, workers=1)
    with timed(row, "claiming and reserving"):
        planned_runs = reserve(jobs, outputs)
    for planned in planned_runs:
        finish(planned, template)
    with timed(row, "the same command again"):
        planned_again = reserve(jobs, outputs)
    assert all(planned.finished for planned in planned_again)
    with timed(row, "comparing"):
        rows = compare(outputs / "default")
    assert len(rows) == math.ceil(count / SEEDS)
    with timed(row, "TensorBoard's reader in Python"):
        read_events(outputs)
    files = [path for path in outputs.rglob("*") if path.is_file()]
    row["files"] = str(len(files))
    row["megabytes"] = f"{sum(path.stat().st_size for path in files) / 1e6:.0f}"
    blocks = sum(path.stat().st_blocks for path in files) * 512
    row["megabytes on the disk"] = f"{blocks / 1e6:.0f}"
    row["peak memory in megabytes, with torch"] = (
        f"{resource.getrusage(resource.RUSAGE_SELF).ru_maxrss * 1024 / 1e6:.0f}"
    )
    return row


@contextmanager
def timed(row: dict[str, str], name: str) -> Iterator[None]:
    """Add the seconds of a block to a row."""
    print(name, file=sys.stderr, flush=True)
    began, busy = time.perf_counter(), time.process_time()
    yield
    row[name] = f"{time.process_time() - busy:.1f} s ({time.perf_counter() - began:.1f} s)"


def reserve(jobs: Sequence[Job], outputs: Path) -> list[PlannedRun]:
    """Return the planned runs of jobs, as a sweep does before it trains."""
    announce: Callable[[str], None] = print
    with Claims(announce) as claims:
        planned_runs = plan_runs(jobs, outputs, claims, SweepRecord())
    record = SweepRecord()
    record.add(planned_runs, outputs)
    return planned_runs


def finish(planned: PlannedRun, template: Path) -> None:
    """Write to a run's directory what a run leaves that has ended."""
    for name in COPIED:
        if (template / name).exists():
            shutil.copyfile(template / name, planned.directory / name)
    for events in template.glob("events.out.tfevents.*"):
        shutil.copyfile(events, planned.directory / events.name)
    summary = json.loads((template / "summary.json").read_text())
    summary["seed"], summary["config_hash"] = planned.job.config.seed, planned.identity.config
    (planned.directory / "summary.json").write_text(json.dumps(summary))


def read_events(outputs: Path) -> None:
    """Read all event files, as TensorBoard does where its quick reader is not installed."""
    from tensorboard.backend.event_processing.plugin_event_multiplexer import EventMultiplexer

    multiplexer = EventMultiplexer()
    multiplexer.AddRunsFromDirectory(str(outputs))
    multiplexer.Reload()
    assert multiplexer.Runs()


if __name__ == "__main__":
    main()
