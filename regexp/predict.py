"""A command that names the class of pictures, or of the rows of a table, by trained runs."""

import csv
import io
import json
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any

from rich.markup import escape
from rich.table import Table

from regexp.cli.predict import check_output, make_parser, split_words
from regexp.cli.program import program
from regexp.config.words.homes import expand_home
from regexp.errors import ConfigError, DataError
from regexp.runs.predicting.ensemble import choose_runs
from regexp.runs.predicting.predictions import Predictions
from regexp.runs.run import Run
from regexp.utils.atomic_io import write_atomically
from regexp.utils.console import Console, warn_caller
from regexp.utils.messages import join_words, list_first, show_bytes
from regexp.utils.storage_errors import explain_storage_errors

if TYPE_CHECKING:
    from torch import nn

_MAX_PROBLEMS = 20  # that are listed
_MAX_WIDTH = 10_000  # of a table that goes to a file or a pipe


def predict(
    runs: "Run | Path | str | Sequence[Run | Path | str]",
    inputs: Any,
    best: bool = False,
    weights: str = "kept",
    target: "Callable[..., nn.Module] | str | None" = None,
) -> Predictions:
    """Return the classes and their probabilities, the mean over runs that differ in their seed only.

    Args:
        runs: one or several runs, directories of runs, or folders of which all finished runs count.
        inputs: as for `Run.predict`.
        best: whether to take the run with the best validation accuracy alone.
        weights: as for `Run.model`.
        target: as for `Run.model`.

    Raises:
        ConfigError, DataError, RunError: as `Run.predict`, and where the runs differ in more than their seed.

    Example:
        >>> from regexp.predict import predict
        >>> predict("outputs/default", "four.png", best=True).labels
        ('4',)
    """
    paths = [runs] if isinstance(runs, Run | Path | str) else runs
    directories = [path.directory if isinstance(path, Run) else expand_home(path) for path in paths]
    chosen_runs = choose_runs(directories, best)
    if not best:
        _warn_of_unfinished_runs(directories, chosen_runs)
    predictions = predict_with(chosen_runs, inputs, weights, target)
    predictions.warn()
    return predictions


def _warn_of_unfinished_runs(directories: Sequence[Path], chosen_runs: Sequence[Run]) -> None:
    """Warn of the runs that were named themselves, not by a folder, and do not predict."""
    chosen = {run.directory.resolve() for run in chosen_runs}
    named = [path for path in dict.fromkeys(directories) if (path / "run.json").is_file()]
    if left_out := [str(path) for path in named if path.resolve() not in chosen]:
        warn_caller(
            f"{len(left_out)} of {len(named)} runs diverged or have not finished, and do not predict:"
            + list_first(left_out)
        )


def predict_with(
    runs: Sequence[Run], inputs: Any, weights: str, target: "Callable[..., nn.Module] | str | None"
) -> Predictions:
    """Return the mean predictions of runs of one configuration; see `predict`."""
    from regexp.runs.predicting.prediction import predict_inputs

    models = [run.load_trained_model(weights, target) for run in runs]
    has_diverged = any(run.status == "diverged" for run in runs)
    return predict_inputs(models, runs[0].input_format, inputs, has_diverged)


def _predict_words(words: Sequence[str]) -> None:
    arguments = make_parser().parse_words(words)
    check_output(arguments.output)
    run_words, inputs = split_words(arguments.words)
    runs = choose_runs(run_words, arguments.best)
    recorded_target = runs[0].config.get("model.target")
    if recorded_target is not None and arguments.code is None:
        typed_code = join_words(["--code", recorded_target])
        raise ConfigError(f"{runs[0].directory}: its network is code of your own, which runs only with {typed_code}")
    predictions = predict_with(runs, inputs, "kept", arguments.code)
    console = Console()
    if arguments.output is None:
        if not console.is_terminal:
            console.width = _MAX_WIDTH  # a line an input, for grep and the like
        console.print(escape(_name_runs(runs)), soft_wrap=True)
        console.print(_make_table(predictions))
    else:
        path = expand_home(arguments.output)
        with explain_storage_errors(path.parent, "choose another file with --output FILE"):
            write_atomically(path, _encode(predictions, path.suffix.lower()))
        console.print(
            escape(f"{len(predictions):,} predictions of {_name_runs(runs)} in {show_bytes(str(path))}"), soft_wrap=True
        )
    for note in predictions.notes:
        console.print_warning(note)
    if problems := predictions.problems:
        lines = list_first([f"{name} {problem}" for name, problem in problems.items()], _MAX_PROBLEMS)
        count = "1 input" if len(problems) == 1 else f"{len(problems):,} inputs"
        raise DataError(f"{count} of {len(predictions) + len(problems):,} cannot be read:{lines}")


def _name_runs(runs: Sequence[Run]) -> str:
    if len(runs) == 1:
        return show_bytes(str(runs[0].directory))
    seeds = ", ".join(str(run.config["seed"]) for run in runs)
    return f"the mean of {len(runs)} runs in {show_bytes(str(runs[0].directory.parent))} (seeds {seeds})"


def _make_table(predictions: Predictions) -> Table:
    table = Table(box=None, pad_edge=False)
    table.add_column("input", overflow="fold")
    table.add_column("class", overflow="fold")
    table.add_column("probability", justify="right")
    table.add_column("next")
    for name, row in zip(predictions.inputs, predictions.probabilities, strict=True):
        first, second = row.argsort()[::-1][:2].tolist()
        runner_up = f"{predictions.classes[second]} ({row[second]:.1%})"
        table.add_row(
            escape(show_bytes(name)), escape(predictions.classes[first]), f"{row[first]:.1%}", escape(runner_up)
        )
    return table


def _encode(predictions: Predictions, suffix: str) -> bytes:
    """Return the records of predictions as the content of a CSV or JSON file."""
    records = [{**record, "input": show_bytes(record["input"])} for record in predictions.records()]
    if suffix == ".json":
        return (json.dumps(records, indent=2, ensure_ascii=False) + "\n").encode()
    text = io.StringIO()
    writer = csv.DictWriter(text, list(records[0]), lineterminator="\n")
    writer.writeheader()
    writer.writerows(records)
    return text.getvalue().encode()


def main() -> None:
    """Run the command line, and end the process with one of the statuses in regexp.errors."""
    with program() as words:
        _predict_words(words)


if __name__ == "__main__":
    main()
