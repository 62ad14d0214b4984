"""The registry of metrics: the functions that measure them, and how they are compared and shown.

An entry of METRICS is all that a new metric needs beside its function. metrics.csv, TensorBoard, summary.json, the
monitored values of early stopping, and the tables of comparisons follow from it. FINAL_METRICS has those that are
measured on the test set alone, once, when a run has ended: summary.json, TensorBoard and comparisons follow from them.
Those in CORRUPTION_METRICS are measured with evaluation.corruptions=true only.
"""

from collections.abc import Mapping
from dataclasses import dataclass, replace
from typing import Any


@dataclass(frozen=True)
class Metric:
    """A number that is compared between runs.

    Attributes:
        name: its key in files, options and columns.
        title: its name in tables, plots and sentences.
        percent: whether it is a fraction, shown in percent.
        better: 1 where larger values are better, -1 where smaller ones are, 0 where neither are.
        function: the path, for utils.lazy, of the function that measures it on images; empty for other numbers. The
            function takes logits [K, B, classes] and labels [K, B], and returns the sum over the B images for each
            run, [K]. In TALLY_METRICS it takes a Tally (training/measures/tally.py), in CORRUPTION_METRICS
            accuracies [K, corruptions, strengths], and returns the metric, [K].
        min_classes: the fewest classes with which it says anything.
    """

    name: str
    title: str
    percent: bool = False
    better: int = 0
    function: str = ""
    min_classes: int = 2


# The metrics that are measured on the images of each split.
METRICS = {
    metric.name: metric
    for metric in (
        Metric("loss", "loss", better=-1, function="training.metrics.summed_cross_entropy"),
        Metric("accuracy", "accuracy", percent=True, better=1, function="training.metrics.count_correct"),
    )
}

# The metrics of the test set that are measured when a run has ended, with the weights it keeps and with its last ones.
# After every epoch they would cost ten times what loss and accuracy do, and fill TensorBoard's pages.
_MEASURES = "training.measures"
TALLY_METRICS = {
    metric.name: metric
    for metric in (
        Metric(
            "balanced_accuracy",
            "balanced accuracy",
            percent=True,
            better=1,
            function=f"{_MEASURES}.class_accuracy.balanced_accuracy",
        ),
        Metric(
            "worst_class_accuracy",
            "worst class",
            percent=True,
            better=1,
            function=f"{_MEASURES}.class_accuracy.worst_class_accuracy",
        ),
        Metric(
            "top5_accuracy",
            "top-5 accuracy",
            percent=True,
            better=1,
            function=f"{_MEASURES}.class_accuracy.top_accuracy",
            min_classes=6,
        ),
        Metric(
            "ece",
            "calibration error",
            percent=True,
            better=-1,
            function=f"{_MEASURES}.calibration.expected_calibration_error",
        ),
        Metric("brier", "Brier score", better=-1, function=f"{_MEASURES}.calibration.brier_score"),
    )
}
CORRUPTION_METRICS = {
    metric.name: metric
    for metric in (
        Metric(
            "corrupted_accuracy",
            "corrupted accuracy",
            percent=True,
            better=1,
            function=f"{_MEASURES}.robustness.corrupted_accuracy",
        ),
        Metric(
            "worst_corruption_accuracy",
            "worst corruption",
            percent=True,
            better=1,
            function=f"{_MEASURES}.robustness.worst_corruption_accuracy",
        ),
    )
}
FINAL_METRICS = {**TALLY_METRICS, **CORRUPTION_METRICS}

# The splits that are measured after every epoch. The test set is measured once, at the end.
EPOCH_SPLITS = ("train", "val")
_SPLIT_TITLES = {"test": "test", "val": "validation", "train": "training"}
# The section of the configuration that holds the metrics of the user's own.
_USER_METRICS = "metrics."
_BETTER = ".better"


def list_metrics(options: Mapping[str, Any]) -> dict[str, Metric]:
    """Return the metrics of a run by name: those of METRICS, then those of the user's own, which have no `function`.

    Args:
        options: the flat configuration of the run, as it is recorded too.
    """
    metrics = dict(METRICS)
    for key, value in options.items():
        name = key.removeprefix(_USER_METRICS).removesuffix(_BETTER)
        if key == f"{_USER_METRICS}{name}{_BETTER}" and "." not in name:
            is_fraction = bool(options.get(f"{_USER_METRICS}{name}.percent", False))
            metrics[name] = Metric(name, name, percent=is_fraction, better=1 if value == "higher" else -1)
    return metrics


def list_curves(metrics: Mapping[str, Metric]) -> tuple[str, ...]:
    """Return the names of the values that are measured after every epoch: each metric on each split."""
    return tuple(f"{split}_{name}" for split in EPOCH_SPLITS for name in metrics)


def list_columns(metrics: Mapping[str, Metric]) -> tuple[str, ...]:
    """Return the columns of metrics.csv."""
    return ("epoch", "objective", *list_curves(metrics), "lr", "seconds")


def list_monitors(metrics: Mapping[str, Metric]) -> dict[str, Metric]:
    """Return the values that early stopping and the plateau schedule can watch, each with its metric."""
    return {f"val_{name}": metric for name, metric in metrics.items() if metric.better}


def list_run_metrics(metrics: Mapping[str, Metric]) -> dict[str, Metric]:
    """Return the metrics of a finished run by name, in the order of comparisons.

    Accuracy comes first, and the test set before the other splits. A metric of the user's own takes the place of one of
    FINAL_METRICS with its name.
    """
    run_metrics = []
    for metric in sorted(metrics.values(), key=lambda metric: metric.name != "accuracy"):
        for split, title in _SPLIT_TITLES.items():
            name = f"{split}_{metric.name}"
            run_metrics.append(replace(metric, name=name, title=f"{title} {metric.title}", function=""))
    run_metrics += [
        replace(metric, name=f"test_{metric.name}", title=f"test {metric.title}", function="")
        for metric in FINAL_METRICS.values()
        if metric.name not in metrics
    ]
    run_metrics += [
        Metric("gap", "gap"),
        Metric("best_epoch", "best epoch"),
        Metric("epochs", "epochs"),
        Metric("seconds", "seconds"),
    ]
    return {metric.name: metric for metric in run_metrics}


def resolve_metric_name(name: str, metrics: Mapping[str, Metric]) -> str:
    """Return the name of a metric of runs that may be typed in other ways.

    That is as a tag of TensorBoard ("values_kept/val_loss", or "val/loss"), or without its split if only the test set
    has it ("ece").

    Args:
        name: the name as it was typed; one that no metric has is returned as well.
        metrics: the metrics of a run.
    """
    metrics_by_tag = {tag: metric for metric, tag in list_final_tags(metrics).items()}
    if name in FINAL_METRICS and name not in metrics:
        return f"test_{name}"
    return metrics_by_tag.get(name, name.replace("/", "_"))


def list_final_tags(metrics: Mapping[str, Metric]) -> dict[str, str]:
    """Return the tags with which the event file of a finished run ends, by the name of the metric that each holds.

    TensorBoard's Time Series page has its cards in the order of their tags, so these single dots come below the curves
    `train/...` and `val/...`. Its HParams page averages them over seeds, as tables of comparisons average the metrics,
    and shows them in this order (see runs.tensorboard.hparams_columns). It shows a tag with the name of a
    hyperparameter in the column of that hyperparameter, so no tag is called `epochs`.
    """
    names = sorted(metrics, key=lambda name: name != "accuracy")
    return {
        **{f"{split}_{name}": f"values_kept/{split}_{name}" for name in names for split in ("test", "val")},
        "gap": "values_kept/gap",
        "epochs": "values_of_run/epochs",
        "best_epoch": "values_of_run/best_epoch",
        **{f"test_{name}": f"values_kept/test_{name}" for name in FINAL_METRICS if name not in metrics},
    }


# What a run without metrics of the user's own has.
COLUMNS = list_columns(METRICS)
MONITORS = tuple(list_monitors(METRICS))
RUN_METRICS = list_run_metrics(METRICS)
FINAL_TAGS = list_final_tags(METRICS)
