"""The losses and accuracies of a run that has ended, as the texts that terminals and notebooks show."""

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

from regexp.config.metric_registry import Metric, list_metrics
from regexp.runs.run import Run

_ENDINGS = {"completed": "all epochs", "stopped_early": "stopped early", "diverged": "diverged", "pruned": "pruned"}


@dataclass(frozen=True)
class Scores:
    """The scores of the epoch whose weights a run keeps.

    Attributes:
        title: the epoch, how the run ended, and its seconds.
        columns: the name of each metric.
        rows: the value of each metric, by the name of the row: training, validation, gap, test
            and, with evaluation.corruptions=true, corrupted.
    """

    title: str
    columns: list[str]
    rows: dict[str, list[str]]


def tabulate_scores(run: Run, summary: Mapping[str, Any]) -> Scores:
    """Return the scores of a run, given the content of its summary.json."""
    scores = summary["best"] if run.keeps_best else summary["last"]
    epoch = summary["best_epoch"] if run.keeps_best else summary["epochs"]
    ending = _ENDINGS[summary["status"]]
    metrics = list_metrics(run.config)
    # A run of an earlier version may lack a metric that is new.
    train = {name: scores.get(f"train_{name}") for name in metrics}
    validation = {name: scores.get(f"val_{name}") for name in metrics}
    rows = {"training": _format_scores(metrics, train), "validation": _format_scores(metrics, validation)}
    # A gap is positive where the validation images do worse than the training images.
    gaps: dict[str, float | None] = {}
    for name, metric in metrics.items():
        train_value, val_value = train[name], validation[name]
        if train_value is None or val_value is None:
            gaps[name] = None
        else:
            gaps[name] = train_value - val_value if metric.better > 0 else val_value - train_value
    if all(gap is not None for gap in gaps.values()):
        rows["gap"] = _format_scores(metrics, gaps)
    if summary["test"] is not None:
        rows["test"] = _format_scores(metrics, summary["test"])
        if (accuracy := summary["test"].get("corrupted_accuracy")) is not None:
            rows["corrupted"] = _format_scores(metrics, {"accuracy": accuracy})
    title = f"epoch {epoch} of {summary['epochs']} ({ending}), {summary['seconds']:.1f} s"
    return Scores(title, [metric.title for metric in metrics.values()], rows)


def _format_scores(metrics: Mapping[str, Metric], scores: Mapping[str, float | None]) -> list[str]:
    """Return the value of every metric as tables show it."""
    texts = []
    for name, metric in metrics.items():
        value = scores.get(name)
        if value is None:
            texts.append("-")
        else:
            texts.append(f"{value:.2%}" if metric.percent else f"{value:.4f}")
    return texts
