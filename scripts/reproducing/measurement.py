"""What the runs of an experiment measured: figures, intervals and verdicts, as they are stored beside the report."""

import json
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any

from regexp import Runs
from regexp.comparison.explaining.training_time import measure_wall_time
from regexp.comparison.loading import collect
from reproducing.cocktails import make_cocktail_tables
from reproducing.experiment import Experiment
from reproducing.machine import describe_machine
from reproducing.selection import Selection
from reproducing.tables import Row, Table, make_table, split_runs

# Of how many significant digits a stored figure has: rounding errors must not change the file.
_DIGITS = 8


@dataclass(frozen=True)
class Measurement:
    """What the runs of an experiment measured, and where and when.

    Attributes:
        commands: the commands, without the place of the data.
        machine: the machine; see `describe_machine`.
        dates: the days on which the first run started and the last one ended.
        commits: the commits of the repository at which runs were trained, with + for uncommitted changes.
        run_count: the number of runs.
        training_seconds: the sum of the runs' shares of their cohorts' time, in seconds.
        wall_seconds: the time in which at least one run was training, in seconds; None where no run tells.
        tables: the comparisons.
    """

    commands: list[str]
    machine: str
    dates: tuple[str, str]
    commits: list[str]
    run_count: int
    training_seconds: float
    wall_seconds: float | None
    tables: list[Table]

    def write(self, path: Path) -> None:
        """Write the measurement to a JSON file."""
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_text(json.dumps(_round(asdict(self)), indent=1, ensure_ascii=False) + "\n", encoding="utf-8")


def read_measurement(path: Path) -> Measurement:
    """Return the measurement of a file that `Measurement.write` wrote."""
    content = json.loads(path.read_text(encoding="utf-8"))
    tables = [Table(table["value"], [Row(**row) for row in table["rows"]]) for table in content.pop("tables")]
    return Measurement(**{**content, "dates": tuple(content["dates"])}, tables=tables)


def measure(experiment: Experiment, selection: Selection, small: bool = False) -> Measurement:
    """Return what the runs of an experiment measured.

    Args:
        experiment: the experiment.
        selection: its runs.
        small: whether they were trained at the scale of seconds.
    """
    records = selection.runs.records()
    collection = collect([run.directory for run in selection.runs])
    return Measurement(
        commands=[" ".join(["regexp", *words]) for words in experiment.list_commands(small)],
        machine=describe_machine(),
        dates=(_list_days(selection.runs, "started")[0], _list_days(selection.runs, "finished")[-1]),
        commits=sorted({record["commit"] for record in records if record["commit"]}),
        run_count=len(records),
        training_seconds=sum(record["seconds"] or 0.0 for record in records),
        wall_seconds=measure_wall_time(collection.records, collection.sweep_starts),
        tables=_make_tables(experiment, selection),
    )


def _make_tables(experiment: Experiment, selection: Selection) -> list[Table]:
    """Return the comparisons of an experiment."""
    if experiment.is_cocktail:
        return make_cocktail_tables(experiment, selection)
    return [make_table(experiment, value, *members) for value, members in split_runs(experiment, selection)]


def _list_days(runs: Runs, event: str) -> list[str]:
    """Return the days on which runs started or finished, earliest first."""
    return sorted(str((run.record if event == "started" else run.summary or {})[event])[:10] for run in runs)


def _round(content: Any) -> Any:
    """Return a tree of plain values with its fractions rounded."""
    if isinstance(content, dict):
        return {key: _round(value) for key, value in content.items()}
    if isinstance(content, list | tuple):
        return [_round(value) for value in content]
    return float(f"{content:.{_DIGITS}g}") if isinstance(content, float) else content
