"""The `regexp-compare` command."""

import argparse
import os
from collections.abc import Sequence
from itertools import takewhile
from pathlib import Path
from typing import Any

from regexp.cli.flags import FlagParser
from regexp.cli.program import program
from regexp.config.words.homes import expand_home
from regexp.utils.messages import join_words

_FORMATS = ("text", "md", "csv", "json", "latex", "html")


def main() -> None:
    """Run the command line, and end the process with one of the statuses in regexp.errors."""
    with program() as words:
        parser = _make_parser()
        arguments = parser.parse_words(words)
        if arguments.status and arguments.format != "text":
            parser.error(f"--status --format {arguments.format}: the status is only shown as text; drop --format")
        if arguments.status and arguments.runs:
            parser.error("--status --runs: both say what to show; type one of them")
        if (remedy := _find_stray_value(words)) is not None:
            parser.error(remedy)
        _compare(arguments)


def _find_stray_value(words: Sequence[str]) -> str | None:
    """Return what to type instead, if a word after the value of a flag is meant as a second value; None if none is.

    To the parser, such a word is a directory.
    """
    for start, flag in enumerate(words):
        values = list(takewhile(lambda word: not word.startswith("--"), words[start + 1 :]))
        if len(values) < 2 or any(os.path.exists(expand_home(Path(value))) for value in values[1:]):
            continue
        typed = join_words([flag, *values])
        if flag == "--by" and not any("/" in value for value in values):
            keys = ",".join(value.strip(",") for value in values)
            return f"{typed}: several keys have commas between them: {join_words([flag, keys])}"
        if flag in ("--where", "--baseline") and all("=" in value for value in values):
            conditions = [word for value in values for word in (flag, value)]
            return f"{typed}: every condition has a flag: {join_words(conditions)}"
    return None


def _make_parser() -> FlagParser:
    parser = FlagParser(
        "regexp-compare",
        "Which configuration is better, by how much, and is the difference real?",
        purpose="compares runs that are there",
    )
    repeatable: dict[str, Any] = {"action": "append", "default": []}
    parser.add_argument(
        "directories",
        metavar="DIR",
        nargs="*",
        type=Path,
        help="directories of runs, such as outputs/default (default: the last sweep)",
    )
    parser.add_argument(
        "--by", metavar="KEY", help="compare the values of this key, averaged over all other keys", **repeatable
    )
    parser.add_argument(
        "--baseline",
        metavar="KEY=VALUE",
        help="compare with the configuration that has this value (default: the first value of each key)",
        **repeatable,
    )
    parser.add_argument("--metric", metavar="NAME", help="metric of the differences (default: test_accuracy)")
    parser.add_argument(
        "--margin",
        metavar="SIZE",
        help="the difference that does not matter, in percentage points (or in the metric's unit); verdicts then say "
        "better, worse, equivalent or undecided",
    )
    parser.add_argument(
        "--where",
        metavar="KEY=VALUE",
        help="compare only runs with this value, or one of several: KEY=VALUE,VALUE",
        **repeatable,
    )
    parser.add_argument("--sort", metavar="NAME", help="sort rows by this metric or key (default: val_accuracy)")
    parser.add_argument("--status", action="store_true", help="show what has not finished, and what to type")
    parser.add_argument(
        "--runs", action="store_true", help="list single runs (folder, seed, figures) instead of their means"
    )
    parser.add_argument(
        "--ensemble",
        action="store_true",
        help="say what the seeds of each configuration reach together (runs with predictions=true)",
    )
    parser.add_argument("--format", choices=_FORMATS, default="text", help="format of the output (default: text)")
    parser.add_argument(
        "--output",
        metavar="DIR",
        type=Path,
        help="write a page to mail, tables (Markdown, LaTeX) and plots (PNG, SVG, PDF) to this directory",
    )
    parser.add_argument(
        "--tensorboard", action="store_true", help="add the mean and spread of each configuration to TensorBoard"
    )
    return parser


def _compare(arguments: argparse.Namespace) -> None:
    # Imported here, so that --help does not wait for scipy.
    from regexp.comparison.compare import compare_collection
    from regexp.comparison.conditions import split_values
    from regexp.comparison.formats.terminal import Report
    from regexp.comparison.loading import collect

    collection, report = collect(arguments.directories), Report()
    if collection.search is not None and arguments.format == "text" and not arguments.status and not arguments.runs:
        from regexp.search.requirement import require_optuna

        require_optuna()
        from regexp.search.comparing import print_search

        directory = None if arguments.output is None else expand_home(arguments.output)
        print_search(report, collection.search.study, collection.search.confirms, directory)
        chosen = [arguments.by, arguments.baseline, arguments.where, arguments.metric, arguments.sort]
        if not collection.search.confirms and not any(chosen) and not arguments.tensorboard:
            return  # trials that were chosen by what others achieved get no verdicts unless somebody asks for them
    comparison = compare_collection(
        collection,
        by=[key for keys in arguments.by for key in split_values(keys)],
        baseline=arguments.baseline,
        metric=arguments.metric,
        where=arguments.where,
        sort=arguments.sort,
        ensemble=arguments.ensemble,
        margin=arguments.margin,
    )
    if arguments.status:
        report.print_status(comparison)
    elif arguments.format != "text":
        report.print_as(arguments.format, comparison, arguments.runs)
    elif arguments.runs:
        report.print_runs(comparison)
    else:
        report.print_comparison(comparison)
    if arguments.output is not None or arguments.tensorboard:
        from regexp.comparison.curves import Curves

        curves = Curves(comparison.rows)
        for problem in curves.problems:
            report.print_aside(problem)
        if arguments.output is not None:
            from regexp.comparison.report_files import write_report

            page = write_report(comparison, curves, expand_home(arguments.output))
            report.print_aside(f"written  {page}, and beside it comparison.md, comparison.tex and plots")
        if arguments.tensorboard:
            from regexp.comparison.loading import format_count
            from regexp.comparison.tensorboard import (
                address_of_bands,
                advise_on_ticks,
                bands_directory,
                prepare_log_directory,
                write_bands,
            )
            from regexp.utils.next_commands import tensorboard_command

            num_bands = write_bands(comparison, curves)
            report.print_aside(f"bands    {bands_directory(comparison)}: {format_count(num_bands, 'configuration')}")
            report.print_aside(f"curves   {tensorboard_command(prepare_log_directory(comparison, with_bands=True))}")
            if (advice := advise_on_ticks(comparison)) is not None:
                report.print_aside(f"tick     {advice}")
            report.print_aside(f"open     {address_of_bands(comparison, curves)}")


if __name__ == "__main__":
    main()
