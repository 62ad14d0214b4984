"""The command line of `python -m regexp.clear`."""

from pathlib import Path

from regexp.cli.flags import FlagParser


def make_parser() -> FlagParser:
    """Return the parser of the command line."""
    parser = FlagParser(
        "python -m regexp.clear",
        "Delete runs that failed, results that were set aside, or checkpoints of finished runs. It shows first what "
        "would go, and asks. Without --failed, --old and --checkpoints it only shows what could go.",
        purpose="deletes what runs have left",
    )
    parser.add_argument(
        "directories",
        metavar="DIR",
        nargs="+",
        type=Path,
        help="directories of runs, such as outputs/default, or of a single run",
    )
    parser.add_argument("--failed", action="store_true", help="runs that failed")
    parser.add_argument("--old", action="store_true", help="directories that were set aside: *.old-TIME")
    parser.add_argument(
        "--checkpoints", action="store_true", help="checkpoints of finished runs; the weights that they keep stay"
    )
    parser.add_argument("--yes", action="store_true", help="delete without asking")
    return parser
