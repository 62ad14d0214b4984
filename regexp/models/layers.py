"""Stacked layers: torch's layers, with a leading run axis of length K on every parameter and buffer.

Slice k of every tensor is run k's and loads unchanged into the torch layer of the same name. Runs share no parameters,
so the backward pass of the sum of their losses gives each run its own gradient.

Activations have the shape [K, B, C] and are stored as [K, C, B]: a product of stacked weights gives W x^T, the weight's
gradient comes out in the weight's own layout, and each channel of BatchNorm is contiguous.
"""

from collections.abc import Sequence
from typing import Any

import torch
from torch import Tensor, nn

from regexp.models.matmul import batched_matmul
from regexp.models.stacking import slice_of_run
from regexp.utils.device import refill
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
        uneven_sizes: Sequence[int] = ()
        if 1 < num_slices < num_runs and len(set(runs_per_slice)) > 1:
            if x.device.type == "cpu":
                uneven_sizes = runs_per_slice
            else:  # a GPU is quicker with one product than with one for each slice
                x = x.index_select(0, slice_of_run(tuple(runs_per_slice), x.device))  # [K, B, in]
        y: Tensor = _StackedLinear.apply(x, self.weight, self.bias, uneven_sizes)  # [K, out, B]
        return y.transpose(1, 2)


class _StackedLinear(torch.autograd.Function):
    """W_k x_s^T + b_k for each run k and the slice s that it reads.

    Takes x [S, B, in], weight [K, out, in] and bias [K, out], and returns [K, out, B]. Where every slice is read by
    K / S runs, `uneven_sizes` is empty; otherwise it is [S], how many consecutive runs read each slice. The weights of
    the runs that read the same slice are one matrix, [runs * out, in].
    """

    @staticmethod
    def forward(ctx: Any, x: Tensor, weight: Tensor, bias: Tensor, uneven_sizes: Sequence[int]) -> Tensor:
        ctx.weight, ctx.bias, ctx.uneven_sizes = weight, bias, uneven_sizes
        if torch.is_autocast_enabled(x.device.type):
            dtype = torch.get_autocast_dtype(x.device.type)
            x, weight, bias = x.to(dtype), weight.to(dtype), bias.to(dtype)
        ctx.save_for_backward(x, weight)
        if uneven_sizes:
            sizes = list(uneven_sizes)
            return torch.cat(list(map(_multiply, x.split(1), weight.split(sizes), bias.split(sizes))))
        return _multiply(x, weight, bias)

    @staticmethod
    def backward(ctx: Any, *gradients: Tensor) -> tuple[Tensor | None, None, None, None]:
        x, weight = ctx.saved_tensors
        (grad_y,) = gradients  # [K, out, B]
        for parameter in (ctx.weight, ctx.bias):
            if parameter.grad is None:
                parameter.grad = torch.empty_like(parameter)
        torch.sum(grad_y, 2, out=ctx.bias.grad)
        if not ctx.uneven_sizes:
            _write_weight_gradient(x, grad_y, ctx.weight.grad)
            return _x_gradient(x, weight, grad_y) if ctx.needs_input_grad[0] else None, None, None, None
        slices, sizes = x.split(1), list(ctx.uneven_sizes)
        for x_s, grad_y_s, grad_weight_s in zip(slices, grad_y.split(sizes), ctx.weight.grad.split(sizes), strict=True):
            _write_weight_gradient(x_s, grad_y_s, grad_weight_s)
        grad_x = None
        if ctx.needs_input_grad[0]:
            grad_x = torch.cat(list(map(_x_gradient, slices, weight.split(sizes), grad_y.split(sizes))))
        return grad_x, None, None, None


# In the functions below, x is [S, B, in], weight [K, out, in] and bias [K, out]; K / S runs read each slice of x. The
# weights of the runs that read a slice are one matrix, [runs * out, in].


def _multiply(x: Tensor, weight: Tensor, bias: Tensor) -> Tensor:
    """Return W_k x_s^T + b_k, [K, out, B]."""
    count = len(x)
    y = batched_matmul(weight.view(count, -1, weight.shape[2]), x, bias.view(count, -1, 1))  # [S, runs * out, B]
    return y.view(len(weight), -1, x.shape[1])


def _write_weight_gradient(x: Tensor, grad_y: Tensor, grad_weight: Tensor) -> None:
    """Write the gradient of weight into `grad_weight` [K, out, in], given that of the result [K, out, B]."""
    count, batch_size, in_features = x.shape
    batched_matmul(grad_y.reshape(count, -1, batch_size), x.mT, out=grad_weight.view(count, -1, in_features))


def _x_gradient(x: Tensor, weight: Tensor, grad_y: Tensor) -> Tensor:
    """Return the gradient of x, given that of the result [K, out, B]."""
    count, batch_size, in_features = x.shape
    # oneDNN would be slower here, because one of its matrices is transposed.
    return torch.bmm(weight.view(count, -1, in_features).mT, grad_y.reshape(count, -1, batch_size)).mT


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
        self._table = torch.empty(0, dtype=torch.int32)  # has no run axis, so it is not a buffer
        self.register_buffer("keys", torch.empty(len(p), 0, 2, dtype=torch.int32), persistent=False)
        self.register_buffer("masks", torch.empty(len(p), 0, 0), persistent=False)
        self.step = self.first_step = 0

    def begin_epoch(self, table: Tensor, keys: Tensor) -> None:
        """Set the draws of an epoch.

        Args:
            table: [words], int32, of at least B * C draws.
            keys: [K, steps, 2], int32.
        """
        # In their place, because the steps of a captured graph read them there.
        self._table, self.keys = refill(self._table, table), refill(self.keys, keys)
        self.masks, self.step, self.first_step = torch.empty(len(keys), 0, 0), 0, 0

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
