"""The command line of `python -m regexp.predict`."""

from collections.abc import Sequence
from pathlib import Path

from regexp.cli.flags import FlagParser
from regexp.config.words.homes import expand_home
from regexp.errors import ConfigError
from regexp.runs.predicting.ensemble import holds_runs

# The formats of a file of results, by its suffix.
FORMATS = (".csv", ".json")


def make_parser() -> FlagParser:
    """Return the parser of the command line."""
    parser = FlagParser(
        "python -m regexp.predict",
        "Name the class of pictures, or of the rows of a table, by a trained run, or by the mean of several seeds.",
        purpose="predicts with runs that are there",
    )
    parser.usage = "python -m regexp.predict [--best] [--output FILE] [--code TARGET] RUN... INPUT..."
    parser.add_argument(
        "words",
        metavar="RUN... INPUT...",
        nargs="+",
        help="directories of runs that differ in their seed only, or a folder of such runs; then pictures, folders of "
        "pictures, .npy or .npz files, or for a run on a table CSV or Parquet files",
    )
    parser.add_argument(
        "--best", action="store_true", help="of several runs, take the one with the best validation accuracy"
    )
    parser.add_argument(
        "--output", metavar="FILE", type=Path, help="write all probabilities to FILE.csv or FILE.json instead"
    )
    parser.add_argument(
        "--code", metavar="TARGET", help="code of your own that makes the network and may run, such as net.py:Net"
    )
    return parser


def split_words(words: Sequence[str]) -> tuple[list[str], list[str]]:
    """Return the words that name runs, which come first, and those that name inputs.

    Raises:
        ConfigError: there are none of one kind.
    """
    # The first word may hold runs at any depth. A later one that does may be a folder of pictures with outputs/ in it.
    paths = list(map(expand_home, words))
    count = next((i for i, path in enumerate(paths) if not holds_runs(path, is_deep=i == 0)), len(words))
    if count == 0:
        problem = "holds no runs" if expand_home(words[0]).is_dir() else "is no directory of a run"
        raise ConfigError(f"{words[0]}: {problem}; name the run first, such as outputs/default/defaults")
    if count == len(words):
        raise ConfigError(f"{words[-1]}: name the pictures or tables to predict after the run")
    return list(words[:count]), list(words[count:])


def check_output(path: Path | None) -> None:
    """Raise ConfigError if the results cannot be written in the format that the name of a file asks for."""
    if path is not None and path.suffix.lower() not in FORMATS:
        raise ConfigError(f"--output {path}: must end in {' or '.join(FORMATS)}")
