"""Stacked layers: torch's layers, with a leading run axis of length K on every parameter and buffer.

Slice k of every tensor is run k's and loads unchanged into the torch layer of the same name. Runs share no parameters,
so the backward pass of the sum of their losses gives each run its own gradient.

Activations have the shape [K, B, C] and are stored as [K, C, B]: a product of stacked weights gives W x^T, the weight's
gradient comes out in the weight's own layout, and each channel of BatchNorm is contiguous.
"""

from collections.abc import Sequence
from functools import lru_cache
from typing import Any

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from regexp.models.matmul import batched_matmul
from regexp.utils.keyed_draws import keyed_draws

# Dropout masks are made for as many steps at a time as have this many entries: on a CPU they stay within the cache, on
# other devices a step has fewer operations.
_MASK_ENTRIES = {"cpu": 2**18}
_DEFAULT_MASK_ENTRIES = 2**22


class Linear(nn.Module):
    """y_k = x_k W_k^T + b_k for every run k; torch.nn.Linear.

    backward() overwrites the gradients of weight and bias and does not add to them: a step has one backward pass, and
    adding costs two more passes over the memory.
    """

    def __init__(self, num_runs: int, in_features: int, out_features: int) -> None:
        """Make the layers of K = `num_runs` runs, uninitialized."""
        super().__init__()
        self.weight = nn.Parameter(torch.empty(num_runs, out_features, in_features))
        self.bias = nn.Parameter(torch.empty(num_runs, out_features))

    def forward(self, x: Tensor, runs_per_slice: Sequence[int] = ()) -> Tensor:
        """Apply every run's layer.

        Args:
            x: [S, B, in].
            runs_per_slice: [S], how many consecutive runs read each slice of x; needed where S is neither 1 nor K.

        Returns:
            [K, B, out].
        """
        num_runs, num_slices = len(self.weight), len(x)
        sizes = list(runs_per_slice) if 1 < num_slices < num_runs else [num_runs // num_slices] * num_slices
        if len(set(sizes)) > 1 and x.device.type != "cpu":
            # A GPU is quicker with one product than with one for each slice; a CPU is not.
            x, sizes = x.index_select(0, _slice_of_run(tuple(sizes), x.device)), [1] * num_runs  # [K, B, in]
        y: Tensor = _StackedLinear.apply(x, self.weight, self.bias, sizes)  # [K, out, B]
        return y.transpose(1, 2)


@lru_cache(maxsize=16)
def _slice_of_run(runs_per_slice: tuple[int, ...], device: torch.device) -> Tensor:
    """Return the slice that each run reads, [K]. Cached, because a copy to a GPU would make every step wait."""
    return torch.arange(len(runs_per_slice)).repeat_interleave(torch.tensor(runs_per_slice)).to(device)


class _StackedLinear(torch.autograd.Function):
    """W_k x_s^T + b_k for each of the sizes[s] runs k that read slice s.

    Takes x [S, B, in], weight [K, out, in] and bias [K, out], and returns [K, out, B]. The weights of the runs that
    read the same slice are one matrix, [runs * out, in].
    """

    @staticmethod
    def forward(ctx: Any, x: Tensor, weight: Tensor, bias: Tensor, sizes: Sequence[int]) -> Tensor:
        ctx.weight, ctx.bias, ctx.sizes = weight, bias, sizes
        if torch.is_autocast_enabled(x.device.type):
            dtype = torch.get_autocast_dtype(x.device.type)
            x, weight, bias = x.to(dtype), weight.to(dtype), bias.to(dtype)
        ctx.save_for_backward(x, weight)
        products = [
            batched_matmul(w.reshape(len(x_b), -1, w.shape[2]), x_b).view(len(w), -1, x_b.shape[1])
            for x_b, w in _split_blocks(sizes, x, weight)
        ]
        return _join_blocks(products).add_(bias.unsqueeze(2))

    @staticmethod
    def backward(ctx: Any, *gradients: Tensor) -> tuple[Tensor | None, None, None, None]:
        x, weight = ctx.saved_tensors
        (grad_y,) = gradients  # [K, out, B]
        for parameter in (ctx.weight, ctx.bias):
            if parameter.grad is None:
                parameter.grad = torch.empty_like(parameter)
        torch.sum(grad_y, 2, out=ctx.bias.grad)
        grad_x = []
        for x_b, w, grad_w, grad_y_b in _split_blocks(ctx.sizes, x, weight, ctx.weight.grad, grad_y):
            matrices = grad_y_b.reshape(len(x_b), -1, x_b.shape[1])  # [slices, runs * out, B]
            batched_matmul(matrices, x_b.mT, out=grad_w.view(len(x_b), -1, x_b.shape[2]))
            if ctx.needs_input_grad[0]:
                # oneDNN would be slower: one of its matrices is transposed.
                grad_x.append(torch.bmm(w.reshape(len(x_b), -1, x_b.shape[2]).mT, matrices).mT)
        return _join_blocks(grad_x) if grad_x else None, None, None, None


def _split_blocks(sizes: Sequence[int], x: Tensor, *tensors: Tensor) -> list[tuple[Tensor, ...]]:
    """Split x [S, ...] and tensors [K, ...] so that the slices of a block are read by equal numbers of runs.

    Args:
        sizes: [S], how many consecutive runs read each slice; where all are equal, there is one block.
        x: the slices.
        tensors: tensors of the runs.

    Returns:
        The parts of x and of the tensors in each block.
    """
    if len(set(sizes)) == 1:
        return [(x, *tensors)]
    return list(zip(x.split(1), *(tensor.split(sizes) for tensor in tensors), strict=True))


def _join_blocks(parts: Sequence[Tensor]) -> Tensor:
    """Join what was computed for each block, without a copy where there is only one."""
    return parts[0] if len(parts) == 1 else torch.cat(list(parts))


class BatchNorm(nn.Module):
    """y = (x - mean) / sqrt(variance + eps) * weight + bias over the batch, per run; torch.nn.BatchNorm1d.

    Ioffe and Szegedy 2015. K runs of C channels are one batch norm of K * C channels.
    """

    running_mean: Tensor
    running_var: Tensor
    num_batches_tracked: Tensor

    def __init__(self, num_runs: int, features: int, eps: float, momentum: float) -> None:
        """Make the layers of K = `num_runs` runs."""
        super().__init__()
        self.eps, self.momentum = eps, momentum
        self.weight = nn.Parameter(torch.ones(num_runs, features))
        self.bias = nn.Parameter(torch.zeros(num_runs, features))
        self.register_buffer("running_mean", torch.zeros(num_runs, features))
        self.register_buffer("running_var", torch.ones(num_runs, features))
        self.register_buffer("num_batches_tracked", torch.zeros(num_runs, dtype=torch.long))

    def begin_epoch(self, steps: int) -> None:
        """Count the steps of an epoch. Counting each step would be one more operation."""
        self.num_batches_tracked += steps

    def forward(self, x: Tensor) -> Tensor:
        """Normalize x [K, B, C]; in training mode with the batch's statistics, otherwise with the running ones."""
        y = F.batch_norm(
            x.transpose(1, 2).reshape(1, -1, x.shape[1]),  # [1, K*C, B]
            self.running_mean.view(-1),
            self.running_var.view(-1),
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


class Dropout(nn.Module):
    """Dropout, which zeroes entries of run k with probability p_k and divides the rest by 1 - p_k; torch.nn.Dropout.

    Hinton et al. 2012. Masks are keyed draws: each run has a key for every step. So they are the same bits on any
    device, in any cohort and in any precision. Each entry is decided by 16 random bits, so its probability is p to
    within 2^-16.

    Attributes:
        features: the number of features, C.
        thresholds: [K, 1, 1], the smallest of the 16-bit draws that keep an entry.
        scale: [K, 1, 1], 1 / (1 - p), the factor of kept entries.
        keys: [K, steps, 2], the keys of an epoch's steps.
        masks: [K, steps, draws], the masks of some steps, beginning with `first_step`.
        probabilities: [K], the probability of each run, on the host: reading it from a GPU would wait.
        step: the number of the epoch's next step, counted from 0.
    """

    thresholds: Tensor
    scale: Tensor
    keys: Tensor
    masks: Tensor

    def __init__(self, features: int, p: Tensor) -> None:
        """Make the layers of K runs with probabilities `p` [K], each below 1."""
        super().__init__()
        self.features, self.probabilities = features, p.tolist()
        thresholds = (p * 2**16).round().clamp(max=2**16 - 1) - 2**15
        self.register_buffer("thresholds", thresholds.to(torch.int16).view(-1, 1, 1), persistent=False)
        self.register_buffer("scale", (1 / (1 - p)).view(-1, 1, 1), persistent=False)
        self.register_buffer("keys", torch.empty(len(p), 0, 2, dtype=torch.int32), persistent=False)
        self.register_buffer("masks", torch.empty(len(p), 0, 0), persistent=False)
        self.step = self.first_step = 0

    def begin_epoch(self, table: Tensor, keys: Tensor) -> None:
        """Set the draws of an epoch.

        Args:
            table: [words], int32, of at least B * C draws.
            keys: [K, steps, 2], int32.
        """
        self._table, self.keys, self.step = table, keys, 0
        self.masks, self.first_step = torch.empty(len(keys), 0, 0), 0

    def forward(self, x: Tensor) -> Tensor:
        """Drop entries of x [K, B, C] in training mode; otherwise return x. Each call is one step of the epoch.

        After the last step the first one follows again, for who only measures time.

        Raises:
            RuntimeError: no epoch has begun.
        """
        if not self.training or not any(self.probabilities):
            return x
        num_runs, num_steps, _ = self.keys.shape
        if num_steps == 0:
            raise RuntimeError("dropout has no draws: call begin_epoch before the first step of an epoch")
        step = self.step % num_steps
        if not self.first_step <= step < self.first_step + self.masks.shape[1]:
            max_entries = _MASK_ENTRIES.get(x.device.type, _DEFAULT_MASK_ENTRIES)
            steps_at_once = max(1, max_entries // (num_runs * 2 * len(self._table)))
            draws = keyed_draws(self._table, self.keys[:, step : step + steps_at_once])  # [K, steps, draws]
            # In place, because comparing into bool takes 25 times longer.
            self.masks = draws.ge_(self.thresholds) * self.scale.to(x.dtype)
            self.first_step = step
        self.step += 1
        batch = x.shape[1]
        mask = self.masks[:, step - self.first_step, : self.features * batch]
        return x * mask.view(num_runs, self.features, batch).transpose(1, 2)  # laid out as x is stored, [K, C, B]


ACTIVATIONS: dict[str, type[nn.Module]] = {
    "relu": nn.ReLU,
    "gelu": nn.GELU,
    "tanh": nn.Tanh,
    "sigmoid": nn.Sigmoid,
    "silu": nn.SiLU,
    "leaky_relu": nn.LeakyReLU,
}
