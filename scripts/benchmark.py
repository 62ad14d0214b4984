"""Speed against what people use instead, both sides interleaved in one process: uv run scripts/benchmark.py --help."""

import argparse
import json
import os
from collections.abc import Callable
from pathlib import Path
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from benchmarks.timing import Rows

SHARED = Path(__file__).resolve().parent.parent.parent / "shared" / "data"
PARTS = ("speed", "joblib", "width", "runs")


def main() -> None:
    arguments = parse()
    figures = measure(arguments)
    if arguments.json:
        arguments.json.write_text(json.dumps(figures, indent=2) + "\n")


def parse() -> argparse.Namespace:
    parser = argparse.ArgumentParser(description=__doc__)
    commands = parser.add_subparsers(dest="command", required=True)
    single = commands.add_parser("single", help="one run of MNIST, per epoch with validation")
    augmentation = commands.add_parser("augmentation", help="an epoch's images of MNIST, for every option")
    sweep = commands.add_parser("sweep", help="sweeps of MNIST that train together, per run and epoch")
    startup = commands.add_parser("startup", help="from process start to --help and to the first optimizer step")
    for command in (single, augmentation, sweep):
        command.add_argument("--data-root", type=Path, default=Path(os.environ.get("REGEXP_DATA_ROOT", SHARED)))
        command.add_argument("--epochs", type=int, default=5, help="counted ones; one before and one after are not")
    sweep.add_argument("--train-size", type=int, metavar="N", help="training images; a sixth as many validate")
    sweep.add_argument("--parts", nargs="+", choices=PARTS, default=PARTS, help="which to measure; all by default")
    sweep.add_argument("--plots", type=Path, metavar="FOLDER", help="also draw the figures there, as PNG")
    sweep.add_argument("--command-runs", type=int, default=8, metavar="N", help="of whole commands: runs")
    sweep.add_argument("--command-epochs", type=int, default=2, metavar="N", help="of whole commands: epochs")
    sweep.add_argument("--command-repeats", type=int, default=3, metavar="N", help="how often each is run")
    startup.add_argument("--repeats", type=int, default=7)
    for command in (parser, single, augmentation, sweep, startup):  # before the command and after it
        command.add_argument("--json", type=Path, default=argparse.SUPPRESS, help="also write the figures to this file")
    parser.set_defaults(json=None)
    return parser.parse_args()


def measure(arguments: argparse.Namespace) -> "dict[str, Rows]":
    """A command's figures by title, shown as they come."""
    figures: dict[str, Rows] = {}

    def note(title: str, rows: "Rows") -> None:
        show(title, rows)
        figures[title] = rows

    # Imported where needed: torch takes seconds.
    if arguments.command == "startup":
        from benchmarks.startup import benchmark_startup

        note("startup", benchmark_startup(arguments.repeats))
    elif arguments.command == "single":
        from benchmarks.single import benchmark_single

        note("with augmentation=lesson", benchmark_single(arguments.data_root, arguments.epochs, augment=True))
        note("without augmentation", benchmark_single(arguments.data_root, arguments.epochs, augment=False))
    elif arguments.command == "augmentation":
        from benchmarks.augmentation import benchmark_augmentation

        note("image streams", benchmark_augmentation(arguments.data_root, arguments.epochs))
    else:
        measure_sweep(arguments, note)
    return figures


def measure_sweep(arguments: argparse.Namespace, note: "Callable[[str, Rows], None]") -> None:
    """The parts asked for, and their plots."""
    from benchmarks.launchers import benchmark_joblib
    from benchmarks.runs import benchmark_runs
    from benchmarks.speed import benchmark_speed
    from benchmarks.width import benchmark_width

    root, epochs, size = arguments.data_root, arguments.epochs, arguments.train_size
    commands = arguments.command_runs, arguments.command_epochs, arguments.command_repeats
    benchmarks = {
        "speed": lambda: benchmark_speed(root, epochs, size),
        "joblib": lambda: benchmark_joblib(root, size, *commands),
        "width": lambda: benchmark_width(root, epochs, size),
        "runs": lambda: benchmark_runs(root, epochs, size),
    }
    measured = {}
    for part in arguments.parts:
        measured[part] = benchmarks[part]()
        for title, rows in measured[part].items():
            note(title, rows)
    if arguments.plots:
        from benchmarks.plots import draw

        draw(measured, arguments.plots)


def show(title: str, rows: "Rows") -> None:
    """A table of 80 columns; a row may lack seconds or ratios."""
    print(f"\n{title}")
    print(f"  {'':<46}{'median s':>9}{'ratio':>7}{'range':>16}")
    for name, row in rows.items():
        line = f"  {name:<46}" + (f"{row['median']:>9.4f}" if "median" in row else " " * 9)
        if "ratio" in row:
            line += f"{row['ratio']:>7.2f}{row['lowest']:>8.2f} - {row['highest']:<5.2f}"
        print(line.rstrip(), flush=True)


if __name__ == "__main__":
    main()
