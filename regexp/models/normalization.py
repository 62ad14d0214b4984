"""The normalizations: which there are, as torch's own layers for one run, and as stacked layers for K runs.

Between the channels of a convolution, LayerNorm is GroupNorm with one group: it normalizes over channels and pixels, as
over all units of a dense layer, with a scale and a shift for each channel (Wu and He 2018). RMSNorm does the same
without means. Both so mean one thing in all networks: an image is normalized by all that a layer computes for it.
"""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any, Self

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from regexp.errors import ConfigError
from regexp.models.regularizing.ghost_batch_norm import GhostBatchNorm1d, GhostBatchNorm2d, normalize_parts
from regexp.utils.counts import batch_sizes


@dataclass(frozen=True)
class Normalization:
    """The normalization of a network's hidden layers.

    Attributes:
        name: "none", "batch", "layer", "group" or "rms".
        eps: the constant that is added to the variance, or to the mean square.
        momentum: the weight of the newest batch in BatchNorm's running statistics.
        groups: the number of groups of GroupNorm.
        virtual_batch: the number of images of a batch that BatchNorm normalizes together; None for all.
    """

    name: str = "none"
    eps: float = 1e-5
    momentum: float = 0.1
    groups: int = 8
    virtual_batch: int | None = None

    @classmethod
    def from_options(cls, options: Mapping[str, Any]) -> Self:
        """Return the normalization of a flat configuration."""
        return cls(
            options["normalization"],
            options.get("normalization.eps", cls.eps),
            options.get("normalization.momentum", cls.momentum),
            options.get("normalization.groups", cls.groups),
            options.get("normalization.virtual_batch", cls.virtual_batch),
        )

    @property
    def shifts(self) -> bool:
        """Whether the layers add a bias for each unit or channel, so that the layer before them needs none."""
        return self.name in ("batch", "layer", "group")

    def describe(self) -> list[str]:
        """Return the name of torch's layer, in a list that is empty without normalization."""
        groups = f"GroupNorm({self.groups})"
        batch = "BatchNorm" if self.virtual_batch is None else f"BatchNorm(virtual_batch={self.virtual_batch})"
        names = {"none": "", "batch": batch, "layer": "LayerNorm", "group": groups, "rms": "RMSNorm"}
        return [name] if (name := names[self.name]) else []

    def check_sizes(self, sizes: Mapping[str, tuple[int, ...]]) -> None:
        """Raise ConfigError if GroupNorm cannot divide the sizes of layers, by the key that sets them, into groups.

        A group of a single unit would always give its bias: there is nothing to normalize it with. Channels
        have pixels.
        """
        for key, values in sizes.items():
            for size in values:
                if self.name == "group" and size % self.groups != 0:
                    raise ConfigError(
                        f"normalization.groups={self.groups}: must divide the sizes of all layers, and {key} has {size}"
                    )
                if self.name == "group" and size == self.groups and key == "model.hidden_sizes":
                    raise ConfigError(
                        f"normalization.groups={self.groups}: a group needs two units or more, and {key} has {size}; "
                        "use fewer groups, or more units"
                    )

    def for_units(self, size: int) -> list[nn.Module]:
        """Return the layer for the units of a dense layer, [B, size], in a list that is empty without normalization."""
        if self.name == "batch" and self.virtual_batch is not None:
            return [GhostBatchNorm1d(size, self.eps, self.momentum, self.virtual_batch)]
        if self.name == "batch":
            return [nn.BatchNorm1d(size, self.eps, self.momentum)]
        if self.name == "layer":
            return [nn.LayerNorm(size, self.eps)]
        if self.name == "rms":
            return [nn.RMSNorm(size, self.eps)]
        return [nn.GroupNorm(self.groups, size, self.eps)] if self.name == "group" else []

    def for_channels(self, channels: int) -> list[nn.Module]:
        """Return the layer for channels of pixels, [B, channels, H, W]; as `for_units`."""
        if self.name == "batch" and self.virtual_batch is not None:
            return [GhostBatchNorm2d(channels, self.eps, self.momentum, self.virtual_batch)]
        if self.name == "batch":
            return [nn.BatchNorm2d(channels, self.eps, self.momentum)]
        if self.name == "layer":
            return [nn.GroupNorm(1, channels, self.eps)]
        if self.name == "rms":
            return [ChannelRMSNorm(channels, self.eps)]
        return [nn.GroupNorm(self.groups, channels, self.eps)] if self.name == "group" else []

    def for_stacked_units(self, num_runs: int, size: int) -> list[nn.Module]:
        """Return the layer for the units of a stacked dense layer, [K, B, size]; as `for_units`."""
        if self.name == "batch":
            return [BatchNorm(num_runs, size, self.eps, self.momentum, self.virtual_batch)]
        if self.name == "layer":
            return [LayerNorm(num_runs, size, self.eps)]
        if self.name == "rms":
            return [RMSNorm(num_runs, size, self.eps)]
        return [GroupNorm(num_runs, self.groups, size, self.eps)] if self.name == "group" else []


class ChannelRMSNorm(nn.Module):
    """y = x / sqrt(mean of x^2 over channels and pixels + eps) * weight, with a weight for each channel."""

    def __init__(self, channels: int, eps: float) -> None:
        """Make the layer with weights of 1."""
        super().__init__()
        self.eps = eps
        self.weight = nn.Parameter(torch.ones(channels))

    def forward(self, x: Tensor) -> Tensor:
        """Normalize x [B, C, H, W] over all but its images."""
        return F.rms_norm(x, x.shape[1:], eps=self.eps) * self.weight.view(-1, 1, 1)


class BatchNorm(nn.Module):
    """y = (x - mean) / sqrt(variance + eps) * weight + bias over the batch, per run; torch.nn.BatchNorm1d.

    Ioffe and Szegedy 2015. K runs of C channels are one batch norm of K * C channels. With a virtual batch, it is the
    ghost batch normalization of models.regularizing.ghost_batch_norm.

    Attributes:
        keeps_statistics: whether passes in training mode change the running statistics.
    """

    running_mean: Tensor
    running_var: Tensor
    num_batches_tracked: Tensor

    def __init__(
        self, num_runs: int, features: int, eps: float, momentum: float, virtual_batch: int | None = None
    ) -> None:
        """Make the layers of K = `num_runs` runs."""
        super().__init__()
        self.eps, self.momentum, self.virtual_batch, self.keeps_statistics = eps, momentum, virtual_batch, True
        self.weight = nn.Parameter(torch.ones(num_runs, features))
        self.bias = nn.Parameter(torch.zeros(num_runs, features))
        self.register_buffer("running_mean", torch.zeros(num_runs, features))
        self.register_buffer("running_var", torch.ones(num_runs, features))
        self.register_buffer("num_batches_tracked", torch.zeros(num_runs, dtype=torch.long))

    def begin_epoch(self, sizes: Sequence[int]) -> None:
        """Count the batches of an epoch, given their sizes. Counting at each step would be one more operation."""
        self.num_batches_tracked += sum(len(self._split(size)) for size in sizes)

    def _split(self, batch_size: int) -> list[int]:
        """Return the sizes of the parts of a batch that are normalized by themselves."""
        return [batch_size] if self.virtual_batch is None else batch_sizes(batch_size, self.virtual_batch)

    def forward(self, x: Tensor) -> Tensor:
        """Normalize x [K, B, C]; in training mode with the batch's statistics, otherwise with the running ones."""
        if self.training and len(sizes := self._split(x.shape[1])) > 1:
            return normalize_parts(x, sizes, self)
        uses_statistics = self.keeps_statistics or not self.training
        y = F.batch_norm(
            x.transpose(1, 2).reshape(1, -1, x.shape[1]),  # [1, K*C, B]
            self.running_mean.view(-1) if uses_statistics else None,
            self.running_var.view(-1) if uses_statistics else None,
            self.weight.view(-1),
            self.bias.view(-1),
            self.training,
            self.momentum,
            self.eps,
        )
        return y.view(len(self.weight), -1, x.shape[1]).transpose(1, 2)


class LayerNorm(nn.Module):
    """y = (x - mean) / sqrt(variance + eps) * weight + bias over the features; torch.nn.LayerNorm.

    Ba, Kiros and Hinton 2016.
    """

    def __init__(self, num_runs: int, features: int, eps: float) -> None:
        """Make the layers of K = `num_runs` runs."""
        super().__init__()
        self.eps = eps
        self.weight = nn.Parameter(torch.ones(num_runs, features))
        self.bias = nn.Parameter(torch.zeros(num_runs, features))

    def forward(self, x: Tensor) -> Tensor:
        """Normalize x [K, B, C] over its features."""
        normalized = F.layer_norm(x, x.shape[-1:], eps=self.eps)
        return torch.addcmul(self.bias.unsqueeze(1), normalized, self.weight.unsqueeze(1))


class GroupNorm(nn.Module):
    """y = (x - mean) / sqrt(variance + eps) * weight + bias over each group of features; torch.nn.GroupNorm.

    Wu and He 2018.
    """

    def __init__(self, num_runs: int, groups: int, features: int, eps: float) -> None:
        """Make the layers of K = `num_runs` runs."""
        super().__init__()
        self.groups, self.eps = groups, eps
        self.weight = nn.Parameter(torch.ones(num_runs, features))
        self.bias = nn.Parameter(torch.zeros(num_runs, features))

    def forward(self, x: Tensor) -> Tensor:
        """Normalize x [K, B, C] over the C / groups features of each group."""
        grouped = x.unflatten(2, (self.groups, -1))
        normalized = F.layer_norm(grouped, grouped.shape[-1:], eps=self.eps).flatten(2)
        return torch.addcmul(self.bias.unsqueeze(1), normalized, self.weight.unsqueeze(1))


class RMSNorm(nn.Module):
    """y = x / sqrt(mean of x^2 + eps) * weight over the features; torch.nn.RMSNorm.

    Zhang and Sennrich 2019.
    """

    def __init__(self, num_runs: int, features: int, eps: float) -> None:
        """Make the layers of K = `num_runs` runs."""
        super().__init__()
        self.eps = eps
        self.weight = nn.Parameter(torch.ones(num_runs, features))

    def forward(self, x: Tensor) -> Tensor:
        """Normalize x [K, B, C] over its features."""
        return F.rms_norm(x, x.shape[-1:], eps=self.eps) * self.weight.unsqueeze(1)
