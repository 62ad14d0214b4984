"""The `regexp-compare` command."""

import argparse
from pathlib import Path
from typing import Any

from regexp.utils import exit_codes

_FORMATS = ("text", "md", "csv", "json")


def main() -> None:
    """Run the command line; ends with one of the statuses in regexp.errors."""
    parser = _parser()
    given = parser.parse_args()
    if given.status and given.format != "text":
        parser.error(f"--status --format {given.format}: the status is for reading; drop --format")
    with exit_codes.process_exit():
        _compare(given)


def _parser() -> argparse.ArgumentParser:
    parser = argparse.ArgumentParser(
        "regexp-compare",
        description="Which configuration is better, by how much, and is the difference real?",
        allow_abbrev=False,
    )
    several: dict[str, Any] = {"action": "append", "default": []}
    parser.add_argument(
        "folders", metavar="DIR", nargs="*", type=Path, help="of runs, such as outputs/default; none: the last sweep"
    )
    parser.add_argument("--by", metavar="KEY", help="compare its values, averaged over all else", **several)
    parser.add_argument(
        "--baseline", metavar="KEY=VALUE", help="what the others are compared with (first values)", **several
    )
    parser.add_argument("--metric", metavar="NAME", help="of the differences (test_accuracy)")
    parser.add_argument("--where", metavar="KEY=VALUE", help="only such runs; VALUE,VALUE: any of these", **several)
    parser.add_argument("--sort", metavar="NAME", help="metric or key to sort by (val_accuracy)")
    parser.add_argument("--status", action="store_true", help="what has not finished, and what to type")
    parser.add_argument("--format", choices=_FORMATS, default="text", help="of what is printed")
    parser.add_argument("--output", metavar="DIR", type=Path, help="write comparison.md and plots (PNG, SVG) there")
    parser.add_argument(
        "--tensorboard", action="store_true", help="add mean and spread of each configuration to TensorBoard"
    )
    return parser


def _compare(given: argparse.Namespace) -> None:
    from regexp.comparison.compare import compare_all
    from regexp.comparison.grouping import split_values
    from regexp.comparison.loading import collect, count
    from regexp.comparison.report import Report
    from regexp.runs.logdirs import logdir
    from regexp.utils.next_commands import tensorboard

    by = [key for keys in given.by for key in split_values(keys)]
    comparison = compare_all(collect(given.folders), by, given.baseline, given.metric, given.where, given.sort)
    printer = Report()
    if given.status:
        printer.status(comparison)
    elif given.format == "text":
        printer.compare(comparison)
    else:
        printer.plain(comparison, given.format)
    if given.output is not None or given.tensorboard:
        from regexp.comparison.curves import Curves

        curves = Curves(comparison.rows)
        for problem in curves.problems:
            printer.aside(problem)
        if given.output is not None:
            from regexp.comparison.plots import write

            printer.aside(f"written  {write(comparison, curves, given.output)}")
        if given.tensorboard:
            from regexp.comparison.tensorboard import bands_directory, write_bands

            printer.aside(
                f"bands    {bands_directory(comparison)}: {count(write_bands(comparison, curves), 'configuration')}"
            )
            logs = logdir([record.directory for record in comparison.records], bands_directory(comparison))
            printer.aside(f"curves   {tensorboard(logs)}")


if __name__ == "__main__":
    main()
