"""The table at the end of a sweep: a row a configuration, its seeds folded into mean and spread. Imports no torch."""

import json
import statistics
from collections import Counter
from collections.abc import Sequence
from dataclasses import dataclass, field
from typing import Any

from rich.markup import escape
from rich.table import Table

from regexp.checking import show
from regexp.identity import UNNAMED, short_names
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
    settings: dict[str, list[Run]] = {}
    for run in {run.directory: run for run in runs}.values():
        settings.setdefault(_setting(run), []).append(run)
    typed = {setting: _typed(alike) for setting, alike in settings.items()}
    keys = dict.fromkeys(key for own in typed.values() for key in own)
    values = {
        setting: {key: typed[setting].get(key) or _default(alike[0], key) for key in keys}
        for setting, alike in settings.items()
    }
    varying = [key for key in keys if len({own[key] for own in values.values()}) > 1]
    rows = [Row({key: values[setting][key] for key in varying}, alike) for setting, alike in settings.items()]

    def order(row: Row) -> tuple[bool, float]:
        scores = row.figures("shown", "val_accuracy")
        # What all seeds failed at comes last, even where one diverged after a good start.
        lost = not scores or all(run.status in ("diverged", "failed", "unfinished") for run in row.runs)
        return (lost, -statistics.mean(scores) if scores else 0.0)

    return sorted(rows, key=order)


def remarks(runs: Sequence[Run]) -> list[str]:
    """What the table leaves out: rows beyond its end, and where failures are told."""
    rows, said = rows_of(runs), []
    if len(rows) > MOST_ROWS:
        said.append(f"and {len(rows) - MOST_ROWS} more configurations, with lower validation accuracy")
    failed = [run for run in {run.directory: run for run in runs}.values() if run.status == "failed"]
    for run in failed[:MOST_FAILURES]:
        why, where = run.failure or "", str(run.directory)
        said.append(f"failed: {why if where in why else f'{where} ({why})'}")
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


def _setting(run: Run) -> str:
    """Equal for runs whose results differ by their seed only."""
    config = run.record.get("config", {}).items()
    return json.dumps([item for item in config if item[0] != "seed" and item[0] not in UNNAMED])


def _typed(runs: Sequence[Run]) -> dict[str, str]:
    """What the overrides of runs of one setting set, by key; the first to set a key says how it is written."""
    typed: dict[str, str] = {}
    for run in runs:
        for override in run.record["overrides"]:
            key, _, value = override.lstrip("+").partition("=")
            if key != "seed" and key not in UNNAMED:
                typed.setdefault(key, value)
    return typed


def _default(run: Run, key: str) -> str:
    """What a run has of a key that it was not given."""
    config = run.record.get("config", {})
    if key == "augmentation":
        return (
            "+".join(dict.fromkeys(name.split(".")[1] for name in config if name.startswith("augmentation."))) or "none"
        )
    return show(config[key]) if key in config else ""
