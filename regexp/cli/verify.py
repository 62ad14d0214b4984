"""The command line of `python -m regexp.verify`."""

from pathlib import Path

from regexp.cli.flags import FlagParser


def make_parser(tolerance: float) -> FlagParser:
    """Return the parser of the command line.

    Args:
        tolerance: how far the metrics of a run may differ in float64.
    """
    parser = FlagParser(
        "python -m regexp.verify",
        "Train runs of a sweep again, each alone, and show how far the results agree.",
        purpose="trains runs again as they were recorded",
    )
    parser.add_argument(
        "directory", metavar="DIR", type=Path, help="directory of runs, such as outputs/default, or of a single run"
    )
    selection = parser.add_mutually_exclusive_group()
    selection.add_argument(
        "--runs", metavar="N", type=int, default=3, help="how many runs to draw at random (default: 3)"
    )
    selection.add_argument(
        "--run", metavar="LABEL", nargs="+", default=[], help="the runs to train, by the names of their directories"
    )
    parser.add_argument("--seed", metavar="N", type=int, default=0, help="seed of the random draw (default: 0)")
    parser.add_argument(
        "--float64",
        action="store_true",
        help=f"train both alone and together in float64, and fail if they differ by more than {tolerance:g}",
    )
    parser.add_argument(
        "--code",
        metavar="TARGET",
        nargs="+",
        default=[],
        help="code of your own that may run, such as net.py:Net: runs that need other code are skipped",
    )
    parser.add_argument(
        "--config-dir", "-cd", metavar="DIR", help="the directory of further options that the runs were trained with"
    )
    parser.add_argument(
        "--config-name", "-cn", metavar="NAME", default="config", help="the configuration in that directory"
    )
    return parser
