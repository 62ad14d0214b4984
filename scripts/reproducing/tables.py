"""Comparisons of the runs of an experiment, as tables of test errors."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from regexp import Run, compare
from reproducing.experiment import Configuration, Experiment, Values
from reproducing.selection import Selection

MEAN = "mean over all"  # the value of a table of means over the others


@dataclass(frozen=True)
class Row:
    """The figures of a configuration over its seeds. Test errors and differences are in percent.

    Attributes:
        values: the values of the swept keys.
        label: its name.
        seeds: the number of seeds that ended with a test error.
        runs: the number of its runs, with those that diverged.
        error: the mean test error; None where no run has one.
        half_width: half the width of its 95 % interval; None where there is none.
        published: the test error of the original; None where it reports none.
        target: the test error to reach; None for none.
        difference: the test error minus that of the baseline, paired by seed; None for the baseline.
        difference_half_width: half the width of its 95 % interval.
        p_value: its p-value after Holm's correction.
        verdict: what the comparison says of it.
    """

    values: Values
    label: str
    seeds: int
    runs: int
    error: float | None
    half_width: float | None
    published: float | None
    target: float | None
    difference: float | None
    difference_half_width: float | None
    p_value: float | None
    verdict: str


@dataclass(frozen=True)
class Table:
    """The rows of a comparison.

    Attributes:
        value: the value of the key that splits the experiment into tables; None where there is one table; MEAN for the
            means over all others.
        rows: the rows, in the order of the commands.
    """

    value: str | None
    rows: list[Row]


def name_table(experiment: Experiment, table: Table) -> str:
    """Return the name of a table: the value that it is of, or "" where there is one table."""
    if table.value is None:
        return ""
    return table.value if table.value == MEAN else f"{experiment.split}={table.value}"


def split_runs(experiment: Experiment, selection: Selection) -> list[tuple[str | None, tuple[list[Run], list[Values]]]]:
    """Return the runs of each table with the values of their keys, by the value of the key that splits them."""
    tables: dict[str | None, tuple[list[Run], list[Values]]] = {}
    for run, values in zip(selection.runs, selection.values, strict=True):
        runs, table_values = tables.setdefault(values.get(experiment.split or ""), ([], []))
        runs.append(run)
        table_values.append(values)
    return list(tables.items())


def make_table(experiment: Experiment, value: str | None, runs: Sequence[Run], values: Sequence[Values]) -> Table:
    """Return the comparison of runs.

    Args:
        experiment: the experiment.
        value: the value of the key that splits the experiment.
        runs: the runs of the table.
        values: the values of the swept keys of each run.
    """
    values_by_directory = {str(run.directory): run_values for run, run_values in zip(runs, values, strict=True)}
    varied_keys = {key for run_values in values for key in run_values if run_values[key] != values[0].get(key)}
    baseline = [f"{key}={level}" for key, level in experiment.baseline.items() if key in varied_keys]
    rows = {}
    for record in compare(list(runs), baseline=baseline, metric="test_accuracy"):
        row_values = values_by_directory[record["directories"][0]]
        rows[str(row_values)] = _make_row(experiment, row_values, record)
    return Table(value, [rows[text] for text in dict.fromkeys(map(str, values))])


def _make_row(experiment: Experiment, values: Values, record: Mapping[str, Any]) -> Row:
    """Return a row from the values of its swept keys and a row of `compare`."""
    configuration = find_configuration(experiment, values)
    error, half_width = _to_percent(record, "test_accuracy")
    difference, difference_half_width = _to_percent(record, "difference")
    return Row(
        values=values,
        label=label_values(experiment, values),
        seeds=record["seeds"],
        runs=record["runs"],
        error=None if error is None else 100 - error,
        half_width=half_width,
        published=None if configuration is None else configuration.published,
        target=None if configuration is None else configuration.target,
        difference=None if difference is None else -difference,
        difference_half_width=difference_half_width,
        p_value=record["p_holm"],
        verdict=record["verdict"].partition(" (")[0],  # without the number of seeds that would be needed
    )


def label_values(experiment: Experiment, values: Values) -> str:
    """Return the name of the configuration that has these values of the swept keys."""
    if (configuration := find_configuration(experiment, values)) is not None:
        return configuration.label
    return ", ".join(f"{key}={value}" for key, value in values.items() if key != experiment.split)


def find_configuration(experiment: Experiment, values: Values) -> Configuration | None:
    """Return the configuration of an experiment that has these values of the swept keys; None where it names none."""
    return next((item for item in experiment.configurations if item.values.items() <= values.items()), None)


def _to_percent(record: Mapping[str, Any], name: str) -> tuple[float | None, float | None]:
    """Return a mean in a row of `compare` and half the width of its interval, both in percent."""
    mean, low, high = record[name], record[f"{name}_low"], record[f"{name}_high"]
    return None if mean is None else 100 * mean, None if low is None else 50 * (high - low)
