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


ACTIVATIONS: dict[str, type[nn.Module]] = {
    "relu": nn.ReLU,
    "gelu": nn.GELU,
    "tanh": nn.Tanh,
    "sigmoid": nn.Sigmoid,
    "silu": nn.SiLU,
    "leaky_relu": nn.LeakyReLU,
}
