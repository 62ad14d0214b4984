"""The sums over the images of a split that the final metrics are made of, for K runs at once."""

from typing import final

import torch
from torch import Tensor

# The bins of the confidence, of equal width, as in Guo et al. 2017.
BINS = 15
# The largest logits among which the label is looked for.
TOP = 5


@final
class Tally:
    """What the final metrics need to know of the images seen so far. Its size does not depend on their number.

    Attributes:
        num_images: the number of images, N.
        class_sizes: [K, classes], the number of images of each class.
        correct_by_class: [K, classes], those among them that are classified correctly.
        bin_sizes: [K, BINS], the number of images whose confidence, the largest probability, is in each bin. Bin m of
            M holds confidences in ((m - 1) / M, m / M].
        correct_by_bin: [K, BINS], those among them that are classified correctly.
        confidence_by_bin: [K, BINS], the sum of their confidences.
        brier_sum: [K], the sum over the images of |p - y|^2, with y the one-hot label.
        num_in_top: [K], the images whose label is among the TOP largest logits; all where there are no more classes.
    """

    def __init__(self, num_runs: int, num_classes: int, device: torch.device, dtype: torch.dtype) -> None:
        """Start with no image.

        Args:
            num_runs: the number of runs, K.
            num_classes: the number of classes.
            device: the device of the sums.
            dtype: the type of the sums, and of the probabilities.
        """
        self.num_images, self._dtype = 0, dtype
        sizes = (num_classes, num_classes, BINS, BINS, BINS)
        sums = [torch.zeros(num_runs, size, dtype=dtype, device=device) for size in sizes]
        self.class_sizes, self.correct_by_class, self.bin_sizes, self.correct_by_bin, self.confidence_by_bin = sums
        self.brier_sum = torch.zeros(num_runs, dtype=dtype, device=device)
        self.num_in_top = torch.zeros_like(self.brier_sum)

    def add(self, logits: Tensor, labels: Tensor) -> None:
        """Add images. Does not wait for the device.

        Args:
            logits: [K, B, classes].
            labels: [K, B].
        """
        probabilities = logits.to(self._dtype).softmax(-1)
        confidences, predictions = probabilities.max(-1)  # [K, B]
        correct = (predictions == labels).to(self._dtype)
        self.num_images += labels.shape[1]
        # Sums of whole numbers are exact in any order, also where a GPU adds them in another one each time.
        self.class_sizes.scatter_add_(1, labels, torch.ones_like(correct))
        self.correct_by_class.scatter_add_(1, labels, correct)
        bins = (confidences * BINS).ceil().clamp(1, BINS).nan_to_num(BINS) - 1
        in_bin = (bins.unsqueeze(-1) == torch.arange(BINS, device=bins.device)).to(self._dtype)  # [K, B, BINS]
        self.bin_sizes += in_bin.sum(1)
        self.correct_by_bin += (in_bin * correct.unsqueeze(-1)).sum(1)
        self.confidence_by_bin += (in_bin * confidences.unsqueeze(-1)).sum(1)
        label_probabilities = probabilities.gather(-1, labels.unsqueeze(-1)).squeeze(-1)
        self.brier_sum += (probabilities.square().sum(-1) - 2 * label_probabilities + 1).sum(1)
        largest = logits.topk(min(TOP, logits.shape[-1])).indices  # [K, B, TOP]
        self.num_in_top += (largest == labels.unsqueeze(-1)).any(-1).sum(1)

    def reliability(self) -> Tensor:
        """Return the number of images, the sum of their confidences and the correct ones in each bin, [K, BINS, 3]."""
        return torch.stack([self.bin_sizes, self.confidence_by_bin, self.correct_by_bin], -1)
