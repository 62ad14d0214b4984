"""Ghost batch normalization (Hoffer, Hubara and Soudry 2017): BatchNorm of the parts of a batch, one after the other.

A batch of B images is split into virtual batches of v; a last part may be smaller, and one of a single image joins the
one before. Each part is normalized with its own mean and variance, and each moves the running statistics, as if the
parts were batches that follow each other: after P parts with statistics s_1, ..., s_P

    running = (1 - momentum)^P running + sum over i of momentum (1 - momentum)^(P - i) s_i.

In evaluation mode it is BatchNorm.
"""

from collections.abc import Sequence
from typing import Protocol

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from regexp.utils.counts import batch_sizes


class StackedBatchNorm(Protocol):
    """The tensors and settings of the BatchNorm of K runs, all tensors [K, C]."""

    weight: nn.Parameter
    bias: nn.Parameter
    running_mean: Tensor
    running_var: Tensor
    eps: float
    momentum: float
    keeps_statistics: bool


def normalize_parts(x: Tensor, sizes: Sequence[int], layer: StackedBatchNorm) -> Tensor:
    """Normalize the parts of x [K, B, C], and move the running statistics of a layer of K runs.

    Args:
        x: [K, B, C], stored as [K, C, B].
        sizes: the sizes of the parts, of which all but the last are equal.
        layer: the layer.

    Returns:
        [K, B, C], stored as x is.
    """
    stored = x.transpose(1, 2)  # [K, C, B]
    num_equal = len(sizes) if sizes[-1] == sizes[0] else len(sizes) - 1
    parts, means, variances = [], [], []
    for batch, count in ((stored[:, :, : num_equal * sizes[0]], num_equal), (stored[:, :, num_equal * sizes[0] :], 1)):
        if batch.shape[2] > 0:
            y, mean, variance = _normalize_equal_parts(batch, count, layer)
            parts.append(y)
            means.append(mean)
            variances.append(variance)
    if layer.keeps_statistics:
        keep = 1 - layer.momentum
        powers = torch.arange(len(sizes) - 1, -1, -1, dtype=torch.float32, device=x.device)  # made where it is used
        weights = layer.momentum * keep ** powers.to(layer.running_mean.dtype)  # [P]
        for running, statistics in ((layer.running_mean, means), (layer.running_var, variances)):
            running.mul_(keep ** len(sizes)).add_((torch.cat(statistics, 2) * weights).sum(2))
    return torch.cat(parts, 2).transpose(1, 2)


def _normalize_equal_parts(x: Tensor, count: int, layer: StackedBatchNorm) -> tuple[Tensor, Tensor, Tensor]:
    """Normalize x [K, C, B] in parts of equal size: P parts of K runs of C channels are one batch norm of K * C * P.

    Args:
        x: [K, C, B].
        count: the number of parts, P.
        layer: the layer.

    Returns:
        The normalized parts [K, C, B]; their means, and their unbiased variances, [K, C, P].
    """
    shape = (*x.shape[:2], count)
    # Running statistics with the momentum 1 are those of the batch.
    mean, variance = (layer.running_mean.new_zeros(shape) for _ in range(2))
    weight, bias = (each.unsqueeze(2).expand(shape).reshape(-1) for each in (layer.weight, layer.bias))
    y = F.batch_norm(
        x.reshape(1, -1, x.shape[2] // count), mean.view(-1), variance.view(-1), weight, bias, True, 1.0, layer.eps
    )
    return y.view(x.shape), mean, variance


class GhostBatchNorm1d(nn.BatchNorm1d):
    """Ghost batch normalization of units, [B, C], for one run."""

    def __init__(self, num_features: int, eps: float, momentum: float, virtual_batch: int) -> None:
        """Make the layer, which normalizes `virtual_batch` images together."""
        super().__init__(num_features, eps, momentum)
        self.virtual_batch = virtual_batch

    def forward(self, x: Tensor) -> Tensor:
        """Normalize x [B, C]."""
        parts = x.split(batch_sizes(len(x), self.virtual_batch)) if self.training else [x]
        return torch.cat([nn.BatchNorm1d.forward(self, part) for part in parts])

    def extra_repr(self) -> str:
        """Return what the layer's text shows between parentheses."""
        text: str = super().extra_repr()  # type: ignore[no-untyped-call]
        return f"{text}, virtual_batch={self.virtual_batch}"


class GhostBatchNorm2d(nn.BatchNorm2d):
    """Ghost batch normalization of channels of pixels, [B, C, H, W], for one run."""

    def __init__(self, num_features: int, eps: float, momentum: float, virtual_batch: int) -> None:
        """Make the layer, which normalizes `virtual_batch` images together."""
        super().__init__(num_features, eps, momentum)
        self.virtual_batch = virtual_batch

    def forward(self, x: Tensor) -> Tensor:
        """Normalize x [B, C, H, W]."""
        parts = x.split(batch_sizes(len(x), self.virtual_batch)) if self.training else [x]
        return torch.cat([nn.BatchNorm2d.forward(self, part) for part in parts])

    def extra_repr(self) -> str:
        """Return what the layer's text shows between parentheses."""
        text: str = super().extra_repr()  # type: ignore[no-untyped-call]
        return f"{text}, virtual_batch={self.virtual_batch}"
