"""The tables of a comparison image by image, and of ensembles. Imports no torch."""

from collections.abc import Iterator
from dataclasses import replace

from regexp.comparison.by_image.crossed_effects import ImageDifference
from regexp.comparison.by_image.ensembles import Ensemble, EnsembleComparison, ImageMean
from regexp.comparison.by_image.pairing import name_image_metric
from regexp.comparison.compare import Comparison
from regexp.comparison.formats.tables import name_cells, name_columns
from regexp.comparison.formats.text_table import TextTable
from regexp.comparison.verdicts import format_metric, format_p_value
from regexp.config.metric_registry import RUN_METRICS, Metric

_ACCURACY = RUN_METRICS["test_accuracy"]
_MISSING = "-"


def tabulate_images(comparison: Comparison) -> list[TextTable]:
    """Return the tables that need predictions: differences by image, and ensembles where they were asked for."""
    return [*_tabulate_differences(comparison), *_tabulate_ensembles(comparison)]


def _tabulate_differences(comparison: Comparison) -> Iterator[TextTable]:
    """Yield the uncertainty of each difference to the baseline, over seeds, over images and over both."""
    pairing, metric = comparison.image_pairing, comparison.metric
    if not pairing.differences:
        return
    sizes = {f"{item.num_seeds} seeds x {item.num_images:,} images" for item in pairing.differences.values()}
    size = sizes.pop().replace("1 seeds", "1 seed") if len(sizes) == 1 else "seeds x images"
    unit = " (percentage points)" if metric.percent else ""
    names = name_columns(comparison.keys)
    rows = [
        [*name_cells(row), *_difference_cells(pairing.differences.get(i), pairing.adjusted_p_values.get(i), metric)]
        for i, row in enumerate(comparison.rows)
        if row is not comparison.baseline
    ]
    yield TextTable(
        f"{metric.title.capitalize()}{unit}: difference to {_describe_baseline(comparison)} by image, {size}",
        [*names, "difference", "±\nseeds", "±\nimages", "±\nboth", "Holm", "p\nimages", "pairs"],
        rows,
        keys=tuple(comparison.keys),
        text_columns=len(names),
    )


def _difference_cells(difference: ImageDifference | None, adjusted_p_value: float | None, metric: Metric) -> list[str]:
    """Return the cells of a difference by image."""
    if difference is None:
        return [_MISSING] * 7
    half_widths = (difference.seeds_half_width, difference.images_half_width, difference.half_width)
    return [
        format_metric(metric, difference.mean, signed=True),
        *(_MISSING if width is None else format_metric(metric, width) for width in half_widths),
        format_p_value(adjusted_p_value),
        format_p_value(difference.images_p_value),
        f"{difference.num_significant_pairs} of {difference.num_seeds}",
    ]


def _tabulate_ensembles(comparison: Comparison) -> Iterator[TextTable]:
    """Yield what the seeds of each configuration reach together."""
    ensembles = comparison.ensembles
    if ensembles is None:
        return
    name = name_image_metric(comparison.metric, comparison.records)
    has_metric = any(name in ensemble.metrics for ensemble in ensembles.ensembles.values()) and name != "accuracy"
    columns = ["seeds", "single\n%", "ensemble\n%", "gain"]
    columns += ["difference", "p\nimages"] if len(comparison.rows) > 1 else []
    if has_metric:
        heading = f"{name} %" if comparison.metric.percent else name
        columns += [f"single\n{heading}", f"ensemble\n{heading}"]
    names = name_columns(comparison.keys)
    rows = []
    for i, row in enumerate(comparison.rows):
        cells = _ensemble_cells(ensembles.ensembles.get(i))
        if len(comparison.rows) > 1:
            is_baseline = row is comparison.baseline
            cells += ["baseline", ""] if is_baseline else _ensemble_difference_cells(ensembles, i)
        if has_metric:
            cells += _metric_cells(ensembles.ensembles.get(i), name, comparison.metric)
        rows.append([*name_cells(row), *cells])
    baseline_row = next(i for i, row in enumerate(comparison.rows) if row is comparison.baseline)
    yield TextTable(
        "Test accuracy of ensembles: the seeds of a configuration together",
        [*names, *columns],
        rows,
        keys=tuple(comparison.keys),
        text_columns=len(names),
        baseline_row=baseline_row,
    )


def _ensemble_cells(ensemble: Ensemble | None) -> list[str]:
    """Return the number of runs, their mean accuracy, that of the ensemble, and its gain."""
    if ensemble is None:
        return [_MISSING] * 4
    accuracies = ensemble.single_metrics["accuracy"], ensemble.metrics["accuracy"]
    return [
        str(ensemble.num_runs),
        *(format_metric(_ACCURACY, accuracy) for accuracy in accuracies),
        _format_image_mean(ensemble.gain) if ensemble.num_runs > 1 else _MISSING,
    ]


def _ensemble_difference_cells(ensembles: EnsembleComparison, place: int) -> list[str]:
    """Return the difference of an ensemble to that of the baseline, and its p-value."""
    if place not in ensembles.differences:
        return [_MISSING] * 2
    return [_format_image_mean(ensembles.differences[place]), format_p_value(ensembles.p_values[place])]


def _metric_cells(ensemble: Ensemble | None, name: str, metric: Metric) -> list[str]:
    """Return a metric of single runs, their mean, and that of the ensemble."""
    if ensemble is None or name not in ensemble.metrics:
        return [_MISSING] * 2
    values = ensemble.single_metrics[name], ensemble.metrics[name]
    return [format_metric(replace(metric, name=name), value) for value in values]


def _format_image_mean(value: ImageMean) -> str:
    mean = format_metric(_ACCURACY, value.mean, signed=True)
    return mean if value.half_width is None else f"{mean} ± {format_metric(_ACCURACY, value.half_width)}"


def _describe_baseline(comparison: Comparison) -> str:
    return ", ".join(f"{key}={value}" for key, value in comparison.baseline.values.items()) or "the baseline"
