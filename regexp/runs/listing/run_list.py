"""A list of runs, as a sweep returns it or a directory holds it. Imports no torch."""

from pathlib import Path
from typing import Any, SupportsIndex, overload

from regexp.config.words.homes import expand_home
from regexp.errors import RunError
from regexp.runs.listing.cards import make_runs_table
from regexp.runs.listing.finding import find_run_directories, is_set_aside, read_sweep_members
from regexp.runs.listing.records import make_epoch_records, make_run_records
from regexp.runs.run import Run
from regexp.runs.run_record import READ_ERRORS, describe_error, read_run_record
from regexp.utils.console import warn_caller


class Runs(list[Run]):
    """A list of runs that can be made into tables.

    Example:
        >>> from regexp import Runs, load_runs
        >>> runs = load_runs("outputs/default")
        >>> len(runs.records()) == len(runs)
        True
        >>> good_runs = Runs(run for run in runs if run.status == "completed")
    """

    def records(self) -> list[dict[str, Any]]:
        """Return a record for each run: pandas.DataFrame(runs.records()) is a table with a row for each.

        The columns are `directory`, `status`, `seed`, the configuration by dotted key, and the figures of the weights
        that the run keeps: `test_accuracy`, `val_accuracy`, `train_accuracy`, the same for `loss` and for metrics of
        your own, `gap`, `best_epoch`, `epochs` and `seconds`. The key `epochs`, the most epochs that a run may train,
        is `config.epochs`. Accuracies are fractions, losses are in nats. What a run does not have is None: the figures
        of a run that has not ended, or the keys of an optimizer that another run uses. Lists are texts, such as
        "[256,128]".
        """
        return make_run_records(self)

    def epochs(self) -> list[dict[str, Any]]:
        """Return a record for each epoch of each run, with the columns of metrics.csv.

        Each also has the `directory`, `status`, `seed` and configuration of its run, so that the table is tidy:
        seaborn.lineplot(pandas.DataFrame(runs.epochs()), x="epoch", y="val_loss", hue="normalization").

        Raises:
            RunError: the metrics.csv of a run is broken.
        """
        return make_epoch_records(self)

    def _repr_html_(self) -> str:
        """Return the runs as a table, which notebooks show."""
        return make_runs_table(self)

    @overload
    def __getitem__(self, index: SupportsIndex) -> Run: ...

    @overload
    def __getitem__(self, index: slice) -> "Runs": ...

    def __getitem__(self, index: SupportsIndex | slice) -> "Run | Runs":
        """Return a run, or a list of the runs of a slice."""
        return Runs(super().__getitem__(index)) if isinstance(index, slice) else super().__getitem__(index)


def load_runs(folder: Path | str = "outputs") -> Runs:
    """Return all runs below a directory, at any depth.

    Unfinished, failed and diverged runs are among them: `status` tells. Runs that were set aside because they were
    trained again (*.old-*) are left out. So are runs with a broken run.json or summary.json, each with a warning that
    names it.

    Args:
        folder: the directory, such as "outputs/default", or of one run.

    Returns:
        The runs, in the order in which sweeps planned them, then the others in the order in which they were started.

    Raises:
        RunError: there is no such directory, or it holds no runs.

    Example:
        >>> from regexp import load_runs
        >>> import pandas
        >>> pandas.DataFrame(load_runs("outputs/default").records()).groupby("normalization")["test_accuracy"].mean()
    """
    path = expand_home(folder)
    directories = [directory for directory in find_run_directories(path) if _is_listed(directory, path)]
    if not directories:
        raise RunError(f"{path}: {'holds no runs' if path.is_dir() else 'there is no such directory'}")
    members, _ = read_sweep_members(directories)
    places = {member.directory: place for place, member in enumerate(members)}
    runs = [run for directory in directories if (run := _read_run(directory)) is not None]
    runs.sort(key=lambda run: (places.get(run.directory, len(places)), str(run.record.get("started", ""))))
    return Runs(runs)


def _is_listed(directory: Path, top: Path) -> bool:
    """Return whether a run below a directory is listed: a run that was set aside is, where it was named itself."""
    return directory == top or not is_set_aside(directory)


def _read_run(directory: Path) -> Run | None:
    """Return the run of a directory; None, with a warning, if its files are broken."""
    try:
        run = Run(directory)
        record = read_run_record(run)
    except READ_ERRORS as error:
        warn_caller(f"left out: {describe_error(error, directory / 'run.json')}")
        return None
    if record.status == "broken":
        warn_caller(f"left out: {record.problem}")
        return None
    return run
