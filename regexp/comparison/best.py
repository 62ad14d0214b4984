"""The best rows and the best run of a comparison, and the rows that cannot be told from the best. Imports no torch."""

import math
from collections.abc import Sequence

from regexp.comparison.rows import Row, pair_by_seed, test_differences
from regexp.config.metric_registry import Metric
from regexp.runs.run_record import RunRecord, find_best_run
from regexp.user_code.targets import PYTHON_PREFIX
from regexp.utils.next_commands import relative_path


def find_best_row(rows: Sequence[Row]) -> Row | None:
    """Return the row with the highest mean validation accuracy; None if no row has one."""
    best_row, best_mean = None, -math.inf
    for row in rows:
        estimate = row.estimate("val_accuracy")
        if estimate is not None and estimate.mean > best_mean:
            best_row, best_mean = row, estimate.mean
    return best_row


def describe_best_run(records: Sequence[RunRecord]) -> tuple[str, str] | None:
    """Return what the best run by validation is, and the line of Python that loads its model; None if there is none.

    Args:
        records: the runs.
    """
    best_run = find_best_run(records)
    if best_run is None:
        return None
    directory = relative_path(best_run.directory)
    figures = [f"validation {100 * best_run.metric_values['val_accuracy']:.2f} %"]
    if (test_accuracy := best_run.metric_values.get("test_accuracy")) is not None:
        figures.append(f"test {100 * test_accuracy:.2f} %")
    target = best_run.config.get("model.target")
    argument = ""
    if target is not None:  # code of the user's own runs only where it is named
        name = str(target).removeprefix(PYTHON_PREFIX).rpartition(":")[2].rpartition(".")[2]
        argument = f"target={name}" if str(target).startswith(PYTHON_PREFIX) else f"target={str(target)!r}"
    return (
        f"{directory} (seed {best_run.seed}, {', '.join(figures)})",
        f"from regexp import load_run; model = load_run({directory!r}).model({argument})",
    )


def mark_best_rows(rows: Sequence[Row], metric: Metric) -> tuple[list[Row], list[Row]]:
    """Return the rows whose mean of a metric is the best, and those that cannot be told from the best.

    Every row is compared with the best by the paired t test, with p-values corrected for all of these comparisons
    (Holm). As the best was chosen by the same figures, a row that is told from it is told with a little optimism.

    Args:
        rows: the rows.
        metric: the metric; one without a better direction has no best.

    Returns:
        The best rows, and the rows that no test tells from them; no such rows where there is no test at all.
    """
    means = [(row, estimate.mean) for row in rows if (estimate := row.estimate(metric.name)) is not None]
    if not means or metric.better == 0:
        return [], []
    best_mean = max((mean for _, mean in means), key=lambda mean: mean * metric.better)
    best_rows = [row for row, mean in means if mean == best_mean]
    others = [row for row, mean in means if mean != best_mean]
    differences = test_differences([pair_by_seed(row, best_rows[0], metric.name) for row in others], None)
    if all(difference.adjusted_p_value is None for difference in differences):
        return best_rows, []
    return best_rows, [row for row, difference in zip(others, differences, strict=True) if not difference.significant]
