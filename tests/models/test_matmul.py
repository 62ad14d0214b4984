"""Matrix products by the fastest routine available, against products in float64."""

import pytest
import torch
from torch import nn
from torch.testing import assert_close

from regexp.models import matmul as routines
from regexp.models.layers import Linear
from regexp.models.matmul import batched_matmul

# [m, n, p] with fewer multiplications than _MIN_MULTIPLICATIONS, with as many, and with as many as
# _MIN_COPIED_MULTIPLICATIONS; the last with more rows than _ROWS_AT_ONCE.
SIZES = [(3, 4, 5), (1, 784, 1), (200, 784, 64), (400, 784, 64), (1500, 200, 64)]


@pytest.mark.parametrize("onednn", [True, False])
@pytest.mark.parametrize("dtype", [torch.float32, torch.float64, torch.bfloat16])
@pytest.mark.parametrize("size", SIZES, ids=str)
@pytest.mark.parametrize("transposed", [False, True])
def test_products_equal_float64_products(
    monkeypatch: pytest.MonkeyPatch, size: tuple[int, int, int], dtype: torch.dtype, transposed: bool, onednn: bool
) -> None:
    if not onednn:
        monkeypatch.setattr(routines, "_ONEDNN", None)
    m, n, p = size
    a = torch.randn(2, n, m, dtype=dtype).mT if transposed else torch.randn(2, m, n, dtype=dtype)
    b = torch.randn(2, n, p, dtype=dtype).mT if transposed else torch.randn(2, p, n, dtype=dtype)
    expected = a.double() @ b.double().mT
    # Every addition rounds; bfloat16 keeps 8 bits.
    tolerances = {"rtol": 2e-2 if dtype == torch.bfloat16 else 1e-4, "atol": (0.2 if dtype == torch.bfloat16 else 1e-3)}
    for out in (None, torch.full((2, m, p), torch.nan, dtype=torch.float32 if dtype == torch.bfloat16 else dtype)):
        for runs in (1, 2):
            products = batched_matmul(a[:runs], b[:runs], out=None if out is None else out[:runs])
            assert_close(products.double(), expected[:runs], **tolerances)
            assert out is None or products.data_ptr() == out.data_ptr()
    bias = torch.randn(2, m, 1, dtype=dtype)
    for runs in (1, 2):
        sums = batched_matmul(a[:runs], b[:runs], bias[:runs])
        assert_close(sums.double(), (expected + bias)[:runs], **tolerances)


@pytest.mark.skipif(routines._ONEDNN is None, reason="this torch has no oneDNN")
@pytest.mark.parametrize("runs_per_stream", [[3], [1, 1, 1], [2, 1]], ids=str)
def test_large_layers_in_float32_equal_torchs(runs_per_stream: list[int]) -> None:
    layer, x = Linear(3, 784, 128), torch.randn(len(runs_per_stream), 64, 784, requires_grad=True)
    for parameter in layer.parameters():
        nn.init.normal_(parameter, std=0.05)
    upstream = torch.randn(3, 64, 128)
    layer(x, runs_per_stream).backward(upstream)
    x_copy = x.detach().clone().requires_grad_()
    for k, s in enumerate(s for s, runs in enumerate(runs_per_stream) for _ in range(runs)):
        plain_layer = nn.Linear(784, 128)
        plain_layer.load_state_dict({name: tensor[k] for name, tensor in layer.state_dict().items()})
        expected = plain_layer(x_copy[s])
        expected.backward(upstream[k])
        assert_close(layer(x, runs_per_stream)[k], expected, rtol=1e-4, atol=1e-4)
        assert_close(layer.weight.grad[k], plain_layer.weight.grad, rtol=1e-4, atol=1e-4)
        assert_close(layer.bias.grad[k], plain_layer.bias.grad, rtol=1e-4, atol=1e-4)
    assert_close(x.grad, x_copy.grad, rtol=1e-4, atol=1e-4)


def test_a_second_backward_pass_overwrites_the_gradients() -> None:
    layer = Linear(2, 3, 4).double()
    for parameter in layer.parameters():
        nn.init.normal_(parameter)
    x = torch.randn(2, 5, 3, dtype=torch.float64)
    layer(x).sum().backward()
    first = [parameter.grad.clone() for parameter in layer.parameters()]
    addresses = [parameter.grad.data_ptr() for parameter in layer.parameters()]
    layer(2 * x).sum().backward()
    assert_close(layer.weight.grad, 2 * first[0])
    assert_close(layer.bias.grad, first[1])
    assert [parameter.grad.data_ptr() for parameter in layer.parameters()] == addresses
