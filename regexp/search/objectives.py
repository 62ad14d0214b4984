"""The objectives of a search: the metrics that it optimizes, and in which direction."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from regexp.config.keys import closest_match
from regexp.config.metric_registry import (
    CORRUPTION_METRICS,
    Metric,
    list_curves,
    list_metrics,
    list_run_metrics,
    resolve_metric_name,
)
from regexp.config.schemas.data import DATA_SOURCES
from regexp.errors import ConfigError
from regexp.utils.messages import did_you_mean

MINIMIZE, MAXIMIZE = "minimize", "maximize"


@dataclass(frozen=True)
class SearchObjective:
    """A metric that a search optimizes.

    Attributes:
        metric: the metric, as it is measured with the weights that a run keeps.
        direction: MINIMIZE or MAXIMIZE.
        is_live: whether it is measured after every epoch.
    """

    metric: Metric
    direction: str
    is_live: bool

    @property
    def name(self) -> str:
        """The name of the metric."""
        return self.metric.name


def resolve_objectives(
    names: Sequence[str], directions: Sequence[str], options: Mapping[str, Any], prunes: bool
) -> list[SearchObjective]:
    """Return the objectives of a search.

    Args:
        names: the names of metrics; none for the metric that the runs monitor.
        directions: MINIMIZE or MAXIMIZE for each; none for what is better for each, or MINIMIZE where neither is.
        options: the flat configuration of a run.
        prunes: whether trials may be pruned.

    Raises:
        ConfigError: there is no such metric, it is not measured, the directions do not fit, or they cannot be pruned
            by.
    """
    metrics = list_metrics(options)
    run_metrics = list_run_metrics(metrics)
    chosen_names = [resolve_metric_name(name, metrics) for name in names or [options["early_stopping.monitor"]]]
    typed = f"hydra.sweeper.objective={','.join(names or chosen_names)}"
    for name in chosen_names:
        if name not in run_metrics:
            match = closest_match(name, list(run_metrics))
            raise ConfigError(
                f"{typed}: {name} must be one of {', '.join(run_metrics)}{did_you_mean([match] if match else [])}"
            )
        if problem := _describe_unmeasured(name, metrics, options):
            raise ConfigError(f"{typed}: {problem}")
    if len(set(chosen_names)) < len(chosen_names):
        raise ConfigError(f"{typed}: names a metric twice; leave one out")
    if directions and len(directions) != len(chosen_names):
        raise ConfigError(
            f"hydra.sweeper.direction={','.join(directions)}: the number of directions must be that of the "
            f"objectives, {', '.join(chosen_names)}; leave it out for what is better for each metric"
        )
    natural = [MAXIMIZE if run_metrics[name].better > 0 else MINIMIZE for name in chosen_names]
    live_names = list_curves(metrics)
    objectives = [
        SearchObjective(run_metrics[name], direction, name in live_names)
        for name, direction in zip(chosen_names, directions or natural, strict=True)
    ]
    if prunes and len(objectives) > 1:
        raise ConfigError(f"{typed}: only a single objective can be pruned by; leave hydra/sweeper/pruner out")
    if prunes and not objectives[0].is_live:
        raise ConfigError(
            f"{typed}: a pruner reads a metric of every epoch; choose one of {', '.join(live_names)}, or leave "
            "hydra/sweeper/pruner out"
        )
    return objectives


def _describe_unmeasured(name: str, metrics: Mapping[str, Metric], options: Mapping[str, Any]) -> str:
    """Return why runs do not measure a metric, and what to type instead; "" if they do.

    Args:
        name: the name of a metric of runs.
        metrics: the metrics of a run.
        options: the flat configuration of a run.
    """
    if not name.startswith("test_"):
        return ""
    if options["data.validation"] == "test":
        return "data.validation=test leaves no test images; choose a metric of the validation, such as val_accuracy"
    measured_name = name.removeprefix("test_")
    if measured_name not in CORRUPTION_METRICS or measured_name in metrics:
        return ""
    if DATA_SOURCES[options["data"]].is_table:
        return "a table has no images that could be corrupted; choose another metric, such as val_accuracy"
    return (
        "" if options["evaluation.corruptions"] else "runs measure that with evaluation.corruptions=true only; add it"
    )
