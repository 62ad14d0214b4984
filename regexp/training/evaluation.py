"""Evaluation: the metrics of K runs on the images of a split."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from math import prod

import torch
from torch import Tensor

from regexp.config.metric_registry import METRICS, TALLY_METRICS
from regexp.data.dataset import Images, scale
from regexp.models.protocol import Predictor
from regexp.training.measures.tally import Tally
from regexp.training.metrics import UserMetric
from regexp.utils.device import Backend
from regexp.utils.lazy import load_object

# Bytes of the images evaluated at a time, and of what the layers of all runs produce for them: so memory does not grow
# with the validation set. On a CPU most of it stays within its cache; a GPU needs more work at once.
BYTES_AT_ONCE = {"cpu": 2**23, "cuda": 2**27, "mps": 2**25}


@dataclass(frozen=True)
class Evaluation:
    """The metrics of K runs on the same images, in evaluation mode and without label smoothing.

    Attributes:
        values: the mean over the images of every metric in metric_registry.METRICS, by name, [K], losses in nats; then
            the metrics of the user's own, and those in TALLY_METRICS where there is a tally.
        predictions: [K, N], the predicted classes, on the device; None where they were not asked for.
        logits: [R, N, classes], those of the R runs for which they were asked for, float32, on the host.
    """

    values: Mapping[str, Tensor]
    predictions: Tensor | None
    logits: Tensor | None = None

    def values_of_runs(self) -> list[dict[str, float]]:
        """Return the value of every metric by name for each run, [K]. Waits for the device."""
        table = torch.stack(list(self.values.values()), 1).tolist()
        return [dict(zip(self.values, row, strict=True)) for row in table]


@torch.no_grad()
def evaluate(
    model: Predictor,
    num_runs: int,
    split: Images,
    backend: Backend,
    predict: bool = False,
    labels: Tensor | None = None,
    user_metrics: Sequence[UserMetric] = (),
    tally: Tally | None = None,
    logit_rows: Tensor | None = None,
) -> Evaluation:
    """Evaluate all runs of a model on the same images, and leave the model in evaluation mode.

    Args:
        model: the model of K runs.
        num_runs: the number of runs, K.
        split: the N images, on the model's device.
        backend: the device and precision.
        predict: whether to return the predictions.
        labels: [K, N], each run's own labels; None for those of the split.
        user_metrics: the metrics of the user's own, which see the logits of all images of the split at once.
        tally: the sums of the final metrics, to which the images are added; None where they are not asked for.
        logit_rows: [R], the runs whose logits are returned, at the price of waiting for the device; None for none.

    Returns:
        Every metric for every run.
    """
    model.eval()
    functions = {name: load_object(metric.function) for name, metric in METRICS.items()}
    sums = {name: torch.zeros(num_runs, dtype=backend.sum_dtype, device=backend.device) for name in functions}
    predictions, all_logits, chosen_logits = [], [], []
    chunk_size = choose_chunk_size(model, prod(split.images.shape[1:]), backend)
    labels = split.labels.expand(num_runs, -1) if labels is None else labels
    for images, chunk_labels in zip(split.images.split(chunk_size), labels.split(chunk_size, 1), strict=True):
        logits = compute_logits(model, num_runs, scale(images, backend.dtype), backend)  # [K, B, classes]
        for name, function in functions.items():
            sums[name] += function(logits, chunk_labels)
        if tally is not None:
            tally.add(logits, chunk_labels)
        if user_metrics:
            all_logits.append(logits)
        if logit_rows is not None:
            chosen_logits.append(logits.index_select(0, logit_rows).float().cpu())  # [R, B, classes]
        if predict:
            predictions.append(logits.argmax(-1))  # [K, B]
    values = {name: total / len(split) for name, total in sums.items()}
    if user_metrics:
        split_logits = torch.cat(all_logits, 1)  # [K, N, classes]
        for metric in user_metrics:
            numbers = [metric(split_logits[k], labels[k]) for k in range(num_runs)]
            values[metric.name] = torch.tensor(numbers, dtype=backend.sum_dtype, device=backend.device)
    if tally is not None:
        values |= {name: value for name, value in measure(tally).items() if name not in values}
    return Evaluation(
        values, torch.cat(predictions, 1) if predict else None, torch.cat(chosen_logits, 1) if chosen_logits else None
    )


def choose_chunk_size(model: Predictor, values_per_image: int, backend: Backend) -> int:
    """Return how many images are evaluated at a time.

    Args:
        model: the model of K runs.
        values_per_image: the numbers that each image takes beside what the layers of all runs produce for it.
        backend: the device and precision.
    """
    values_per_image += model.activations_per_image
    return max(1, BYTES_AT_ONCE[backend.device.type] // (values_per_image * backend.dtype.itemsize))


def compute_logits(model: Predictor, num_runs: int, images: Tensor, backend: Backend) -> Tensor:
    """Return the logits [K, B, classes] of all runs for the same images [B, C, H, W] or rows [B, F]."""
    with backend.autocast_context():
        logits = model(images.unsqueeze(0), [num_runs])
    return logits.to(backend.dtype)


def measure(tally: Tally) -> dict[str, Tensor]:
    """Return every metric in metric_registry.TALLY_METRICS that says anything with so many classes, by name, [K]."""
    num_classes = tally.class_sizes.shape[1]
    return {
        name: load_object(metric.function)(tally)
        for name, metric in TALLY_METRICS.items()
        if num_classes >= metric.min_classes
    }


def count_confusions(predictions: Tensor, labels: Tensor, num_classes: int) -> Tensor:
    """Return the confusion matrix of each run, whose rows are labels and whose columns are predictions.

    Args:
        predictions: [K, N].
        labels: [N].
        num_classes: the number of classes.

    Returns:
        [K, classes, classes], counts of images.
    """
    num_runs = len(predictions)
    runs = torch.arange(num_runs, device=labels.device).unsqueeze(1)
    cells = (runs * num_classes + labels) * num_classes + predictions  # [K, N]
    counts = torch.bincount(cells.flatten(), minlength=num_runs * num_classes**2)
    return counts.view(num_runs, num_classes, num_classes)
