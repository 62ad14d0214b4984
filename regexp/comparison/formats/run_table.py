"""The single runs of a comparison as a table. Imports no torch."""

from regexp.comparison.compare import Comparison
from regexp.comparison.formats.tables import format_seconds, name_cells, name_columns
from regexp.comparison.formats.text_table import TextTable
from regexp.comparison.rows import Row
from regexp.comparison.verdicts import format_metric
from regexp.config.metric_registry import RUN_METRICS
from regexp.runs.run_record import RunRecord
from regexp.utils.next_commands import relative_path


def tabulate_runs(comparison: Comparison) -> TextTable:
    """Return a row for each run: the values of the keys that varied, its seed, its figures and its folder.

    Tags have a column where there are any, and commits of the repository where they differ.
    """
    runs = list_runs(comparison)
    metrics = [RUN_METRICS["val_accuracy"], RUN_METRICS["test_accuracy"]]
    if comparison.metric not in metrics and comparison.metric.name not in ("gap", "best_epoch", "epochs"):
        metrics.append(comparison.metric)
    metrics = [metric for metric in metrics if any(metric.name in record.metric_values for _, record in runs)]
    has_statuses = not all(record.finished for _, record in runs)
    has_tags = any(record.tags for _, record in runs)
    has_commits = len({record.commit for _, record in runs}) > 1
    rows = []
    for row, record in runs:
        values = record.metric_values
        cells = [*name_cells(row), str(record.seed), *([record.status] if has_statuses else [])]
        cells += [format_metric(metric, values[metric.name]) if metric.name in values else "-" for metric in metrics]
        cells.append(f"{values['gap']:.3f}" if "gap" in values else "-")
        cells += [f"{values[name]:.0f}" if name in values else "-" for name in ("best_epoch", "epochs")]
        cells.append(format_seconds(values["seconds"]) if "seconds" in values else "-")
        cells += [",".join(record.tags) or "-"] if has_tags else []
        cells += [record.commit or "-"] if has_commits else []
        rows.append([*cells, relative_path(record.directory)])
    titles = [f"{metric.title.removesuffix(' accuracy')}{' %' if metric.percent else ''}" for metric in metrics]
    keys = tuple(runs[0][0].values)
    columns = [*name_columns(keys), "seed", *(["status"] if has_statuses else []), *titles]
    columns += ["gap", "best", "epochs", "s", *(["tags"] if has_tags else []), *(["commit"] if has_commits else [])]
    columns.append("folder")
    return TextTable("Runs", columns, rows, keys=keys, text_columns=max(1, len(keys)))


def list_runs(comparison: Comparison) -> list[tuple[Row, RunRecord]]:
    """Return each run with the row of its configuration, in the order of the table of results, by seed within a row."""
    rows = comparison.cells if comparison.averaged_keys else comparison.rows
    return [(row, record) for row in rows for record in sorted(row.records, key=lambda record: record.seed)]
