"""Records of runs and of their epochs: dictionaries of plain values, which pandas.DataFrame takes as they are.

A value is None, a number, a boolean or a text. Lists are texts as the command line takes them ("[256,128]"), so that a
table can be grouped by them.
"""

from collections.abc import Mapping, Sequence
from typing import Any

from regexp.config.metric_registry import list_metrics, list_run_metrics
from regexp.runs.provenance.commit import format_commit
from regexp.runs.run import Run
from regexp.runs.run_record import read_run_record
from regexp.utils.messages import format_value

# The figures that are counts.
_COUNTS = ("epochs", "best_epoch")


def make_run_records(runs: Sequence[Run]) -> list[dict[str, Any]]:
    """Return a record for each run, all with the same columns: see `Runs.records`."""
    figures = [_read_figures(run) for run in runs]
    names = dict.fromkeys(name for run in runs for name in list_run_metrics(list_metrics(run.config)))
    records = [
        {**_describe_run(run, names), **{name: run_figures.get(name) for name in names}}
        for run, run_figures in zip(runs, figures, strict=True)
    ]
    return _fill_columns(records, list(names))


def make_epoch_records(runs: Sequence[Run]) -> list[dict[str, Any]]:
    """Return a record for each epoch of each run, all with the same columns: see `Runs.epochs`."""
    metrics_of_runs = [run.metrics for run in runs]
    names = dict.fromkeys(name for metrics in metrics_of_runs for row in metrics[:1] for name in row)
    records = [
        {**run_columns, **row}
        for run, metrics in zip(runs, metrics_of_runs, strict=True)
        for run_columns in [_describe_run(run, names)]
        for row in metrics
    ]
    return _fill_columns(records, list(names))


def make_plain(value: Any) -> Any:
    """Return a value of a configuration as a record holds it: lists and mappings as text, all else as it is."""
    return value if value is None or isinstance(value, bool | int | float | str) else format_value(value, True)


def _describe_run(run: Run, figures: Mapping[str, Any]) -> dict[str, Any]:
    """Return the columns that tell a run from others: its directory, status, seed and configuration.

    Args:
        run: the run.
        figures: the names of the figures that follow; a key with the name of one is called "config.NAME".
    """
    config = dict(run.config)
    steps = dict.fromkeys(key.split(".")[1] for key in config if key.startswith("augmentation."))
    config["augmentation"] = "+".join(steps) or "none"
    columns: dict[str, Any] = {"directory": str(run.directory), "status": run.status, "seed": config.pop("seed")}
    config["tags"] = run.tags  # later commands may have added some
    columns["commit"] = format_commit(run.record.get("git")) or None
    for key, value in config.items():
        columns[f"config.{key}" if key in figures else key] = make_plain(value)
    return columns


def _read_figures(run: Run) -> dict[str, float]:
    """Return the figures of a run by name; the counts among them are whole numbers."""
    values = read_run_record(run).metric_values
    return {name: int(value) if name in _COUNTS else value for name, value in values.items()}


def _fill_columns(records: Sequence[Mapping[str, Any]], last_columns: Sequence[str]) -> list[dict[str, Any]]:
    """Return records that all have the columns of all, with None for what a record lacks."""
    columns = dict.fromkeys(name for record in records for name in record if name not in last_columns)
    return [{name: record.get(name) for name in (*columns, *last_columns)} for record in records]
