"""Comparing from Python."""

from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

from regexp.comparison.compare import compare_collection
from regexp.comparison.formats.records import RowRecords, make_row_records
from regexp.comparison.loading import collect
from regexp.config.words.python_values import write_conditions
from regexp.errors import ConfigError
from regexp.runs.run import Run
from regexp.utils.messages import speak_python


def compare(
    paths: Sequence[Path | str | Run] | Path | str | Run | None = None,
    by: Sequence[str] | str = (),
    baseline: Sequence[str] | str | Mapping[str, Any] = (),
    metric: str | None = None,
    where: Sequence[str] | str | Mapping[str, Any] = (),
    sort: str | None = None,
    ensemble: bool = False,
    margin: float | None = None,
) -> RowRecords:
    """Compare configurations over their seeds, as the command regexp-compare does.

    Args:
        paths: the runs, or directories of runs such as "outputs/default"; None: the last sweep below outputs/.
        by: the keys whose values are compared, averaged over all other keys; by default, all keys that varied.
        baseline: the configuration that the others are compared with, {"normalization": "none"}, or a list of
            conditions "key=value"; a key without a value here has its first one.
        metric: the metric of the differences, one of regexp.config.metric_registry.RUN_METRICS; None: test accuracy, or
            validation accuracy where no run has a test accuracy.
        where: the values that a run has to have to be compared, {"data": "mnist", "seed": [0, 1]}, or a list of
            conditions "key=value" or "key=value,value".
        sort: the metric or key by which the rows are sorted; None: validation accuracy.
        ensemble: whether to say what the seeds of each configuration reach together, by the predictions of its runs.
        margin: the difference that does not matter, in percentage points (or in the metric's unit, where that is no
            accuracy): verdicts are then better, worse, equivalent or undecided. None: that of a sweep with
            until="decided", if there is one.

    Returns:
        A dictionary for each configuration: the values of the keys that varied; the mean of every metric over seeds
        with its standard deviation (_sd) and 95 % interval (_low, _high); the difference to the baseline with its
        p-values and its verdict; where runs have kept predictions, the parts of its uncertainty over seeds, over images
        and over both, and the ensemble if asked for; the directories of its runs. Accuracies are fractions, losses are
        in nats. The list makes a table with pandas.DataFrame(rows), and a notebook shows it as one. Its attribute
        `notes` says what the figures rest on, and which runs they leave out.

    Raises:
        ConfigError: there is nothing to compare, as for an empty list, or an argument does not fit the runs.
        RunError: the record of the last sweep is broken.

    Example:
        >>> from regexp import compare, sweep
        >>> for row in compare(sweep({"normalization": ["none", "batch"], "seed": range(5)}, quiet=True)):
        ...     print(row["normalization"], round(row["test_accuracy"], 3), row["verdict"])
        batch 0.982 better
        none 0.976 baseline
    """
    with speak_python():
        if isinstance(paths, str | Path | Run):
            paths = [paths]
        if paths is not None and len(paths) == 0:
            raise ConfigError(f"{paths!r}: there are no runs to compare; leave it out to compare the last sweep")
        directories = [path.directory if isinstance(path, Run) else Path(path) for path in paths or ()]
        by = [by] if isinstance(by, str) else by
        conditions = write_conditions(baseline), write_conditions(where)
        return make_row_records(
            compare_collection(collect(directories), by, conditions[0], metric, conditions[1], sort, ensemble, margin)
        )
