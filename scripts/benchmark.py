"""Benchmarks of regexp against what people use instead: uv run scripts/benchmark.py --help."""

import argparse
import json
import os
from collections.abc import Callable
from pathlib import Path
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from benchmarks.timing import Rows

DATA_ROOT = Path(__file__).resolve().parent.parent.parent / "shared" / "data"
PARTS = ("speed", "busy", "threads", "joblib", "width", "runs", "bound", "subnormals")
GPU_PARTS = ("graphs",)
PRUNER = ("hydra/sweeper/pruner=halving",)
PARTS_HELP = "parts to measure (default: all that need no GPU)"


def main() -> None:
    """Run the benchmarks that the command line asks for."""
    arguments = parse_arguments()
    rows_by_title = run_benchmarks(arguments)
    if arguments.json:
        arguments.json.write_text(json.dumps(rows_by_title, indent=2) + "\n")


def parse_arguments() -> argparse.Namespace:
    """Return the arguments of the command line."""
    parser = argparse.ArgumentParser(description=__doc__)
    commands = parser.add_subparsers(dest="command", required=True)
    single = commands.add_parser("single", help="one run of MNIST: time of an epoch with validation")
    augmentation = commands.add_parser("augmentation", help="each augmentation of MNIST: time of an epoch's images")
    regularizers = commands.add_parser(
        "regularizers", help="each regularizer on MNIST: time of an epoch with validation"
    )
    robustness = commands.add_parser("robustness", help="corrupted test images of MNIST: time of an evaluation")
    sweep = commands.add_parser("sweep", help="sweeps of MNIST that train together: time of a run and epoch")
    search = commands.add_parser("search", help="searches of MNIST: time until a validation accuracy is reached")
    search.add_argument("--trials", type=int, default=64)
    search.add_argument("--seeds", type=int, default=3, help="runs of a trial")
    search.add_argument(
        "--targets", type=float, nargs="+", default=(0.93, 0.94, 0.95), help="validation accuracies, fractions"
    )
    search.add_argument("--pruner", nargs="+", default=PRUNER, metavar="WORD", help="words that choose the pruner")
    search.add_argument("--whole", action="store_true", help="time whole searches too, beyond the highest accuracy")
    search.add_argument("--repeats", type=int, default=3)
    startup = commands.add_parser("startup", help="time of commands that train nothing, and until the first step")
    versions = commands.add_parser("versions", help="whole commands of this version over those of another checkout")
    versions.add_argument("other", type=Path, help="the other checkout, with its environment in .venv")
    versions.add_argument("--only", nargs="+", default=(), metavar="NAME", help="the commands to run (default: all)")
    versions.add_argument("--repeats", type=int, default=3)
    for command in (single, augmentation, regularizers, robustness, sweep, versions, search):
        command.add_argument("--data-root", type=Path, default=Path(os.environ.get("REGEXP_DATA_ROOT", DATA_ROOT)))
        command.add_argument("--epochs", type=int, default=5, help="epochs that count; one before and one after do not")
    for command in (regularizers, sweep, search):
        command.add_argument("--train-size", type=int, metavar="N", help="training images, with N/6 validation images")
    search.set_defaults(train_size=5000, epochs=30)
    sweep.add_argument("--parts", nargs="+", choices=PARTS + GPU_PARTS, default=PARTS, help=PARTS_HELP)
    sweep.add_argument("--plots", type=Path, metavar="DIR", help="also save plots of the measurements there, as PNG")
    sweep.add_argument("--command-runs", type=int, default=8, metavar="N", help="joblib: runs of each command")
    sweep.add_argument("--command-epochs", type=int, default=2, metavar="N", help="joblib: epochs of each run")
    sweep.add_argument("--command-repeats", type=int, default=3, metavar="N", help="joblib: how often to run commands")
    startup.add_argument("--repeats", type=int, default=7)
    for command in (
        parser,
        single,
        augmentation,
        regularizers,
        robustness,
        sweep,
        versions,
        startup,
        search,
    ):  # accepted before and after the command
        command.add_argument("--json", type=Path, default=argparse.SUPPRESS, help="also write the results to this file")
    parser.set_defaults(json=None)
    return parser.parse_args()


def run_benchmarks(arguments: argparse.Namespace) -> "dict[str, Rows]":
    """Run the benchmarks of a command, print each table as soon as it is measured, and return the rows by title."""
    rows_by_title: dict[str, Rows] = {}

    def add(title: str, rows: "Rows") -> None:
        print_table(title, rows)
        rows_by_title[title] = rows

    # The benchmarks are imported where they are used, because torch takes seconds to import.
    if arguments.command == "startup":
        from benchmarks.startup import benchmark_startup
        from benchmarks.sweep_starts import benchmark_sweep_starts

        add("startup", benchmark_startup(arguments.repeats))
        for title, rows in benchmark_sweep_starts(arguments.repeats).items():
            add(title, rows)
    elif arguments.command == "versions":
        from benchmarks.versions import benchmark_versions

        add(
            "whole commands",
            benchmark_versions(arguments.other, arguments.data_root, arguments.repeats, arguments.only),
        )
    elif arguments.command == "single":
        from benchmarks.single import benchmark_single

        add("with augmentation=lesson", benchmark_single(arguments.data_root, arguments.epochs, augment=True))
        add("without augmentation", benchmark_single(arguments.data_root, arguments.epochs, augment=False))
    elif arguments.command == "augmentation":
        from benchmarks.augmentation import benchmark_augmentation

        add("image streams", benchmark_augmentation(arguments.data_root, arguments.epochs))
    elif arguments.command == "regularizers":
        from benchmarks.regularizers import benchmark_regularizers

        rows = benchmark_regularizers(arguments.data_root, arguments.epochs, arguments.train_size)
        add("an epoch of one run", rows)
    elif arguments.command == "robustness":
        from benchmarks.robustness import benchmark_robustness

        add("an evaluation at the end of runs", benchmark_robustness(arguments.data_root, arguments.epochs))
    elif arguments.command == "search":
        from benchmarks.search import benchmark_search

        sizes = arguments.epochs, arguments.train_size, arguments.trials, arguments.seeds
        goal = arguments.targets, arguments.pruner, arguments.repeats, arguments.whole
        add("searches, whole commands", benchmark_search(arguments.data_root, *sizes, *goal))
    else:
        run_sweep_benchmarks(arguments, add)
    return rows_by_title


def run_sweep_benchmarks(arguments: argparse.Namespace, add: "Callable[[str, Rows], None]") -> None:
    """Run the requested parts of the sweep benchmark, and save their plots."""
    from benchmarks.bound import benchmark_bound
    from benchmarks.busy import benchmark_busy
    from benchmarks.graphs import benchmark_graphs
    from benchmarks.launchers import benchmark_joblib
    from benchmarks.runs import benchmark_runs
    from benchmarks.speed import benchmark_speed
    from benchmarks.subnormals import benchmark_subnormals
    from benchmarks.threads import benchmark_threads
    from benchmarks.width import benchmark_width

    root, epochs, size = arguments.data_root, arguments.epochs, arguments.train_size
    command_sizes = arguments.command_runs, arguments.command_epochs, arguments.command_repeats
    benchmarks = {
        "speed": lambda: benchmark_speed(root, epochs, size),
        "busy": lambda: benchmark_busy(root, epochs, size),
        "threads": lambda: benchmark_threads(root, epochs, size),
        "joblib": lambda: benchmark_joblib(root, size, *command_sizes),
        "width": lambda: benchmark_width(root, epochs, size),
        "runs": lambda: benchmark_runs(root, epochs, size),
        "bound": lambda: benchmark_bound(root, epochs, size),
        "graphs": lambda: benchmark_graphs(root, epochs, size),
        "subnormals": lambda: benchmark_subnormals(root, size),
    }
    measured = {}
    for part in arguments.parts:
        measured[part] = benchmarks[part]()
        for title, rows in measured[part].items():
            add(title, rows)
    if arguments.plots:
        from benchmarks.plots import save_plots

        save_plots(measured, arguments.plots)


def print_table(title: str, rows: "Rows") -> None:
    """Print rows as a table of 80 columns; a row may lack seconds or ratios."""
    print(f"\n{title}")
    print(f"  {'':<46}{'median s':>9}{'ratio':>7}{'range':>16}")
    for name, row in rows.items():
        line = f"  {name:<46}" + (f"{row['median']:>9.4f}" if "median" in row else " " * 9)
        if "ratio" in row:
            line += f"{row['ratio']:>7.2f}"
        if "lowest" in row:
            line += f"{row['lowest']:>8.2f} - {row['highest']:<5.2f}"
        print(line.rstrip(), flush=True)


if __name__ == "__main__":
    main()
