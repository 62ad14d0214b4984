"""Which runs predict together: the seeds of one configuration, or the best run."""

import os
from collections.abc import Sequence
from pathlib import Path

from regexp.config.words.homes import expand_home
from regexp.errors import ConfigError, RunError
from regexp.runs.listing.finding import find_run_directories, is_set_aside
from regexp.runs.run import Run
from regexp.runs.run_record import READ_ERRORS, RunRecord, find_best_run, read_run_record
from regexp.utils.messages import join_words

# How many runs and keys a message lists.
_MAX_RUNS, _MAX_KEYS = 3, 4


def holds_runs(path: Path, is_deep: bool) -> bool:
    """Return whether a path is the directory of a run, or of runs, with `is_deep` at any depth."""
    if is_deep:
        return next(find_run_directories(path), None) is not None
    # os.path says no of what may not be read, where pathlib raises.
    return os.path.isfile(path / "run.json") or next(path.glob("*/run.json"), None) is not None


def choose_runs(paths: Sequence[Path | str], best: bool = False) -> list[Run]:
    """Return the runs that predict together, by their seeds: those that are named, and the finished ones below folders.

    Args:
        paths: directories of runs, or folders that hold such directories at any depth.
        best: whether to return the one with the best validation accuracy alone.

    Raises:
        ConfigError: there are no paths, or one holds no runs, or the runs differ in more than their seed.
        RunError: none has finished.
    """
    if not paths:
        raise ConfigError("there are no runs to predict with: name one or more runs, such as outputs/default/seed=1")
    runs: dict[Path, Run] = {}
    for path in map(expand_home, paths):
        directories = [path] if os.path.isfile(path / "run.json") else list(find_run_directories(path))
        if not directories:
            problem = "holds no runs" if path.is_dir() else "there is no such directory of a run"
            raise ConfigError(f"{path}: {problem}")
        for directory in directories:
            if directory == path or not is_set_aside(directory):
                runs.setdefault(directory.resolve(), Run(directory))
    if len(runs) == 1:
        return list(runs.values())  # it need not have finished
    records = [record for run in runs.values() if (record := _read_finished(run)) is not None]
    names = join_words([str(path) for path in paths])
    if not records:
        raise RunError(f"{names}: no run there has finished")
    if best:
        return [Run(_find_best(names, records).directory)]
    if len(configurations := {record.configuration_key for record in records}) > 1:
        raise ConfigError(_describe_mixture(names, records, len(configurations)))
    return [Run(record.directory) for record in sorted(records, key=lambda record: record.seed)]


def _read_finished(run: Run) -> RunRecord | None:
    try:
        record = read_run_record(run)
    except READ_ERRORS:
        return None
    return record if record.finished else None


def _find_best(names: str, records: Sequence[RunRecord]) -> RunRecord:
    """Return the run with the best validation accuracy, or of those with the same the lowest validation loss."""
    if len({(record.config["data"], record.config["data.fingerprint"]) for record in records}) > 1:
        datasets = ", ".join(sorted({f"data={record.config['data']}" for record in records}))
        raise ConfigError(f"{names}: the runs there are of different data ({datasets}); name those of one data set")
    best_run = find_best_run(records)
    if best_run is None:
        raise RunError(f"{names}: no run there has a validation accuracy")
    return best_run


def _describe_mixture(names: str, records: Sequence[RunRecord], num_configurations: int) -> str:
    """Return the message about runs that differ in more than their seed, with those of the best one as an example."""
    keys = dict.fromkeys(key for record in records for key in record.config)
    varied = [key for key in keys if len({repr(record.config.get(key)) for record in records}) > 1]
    listed = ", ".join(varied[:_MAX_KEYS]) + (", ..." if len(varied) > _MAX_KEYS else "")
    best_key = (find_best_run(records) or records[0]).configuration_key
    example = [str(record.directory) for record in records if record.configuration_key == best_key]
    words = join_words(example[:_MAX_RUNS]) + (" ..." if len(example) > _MAX_RUNS else "")
    return (
        f"{names}: the {len(records)} finished runs there are of {num_configurations} configurations, which differ in "
        f"{listed}; name those of one, which differ in their seed only, such as {words}, or take the run with the best "
        "validation accuracy: --best (in Python best=True)"
    )
