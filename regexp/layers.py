"""Stacked layers: torch's own, with a leading run axis of length K on every parameter and buffer.

Slice k of every tensor is run k's and loads unchanged into the torch layer of the same name. Runs share no parameters,
so the sum of their losses gives each its own gradient.
"""

from collections.abc import Sequence

import torch
import torch.nn.functional as F
from torch import Tensor, nn


class Linear(nn.Module):
    """y_k = x_k W_k^T + b_k for every run k; torch.nn.Linear.

    Args:
        runs: K.
        in_features, out_features: of each run.
    """

    def __init__(self, runs: int, in_features: int, out_features: int) -> None:
        super().__init__()
        self.weight = nn.Parameter(torch.empty(runs, out_features, in_features))
        self.bias = nn.Parameter(torch.empty(runs, out_features))

    def forward(self, x: Tensor, sharing: Sequence[int] = ()) -> Tensor:
        """[S, B, in] -> [K, B, out].

        `sharing` [S] says how many consecutive runs read each slice of x; it is needed where S is neither 1 nor K.
        """
        runs = len(self.weight)
        if len(x) == runs > 1:
            # W x^T and not x W^T: its weight gradient comes out in the weight's own layout, at half the cost.
            return torch.baddbmm(self.bias.unsqueeze(2), self.weight, x.transpose(1, 2)).transpose(1, 2)
        if len(x) == 1:
            return _shared(x.squeeze(0), self.weight, self.bias)
        sizes = list(sharing)
        weights, biases = self.weight.split(sizes), self.bias.split(sizes)
        return torch.cat([_shared(*slices) for slices in zip(x, weights, biases, strict=True)])


def _shared(x: Tensor, weight: Tensor, bias: Tensor) -> Tensor:
    """[B, in] for all of k runs -> [k, B, out], stored as [B, k, out].

    One large product: the runs' weights stand on top of each other.
    """
    return _unfold(F.linear(x, weight.view(-1, weight.shape[2]), bias.view(-1)), len(weight))


# Kernels that know no runs see them side by side. One run needs one view less: views cost as much as a small kernel.
def _fold(x: Tensor) -> Tensor:
    """[k, B, C] -> [B, k*C]; no copy where it was stored so."""
    return x.squeeze(0) if len(x) == 1 else x.transpose(0, 1).flatten(1)


def _unfold(y: Tensor, runs: int) -> Tensor:
    """[B, k*C] -> [k, B, C], stored as it was."""
    return y.unsqueeze(0) if runs == 1 else y.view(len(y), runs, -1).transpose(0, 1)


class BatchNorm(nn.Module):
    """y = (x - mean) / sqrt(variance + eps) * weight + bias over the batch, per run; torch.nn.BatchNorm1d.

    Ioffe and Szegedy 2015. K runs of C channels are one batch norm of K * C channels.
    """

    running_mean: Tensor
    running_var: Tensor
    num_batches_tracked: Tensor

    def __init__(self, runs: int, features: int, eps: float, momentum: float) -> None:
        super().__init__()
        self.eps, self.momentum = eps, momentum
        self.weight = nn.Parameter(torch.ones(runs, features))
        self.bias = nn.Parameter(torch.zeros(runs, features))
        self.register_buffer("running_mean", torch.zeros(runs, features))
        self.register_buffer("running_var", torch.ones(runs, features))
        self.register_buffer("num_batches_tracked", torch.zeros(runs, dtype=torch.long))

    def forward(self, x: Tensor) -> Tensor:
        """[K, B, C] -> [K, B, C]."""
        if self.training:
            self.num_batches_tracked += 1
        y = F.batch_norm(
            _fold(x),
            self.running_mean.view(-1),
            self.running_var.view(-1),
            self.weight.view(-1),
            self.bias.view(-1),
            self.training,
            self.momentum,
            self.eps,
        )
        return _unfold(y, len(self.weight))


class LayerNorm(nn.Module):
    """y = (x - mean) / sqrt(variance + eps) * weight + bias over the features; torch.nn.LayerNorm.

    Ba, Kiros and Hinton 2016.
    """

    def __init__(self, runs: int, features: int, eps: float) -> None:
        super().__init__()
        self.eps = eps
        self.weight = nn.Parameter(torch.ones(runs, features))
        self.bias = nn.Parameter(torch.zeros(runs, features))

    def forward(self, x: Tensor) -> Tensor:
        """[K, B, C] -> [K, B, C]."""
        normal = F.layer_norm(x, x.shape[-1:], eps=self.eps)
        return torch.addcmul(self.bias.unsqueeze(1), normal, self.weight.unsqueeze(1))


class Dropout(nn.Module):
    """Zero each entry of run k with probability p_k and divide the rest by 1 - p_k; torch.nn.Dropout.

    Hinton et al. 2012. Each run draws from a generator of its own, set anew for every epoch, so that its masks are
    the same bits in any cohort. The draw is in float32 whatever the precision.
    """

    p: Tensor

    def __init__(self, p: Tensor) -> None:
        """`p` [K]: probabilities below 1."""
        super().__init__()
        self.register_buffer("p", p, persistent=False)
        self.probabilities: list[float] = p.tolist()  # a copy on the host: reading `p` there would wait for the GPU
        self.generators: Sequence[torch.Generator] = ()

    def forward(self, x: Tensor) -> Tensor:
        """[K, B, C] -> [K, B, C]."""
        if not self.training or not any(self.probabilities):
            return x
        draws = torch.ones(x.shape, device=x.device)
        for row, p, generator in zip(draws, self.probabilities, self.generators, strict=True):
            if p > 0:
                row.uniform_(generator=generator)
        threshold = self.p.view(-1, 1, 1)
        return x * (draws >= threshold).to(x.dtype).div_(1 - threshold)


ACTIVATIONS: dict[str, type[nn.Module]] = {
    "relu": nn.ReLU,
    "gelu": nn.GELU,
    "tanh": nn.Tanh,
    "sigmoid": nn.Sigmoid,
    "silu": nn.SiLU,
    "leaky_relu": nn.LeakyReLU,
}
