"""The accuracy of K runs on corrupted images: of each corruption in each strength, their mean, and the worst one."""

from dataclasses import dataclass
from math import prod

import torch
from torch import Tensor

from regexp.augmentation.corruptions import CORRUPTIONS, NUM_STRENGTHS, corrupt, draw_corruptions
from regexp.config.metric_registry import CORRUPTION_METRICS
from regexp.data.dataset import Images, scale
from regexp.models.protocol import Predictor
from regexp.training.evaluation import choose_chunk_size, compute_logits
from regexp.training.metrics import count_correct
from regexp.utils.device import Backend
from regexp.utils.lazy import load_object

# The numbers that corrupting an image needs at a time, for each of its own: draws, points to read from, copies.
_VALUES_PER_PIXEL = 8


@dataclass(frozen=True)
class Robustness:
    """The robustness of one run.

    Attributes:
        accuracies: [corruptions, strengths], on the corrupted images.
        example: [corruptions, strengths, C, H, W], the first of these images, in [0, 1]; on the CPU.
    """

    accuracies: Tensor
    example: Tensor

    def by_corruption(self) -> dict[str, list[float]]:
        """Return the accuracy in each strength, by the name of the corruption."""
        return dict(zip(CORRUPTIONS, self.accuracies.tolist(), strict=True))

    def values(self) -> dict[str, float]:
        """Return every metric in metric_registry.CORRUPTION_METRICS, by name."""
        return {
            name: float(load_object(metric.function)(self.accuracies.unsqueeze(0)))
            for name, metric in CORRUPTION_METRICS.items()
        }


def corrupted_accuracy(accuracies: Tensor) -> Tensor:
    """Return the mean over corruptions and strengths of accuracies [K, corruptions, strengths], [K]."""
    return accuracies.mean((1, 2))


def worst_corruption_accuracy(accuracies: Tensor) -> Tensor:
    """Return the mean over strengths of the corruption with the smallest one, for each run, [K]."""
    return accuracies.mean(2).amin(1)


@torch.no_grad()
def measure_robustness(model: Predictor, num_runs: int, split: Images, backend: Backend) -> list[Robustness]:
    """Measure the robustness of all runs of a model on the same images, and leave the model in evaluation mode.

    Each image is corrupted on the device, 25 times, a chunk of images at a time.

    Args:
        model: the model of K runs.
        num_runs: the number of runs, K.
        split: the N images, on the model's device.
        backend: the device and precision.

    Returns:
        The robustness of each run, [K]. Waits for the device.
    """
    model.eval()
    shape = split.images.shape[1:]
    draws = draw_corruptions(len(split), *shape).to(backend.device)
    counts = torch.zeros(num_runs, len(CORRUPTIONS), NUM_STRENGTHS, dtype=backend.sum_dtype, device=backend.device)
    chunk_size = choose_chunk_size(model, _VALUES_PER_PIXEL * prod(shape), backend)
    labels = split.labels.expand(num_runs, -1)
    example = []
    for start in range(0, len(split), chunk_size):
        chunk = slice(start, start + chunk_size)
        images, chunk_draws = scale(split.images[chunk], backend.dtype), draws[chunk]
        for i, corruption in enumerate(CORRUPTIONS):
            for level in range(NUM_STRENGTHS):
                corrupted_images = corrupt(images, corruption, level, chunk_draws)
                logits = compute_logits(model, num_runs, corrupted_images, backend)  # [K, B, classes]
                counts[:, i, level] += count_correct(logits, labels[:, chunk])
                if start == 0:
                    example.append(corrupted_images[0].clone())
    pictures = torch.stack(example).view(len(CORRUPTIONS), NUM_STRENGTHS, *shape).cpu()
    return [Robustness(accuracies, pictures) for accuracies in (counts / len(split)).cpu()]
