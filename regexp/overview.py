"""The table at the end of a sweep: a row a configuration, its seeds folded into mean and spread. Imports no torch."""

import statistics
from collections import Counter
from collections.abc import Sequence
from dataclasses import dataclass, field
from typing import Any

from rich.markup import escape
from rich.table import Table

from regexp.identity import short_names
from regexp.runs import Run

MOST_ROWS, MOST_FAILURES = 30, 5


@dataclass
class Row:
    """One configuration: what it changed, by column, and the summaries of its runs (None of one that failed)."""

    changes: dict[str, str]
    runs: list[Run] = field(default_factory=list)

    def figures(self, *path: str) -> list[float]:
        """A figure of each run's summary that has it."""
        found = []
        for run in self.runs:
            entry: Any = kept(run)
            for name in path:
                entry = None if entry is None else entry.get(name)
            if entry is not None:
                found.append(entry)
        return found

    def marks(self) -> str:
        """How many diverged, failed or have not ended."""
        counts = Counter(run.status for run in self.runs)
        said = [f"{counts[status]} {status}" for status in ("diverged", "failed", "unfinished") if counts[status]]
        return f" ({', '.join(said)})" if said else ""


def kept(run: Run) -> dict[str, Any] | None:
    """A run's summary, with `shown`: the figures of the weights that it keeps; None where it has not ended."""
    summary = run.summary
    if summary is None:
        return None
    return {**summary, "shown": summary["best"] if run.keeps_best else summary["last"]}


def rows_of(runs: Sequence[Run]) -> list[Row]:
    """The runs by configuration, best mean validation accuracy first, those without any last."""
    changed = [_changes(run) for run in runs]
    varying = [
        key
        for key in dict.fromkeys(key for changes in changed for key in changes)
        if len({changes.get(key) for changes in changed}) > 1 and key != "seed"
    ]
    rows: dict[tuple[str, ...], Row] = {}
    for run, changes in zip(runs, changed, strict=True):
        values = tuple(changes.get(key, "") for key in varying)
        row = rows.setdefault(values, Row(dict(zip(varying, values, strict=True))))
        if run.directory not in [other.directory for other in row.runs]:
            row.runs.append(run)

    def order(row: Row) -> tuple[bool, float]:
        scores = row.figures("shown", "val_accuracy")
        # What all seeds failed at comes last, even where one diverged after a good start.
        lost = not scores or all(run.status in ("diverged", "failed", "unfinished") for run in row.runs)
        return (lost, -statistics.mean(scores) if scores else 0.0)

    return sorted(rows.values(), key=order)


def remarks(runs: Sequence[Run]) -> list[str]:
    """What the table leaves out: rows beyond its end, and where failures are told."""
    rows, said = rows_of(runs), []
    if len(rows) > MOST_ROWS:
        said.append(f"and {len(rows) - MOST_ROWS} more configurations, with lower validation accuracy")
    failed = [run for run in dict.fromkeys(runs) if run.status == "failed"]
    said += [f"failed: {run.directory} ({run.failure})" for run in failed[:MOST_FAILURES]]
    if len(failed) > MOST_FAILURES:
        said.append(f"and {len(failed) - MOST_FAILURES} more; their folders hold failure.json")
    return said


def overview(runs: Sequence[Run]) -> Table:
    """The table: what varied, how many seeds, epochs, validation and test accuracy as mean and standard deviation."""
    rows = rows_of(runs)
    names = short_names(list(rows[0].changes))
    table = Table(box=None, pad_edge=False)
    for key in rows[0].changes:
        table.add_column(escape(names[key]), overflow="fold")
    seeds = any(len(row.runs) > 1 for row in rows)
    for name in (*(["seeds"] if seeds else []), "epochs", "validation %", "test %"):
        table.add_column(name, justify="right")
    for row in rows[:MOST_ROWS]:
        epochs = row.figures("epochs")
        cells = [escape(value) for value in row.changes.values()]
        cells += [str(len(row.runs))] if seeds else []
        cells += [f"{statistics.mean(epochs):.0f}" if epochs else "-", _spread(row.figures("shown", "val_accuracy"))]
        table.add_row(*cells, _spread(row.figures("test", "accuracy")) + row.marks())
    return table


def _spread(values: Sequence[float]) -> str:
    """Percent: the mean, and of several the standard deviation."""
    if not values:
        return "-"
    mean = f"{100 * statistics.mean(values):.2f}"
    return f"{mean} ± {100 * statistics.stdev(values):.2f}" if len(values) > 1 else mean


def _changes(run: Run) -> dict[str, str]:
    """What its overrides set, by key."""
    pairs = (override.lstrip("+").partition("=") for override in run.record["overrides"])
    return {key: value for key, _, value in pairs}
