"""The registry of metrics: the functions that measure them, and how they are compared and shown.

An entry of METRICS is all that a new metric needs beside its function. metrics.csv, TensorBoard, summary.json, the
monitored values of early stopping, and the tables of comparisons follow from it.
"""

from dataclasses import dataclass, replace


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
            run, [K].
    """

    name: str
    title: str
    percent: bool = False
    better: int = 0
    function: str = ""


# The metrics that are measured on the images of each split.
METRICS = {
    metric.name: metric
    for metric in (
        Metric("loss", "loss", better=-1, function="training.metrics.summed_cross_entropy"),
        Metric("accuracy", "accuracy", percent=True, better=1, function="training.metrics.count_correct"),
    )
}

# The splits that are measured after every epoch. The test set is measured once, at the end.
EPOCH_SPLITS = ("train", "val")
CURVES = tuple(f"{split}_{name}" for split in EPOCH_SPLITS for name in METRICS)
# The columns of metrics.csv.
COLUMNS = ("epoch", "objective", *CURVES, "lr", "seconds")
# The values that early stopping and the plateau schedule can watch.
MONITORS = tuple(f"val_{name}" for name, metric in METRICS.items() if metric.better)


def lower_is_better(monitor: str, value: float) -> float:
    """Return a monitored value with its sign chosen so that lower is better."""
    return -METRICS[monitor.removeprefix("val_")].better * value


_SPLIT_TITLES = {"test": "test", "val": "validation", "train": "training"}


def _list_run_metrics() -> list[Metric]:
    """Return the metrics of a finished run in the order of comparisons: accuracy first, and the test set before all."""
    metrics = []
    for metric in sorted(METRICS.values(), key=lambda metric: metric.name != "accuracy"):
        for split, title in _SPLIT_TITLES.items():
            name = f"{split}_{metric.name}"
            metrics.append(replace(metric, name=name, title=f"{title} {metric.title}", function=""))
    return [
        *metrics,
        Metric("gap", "gap"),
        Metric("best_epoch", "best epoch"),
        Metric("epochs", "epochs"),
        Metric("seconds", "seconds"),
    ]


RUN_METRICS = {metric.name: metric for metric in _list_run_metrics()}
# The tags with which the event file of a finished run ends, by the name of the metric that each holds. TensorBoard's
# HParams page averages them over seeds, as tables of comparisons average the metrics. It begins with the first five
# tags by name, so these names sort before those of the curves. It shows a tag with the name of a hyperparameter in the
# column of that hyperparameter, so no tag is called `epochs`.
FINAL_TAGS = {
    **{f"val_{name}": f"kept/val_{name}" for name in METRICS},
    **{f"test_{name}": f"test/{name}" for name in METRICS},
    "gap": "gap",
    "epochs": "train/epochs",
    "best_epoch": "train/best_epoch",
}
