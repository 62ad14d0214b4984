"""Matrix products by the fastest of torch's routines on this device.

On a CPU, torch multiplies float32 matrices with MKL, which on AMD's processors takes up to twice as long as oneDNN,
depending on processor and shape. torch contains oneDNN and calls it, in models that it compiles, through the operator
below. The operator cannot write into a given tensor, so a copy comes on top.
"""

import torch
from torch import Tensor

_ONEDNN = getattr(torch.ops.mkldnn, "_linear_pointwise", None) if torch.backends.mkldnn.is_available() else None
# Below this many multiplications, oneDNN's preparations take longer than the product, and so does a call for each run;
# below the second number, also the copy takes longer than what oneDNN gains.
_MIN_MULTIPLICATIONS, _MIN_COPIED_MULTIPLICATIONS = 2**20, 2**24
# Rows computed at a time where they are copied afterwards, so that they are still in the processor's cache.
_ROWS_AT_ONCE = 512


def batched_matmul(a: Tensor, b: Tensor, bias: Tensor | None = None, out: Tensor | None = None) -> Tensor:
    """Return a_k b_k^T + bias_k for every k.

    Args:
        a: [K, m, n].
        b: [K, p, n].
        bias: [K, m, 1]; None for none. Not together with `out`.
        out: [K, m, p], to write the result into; it may have another type.

    Returns:
        [K, m, p].
    """
    count, rows, columns = a.shape
    multiplications = rows * columns * b.shape[1]
    is_large = multiplications >= (_MIN_MULTIPLICATIONS if count == 1 and out is None else _MIN_COPIED_MULTIPLICATIONS)
    if is_large and _ONEDNN is not None and a.dtype == torch.float32 and a.device.type == "cpu":
        product = _multiply_with_onednn(a, b, out)
        return product if bias is None else product.add_(bias)
    if bias is not None:
        return torch.baddbmm(bias, a, b.mT)
    if out is None or out.dtype == a.dtype:
        return torch.bmm(a, b.mT, out=out)
    return out.copy_(torch.bmm(a, b.mT))


def _multiply_with_onednn(a: Tensor, b: Tensor, out: Tensor | None) -> Tensor:
    """Return a_k b_k^T for every k. Arguments as in batched_matmul."""
    assert _ONEDNN is not None
    if len(a) == 1 and out is None:
        product: Tensor = _ONEDNN(a[0], b[0], None, "none", [], "")
        return product.unsqueeze(0)
    out = a.new_empty(len(a), a.shape[1], b.shape[1]) if out is None else out
    for a_k, b_k, out_k in zip(a, b, out, strict=True):
        for rows, out_rows in zip(a_k.split(_ROWS_AT_ONCE), out_k.split(_ROWS_AT_ONCE), strict=True):
            out_rows.copy_(_ONEDNN(rows, b_k, None, "none", [], ""))
    return out
