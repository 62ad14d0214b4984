"""The comparison of configurations: which is better, by how much, and is the difference real? Imports no torch."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field, replace
from functools import cached_property

from regexp.comparison.by_image.advice import advise_on_predictions
from regexp.comparison.by_image.ensembles import EnsembleComparison, compare_ensembles
from regexp.comparison.by_image.pairing import ImagePairing, name_image_metric, pair_rows
from regexp.comparison.conditions import resolve_key, resolve_values, resolve_varied_key
from regexp.comparison.deciding.margins import resolve_margin
from regexp.comparison.effects import Effect, estimate_effects
from regexp.comparison.grouping import ABSENT, drop_repeated_seeds, filter_records, group_by_configuration
from regexp.comparison.loading import Collection
from regexp.comparison.rows import Row, average_rows, make_row, pair_by_seed, test_differences
from regexp.config.keys import closest_match
from regexp.config.metric_registry import Metric, list_metrics, list_run_metrics, resolve_metric_name
from regexp.errors import ConfigError
from regexp.runs.run_record import RunRecord
from regexp.utils.messages import did_you_mean, say, show_option


@dataclass
class Comparison:
    """Rows with their differences to one of them, the baseline.

    Attributes:
        collection: the runs that are compared.
        metric: the metric of the differences.
        keys: the keys that varied between the rows: all, or those that `by` chose.
        averaged_keys: the keys that each row is averaged over.
        rows: the rows, in the order asked for.
        baseline: the row that the others are compared with.
        levels: the values of every key that varied, in order of appearance.
        cells: a row for each configuration.
        main_effects: the effect of each value of a key; empty if combinations of values are missing.
        interactions: the interaction of each pair of values of two keys; empty likewise.
        remarks: remarks on what was left out, and why.
        has_ensembles: whether to say what the seeds of each row reach together.
        margin: the difference that does not matter, in the metric's unit; None: there is none.
    """

    collection: Collection
    metric: Metric
    keys: list[str]
    averaged_keys: list[str]
    rows: list[Row]
    baseline: Row
    levels: dict[str, list[str]]
    cells: list[Row]
    main_effects: list[Effect] = field(default_factory=list)
    interactions: list[Effect] = field(default_factory=list)
    remarks: list[str] = field(default_factory=list)
    has_ensembles: bool = False
    margin: float | None = None

    @property
    def records(self) -> list[RunRecord]:
        """All runs that are compared, also those that have not finished."""
        return [record for cell in self.cells for record in cell.records]

    @cached_property
    def metrics(self) -> dict[str, Metric]:
        """The metrics that are measured on images, of any of the runs, by name."""
        return _collect_metrics(self.cells)

    @cached_property
    def run_metrics(self) -> dict[str, Metric]:
        """The metrics of finished runs by name, in the order of comparisons."""
        return list_run_metrics(self.metrics)

    @cached_property
    def image_pairing(self) -> ImagePairing:
        """The differences paired by image, of the rows whose runs have kept their predictions. Reads their files."""
        return pair_rows(self.rows, self.baseline, self.metric)

    @cached_property
    def ensembles(self) -> EnsembleComparison | None:
        """The ensembles of the rows, where they were asked for. Reads the predictions of all runs."""
        if not self.has_ensembles:
            return None
        name = name_image_metric(self.metric, self.records)
        return compare_ensembles(self.rows, self.baseline, [name] if name != "accuracy" else [])


def compare_collection(
    collection: Collection,
    by: Sequence[str] = (),
    baseline: Sequence[str] = (),
    metric: str | None = None,
    where: Sequence[str] = (),
    sort: str | None = None,
    ensemble: bool = False,
    margin: float | str | None = None,
) -> Comparison:
    """Compare the runs of a collection.

    Args:
        collection: the runs.
        by: the keys whose values are compared, averaged over the other keys; none: all keys that varied.
        baseline: conditions "key=value" on the row that the others are compared with; keys without a condition keep
            their first value.
        metric: the metric of the differences, one of those of the runs; None: test accuracy, or validation accuracy
            where no run has a test accuracy.
        where: conditions that runs must meet.
        sort: a metric, best first, or a key, in the order of its values; None: validation accuracy.
        ensemble: whether to say what the seeds of each configuration reach together.
        margin: the difference that does not matter, in the unit of the tables (accuracies in percentage points); None:
            that of the sweep that added seeds until its verdicts were decided, if it had one.

    Raises:
        ConfigError: there is nothing to compare, or an argument does not fit the runs.
    """
    records = filter_records(collection.records, where)
    configurations, dropped = drop_repeated_seeds(group_by_configuration(records))
    if not configurations:
        if where:
            reason = "no run meets the conditions"
        else:
            planned = f"{len(collection.missing_runs)} runs were planned, and none of them exists"
            reason = "; ".join(collection.remarks[:3] or [planned])
        raise ConfigError(f"{collection.title}: there is nothing to compare: {reason}")
    if where:
        collection = replace(collection, title=f"{collection.title}, where {' and '.join(where)}", missing_runs=[])
    cells = [make_row(configuration, collection.seed_plans) for configuration in configurations]
    levels = {key: list(dict.fromkeys(cell.values[key] for cell in cells)) for key in cells[0].values}
    chosen_metric, metrics = _resolve_metric(metric, cells), _collect_metrics(cells)
    keys = [resolve_varied_key(key, list(levels), "--by") for key in by] or list(levels)
    averaged_keys = [key for key in levels if key not in keys]
    if ensemble and averaged_keys:
        raise ConfigError(
            f"{say('--ensemble', 'ensemble=True')}: an ensemble is of one configuration, so the keys "
            f"{', '.join(averaged_keys)} cannot be averaged over; leave out {show_option('--by', ' '.join(by))}"
        )
    rows, left_out = average_rows(cells, keys) if averaged_keys else (cells, [])
    if not rows:
        raise ConfigError(
            f"{show_option('--by', ' '.join(by))}: no combination of {', '.join(averaged_keys)} occurs with all "
            f"values of {', '.join(keys)}, so there is nothing to average over"
        )
    remarks = []
    if dropped:
        remarks.append(f"where a seed of a configuration was trained twice, the newest run counts ({dropped} left out)")
    if left_out:
        remarks.append(f"{', '.join(averaged_keys)}: not averaged over {'; '.join(left_out)}, which not all rows have")
    baseline_row = _find_baseline(rows, baseline)
    # The margin of a sweep is one of the metric that its verdicts were about, not of another one.
    is_default_metric = chosen_metric == _resolve_metric(None, cells)
    plans = {plan for cell in cells for plan in cell.plans} if is_default_metric else set()
    chosen_margin = resolve_margin(margin, chosen_metric, plans)
    _add_differences(rows, baseline_row, chosen_metric.name, chosen_margin)
    # Effects are differences to the values of the baseline, so these come first.
    baseline_first = {
        key: sorted(values, key=lambda value: value != baseline_row.values.get(key)) for key, values in levels.items()
    }
    main_effects, interactions = estimate_effects(cells, baseline_first, chosen_metric.name, chosen_margin)
    comparison = Comparison(
        collection=collection,
        metric=chosen_metric,
        keys=keys,
        averaged_keys=averaged_keys,
        rows=sorted(rows, key=lambda row: _sort_key(row, sort, levels, metrics)),
        baseline=baseline_row,
        levels=levels,
        cells=cells,
        main_effects=main_effects,
        interactions=interactions,
        remarks=remarks,
        has_ensembles=ensemble,
        margin=chosen_margin,
    )
    if comparison.ensembles is not None and not comparison.ensembles.ensembles:
        problems = comparison.ensembles.problems[:1] or [advise_on_predictions(comparison.ensembles.lacking)]
        raise ConfigError(
            f"{say('--ensemble', 'ensemble=True')}: no configuration has the predictions of all of its finished runs; "
            f"{problems[0]}"
        )
    return comparison


def _collect_metrics(rows: Sequence[Row]) -> dict[str, Metric]:
    """Return the metrics that any of the runs of some rows has, by name."""
    metrics: dict[str, Metric] = {}
    for row in rows:
        for record in row.records:
            metrics = {**list_metrics(record.config), **metrics}
    return metrics


def _resolve_metric(name: str | None, rows: Sequence[Row]) -> Metric:
    """Return the metric with this name, or the default metric of these rows."""
    metrics = _collect_metrics(rows)
    run_metrics = list_run_metrics(metrics)
    if name is None:
        return run_metrics["test_accuracy" if any("test_accuracy" in row.scores for row in rows) else "val_accuracy"]
    plain_name = resolve_metric_name(name, metrics)
    if plain_name not in run_metrics:
        match = closest_match(name.replace("/", "_"), list(run_metrics))
        suggestion = did_you_mean([match] if match else [])
        raise ConfigError(f"{show_option('--metric', name)}: must be one of {', '.join(run_metrics)}{suggestion}")
    if plain_name == "seconds":
        raise ConfigError(
            f"{show_option('--metric', name)}: runs that train together share their time, so their seconds cannot be "
            "compared"
        )
    return run_metrics[plain_name]


def _find_baseline(rows: Sequence[Row], conditions: Sequence[str]) -> Row:
    """Return the row that meets all conditions; if several do, the one that is most like the first row."""
    candidates = list(rows)
    for condition in conditions:
        typed_key, _, typed_values = condition.partition("=")
        option = show_option("--baseline", condition)
        if not typed_values:
            example = say(
                "type key=value, for example normalization=none", 'give a key and its value, {"normalization": "none"}'
            )
            raise ConfigError(f"{option}: {example}")
        key = resolve_varied_key(typed_key, list(rows[0].values), "--baseline")
        values = resolve_values(typed_values, [row.values[key] for row in rows], option)
        if len(values) != 1:
            raise ConfigError(f"{option}: must be one value, to which the others are compared")
        candidates = [row for row in candidates if row.values[key] == values[0]]
        if not candidates:
            raise ConfigError(f"{option}: all conditions together must fit one configuration")
    first_values = rows[0].values
    return max(candidates, key=lambda row: sum(first_values[key] == value for key, value in row.values.items()))


def _add_differences(rows: Sequence[Row], baseline: Row, metric: str, margin: float | None) -> None:
    """Set the difference to the baseline in every other row, with p-values corrected for all of them together."""
    others = [row for row in rows if row is not baseline]
    differences = test_differences([pair_by_seed(row, baseline, metric) for row in others], margin)
    for row, difference in zip(others, differences, strict=True):
        row.difference = difference
        difference.has_diverged_runs = any(record.status == "diverged" for record in [*row.records, *baseline.records])


def _sort_key(
    row: Row, sort: str | None, levels: Mapping[str, Sequence[str]], metrics: Mapping[str, Metric]
) -> tuple[bool, float]:
    """Return a sort key that puts the best row first, and rows without the metric last.

    Args:
        row: the row to sort.
        sort: a metric or a key; None: validation accuracy.
        levels: the values of each key, in the order in which they are sorted.
        metrics: the metrics of the runs.

    Raises:
        ConfigError: `sort` is neither a metric nor a key.
    """
    run_metrics = list_run_metrics(metrics)
    name = "val_accuracy" if sort is None else resolve_metric_name(sort, metrics)
    if sort is not None and name not in run_metrics:
        try:
            key = resolve_key(sort, list(row.values))
        except ConfigError as error:
            names = [*row.values, *run_metrics]
            match = closest_match(sort.replace("/", "_"), names)
            suggestion = did_you_mean([match] if match else [])
            raise ConfigError(
                f"{show_option('--sort', sort)}: must be one of {', '.join(names)}{suggestion}"
            ) from error
        return (False, levels[key].index(row.values[key]) if row.values[key] != ABSENT else -1)
    metric = run_metrics[name]
    estimate = row.estimate(metric.name)
    return (True, 0.0) if estimate is None else (False, estimate.mean * (-metric.better or 1))
