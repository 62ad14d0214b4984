"""Runs in HTML, as notebooks show them: one as a card with its curves, several as a table."""

from collections.abc import Mapping, Sequence
from typing import Any

from regexp.config.metric_registry import list_metrics, list_run_metrics
from regexp.errors import RunError
from regexp.runs.identity import short_names
from regexp.runs.listing.records import make_run_records
from regexp.runs.listing.scores import tabulate_scores
from regexp.runs.run import Run
from regexp.utils.html.charts import draw_curves
from regexp.utils.html.elements import escape_text, make_columns, make_details, make_picture, make_table
from regexp.utils.messages import format_value

# The most runs that a table lists.
MAX_ROWS = 60
# The figures of runs that a table has columns for.
_FIGURES = ("val_accuracy", "test_accuracy", "val_loss", "best_epoch", "epochs", "seconds")
_COLORS = {"diverged": "#c0392b", "failed": "#c0392b", "unfinished": "#b8860b"}


def make_run_card(run: Run) -> str:
    """Return a run: its directory and status, its scores, its curves, what was set, and its augmented images."""
    overrides = " ".join(map(str, run.record["overrides"])) or "defaults"
    lines = [
        f"<div><b>{escape_text(str(run.directory))}</b> {_show_status(run.status)}</div>",
        f"<div>{escape_text(overrides)}</div>",
        make_run_results(run),
    ]
    picture = run.directory / "augmentation.png"
    if any(key.startswith("augmentation.") for key in run.config) and picture.exists():
        lines.append(make_details("augmented images", make_picture(picture.read_bytes(), "augmented images")))
    lines.append(make_details("configuration", _tabulate_configuration(run)))
    return f"<div>{''.join(lines)}</div>"


def make_run_results(run: Run) -> str:
    """Return the scores of a run, or why it failed, and the curves of its losses beside them."""
    parts = [_draw_losses(run)]
    if run.summary is not None:
        scores = tabulate_scores(run, run.summary)
        rows = [[name, *values] for name, values in scores.rows.items()]
        columns = [escape_text(column) for column in scores.columns]
        table = make_table(["", *columns], rows, [True, *(False for _ in columns)])
        parts.insert(0, f"<div>{escape_text(scores.title)}</div>{table}")
    elif run.failure:
        parts.insert(0, f"<div>{escape_text(run.failure)}</div>")
    return make_columns(part for part in parts if part)


def make_runs_table(runs: Sequence[Run]) -> str:
    """Return runs as a table: the keys that differ between them, their status and their figures."""
    if not runs:
        return "<div>no runs</div>"
    records = make_run_records(runs)
    figures = [name for name in _FIGURES if any(record.get(name) is not None for record in records)]
    keys = _list_varied_keys(runs, records)
    names = short_names(keys)
    columns = [*(names[key] for key in keys), "status", *(figure.replace("_", " ") for figure in figures), "directory"]
    rows = [
        [
            *(_format_cell(record[key]) for key in keys),
            _show_status(record["status"]),
            *(_format_figure(name, record[name]) for name in figures),
            escape_text(record["directory"]),
        ]
        for record in records[:MAX_ROWS]
    ]
    is_left = [*(not isinstance(records[0][key], int | float) for key in keys), True, *(False for _ in figures), True]
    rest = f"<div>and {len(runs) - MAX_ROWS} more runs</div>" if len(runs) > MAX_ROWS else ""
    return make_table([escape_text(column) for column in columns], rows, is_left) + rest


def _list_varied_keys(runs: Sequence[Run], records: Sequence[Mapping[str, Any]]) -> list[str]:
    """Return the keys that were set for some of the runs and differ between them, in the order typed, the seed last."""
    typed_keys = dict.fromkeys(
        str(override).lstrip("+~").partition("=")[0] for run in runs for override in run.record["overrides"]
    )
    figures = list_run_metrics(list_metrics(runs[0].config))
    columns = [f"config.{key}" if key in figures else key for key in (*typed_keys, "seed")]
    return [
        column
        for column in sorted(dict.fromkeys(columns), key=lambda column: column == "seed")
        if column in records[0] and len({repr(record[column]) for record in records}) > 1
    ]


def _draw_losses(run: Run) -> str:
    """Return the curves of the losses of a run, or what is wrong with their file."""
    try:
        curves = {
            title: [(row["epoch"], row[name]) for row in run.metrics]
            for name, title in (("train_loss", "training"), ("val_loss", "validation"))
        }
    except RunError as error:
        return f"<div>{escape_text(str(error))}</div>"
    except LookupError as error:
        return f"<div>metrics.csv has no column {escape_text(str(error))}</div>"
    return draw_curves(curves, "epoch", "loss")


def _tabulate_configuration(run: Run) -> str:
    rows = [[escape_text(key), escape_text(format_value(value))] for key, value in run.config.items()]
    return make_table(["key", "value"], rows, [True, True])


def _show_status(status: str) -> str:
    color = _COLORS.get(status)
    return f'<span style="color: {color};">{escape_text(status)}</span>' if color else escape_text(status)


def _format_cell(value: Any) -> str:
    return "-" if value is None else escape_text(format_value(value))


def _format_figure(name: str, value: float | None) -> str:
    if value is None:
        return "-"
    if name.endswith("_accuracy"):
        return f"{value:.2%}"
    return f"{value:.4f}" if name.endswith("loss") else f"{value:.1f}" if name == "seconds" else str(value)
