"""Matrix products by the quickest of torch's routines on this device.

On a processor, torch multiplies float32 matrices by MKL, which on AMD's leaves half of the vector units idle; oneDNN,
which torch also brings, does not. torch itself reaches it by this operator, for models that it compiles.
"""

import torch
from torch import Tensor

_ONEDNN = getattr(torch.ops.mkldnn, "_linear_pointwise", None) if torch.backends.mkldnn.is_available() else None
# Of fewer multiplications than this, oneDNN's preparations take longer than the product, and so does one call a run.
_LARGE = 2**20
# Rows computed at a time where they are to be copied: what is copied is then still in the processor's cache.
_ROWS = 1024


def matmul(a: Tensor, b: Tensor, out: Tensor | None = None) -> Tensor:
    """a b^T: [m, n], [p, n] -> [m, p]; into `out`, where it is given."""
    if _ONEDNN is not None and a.dtype == torch.float32 and a.device.type == "cpu" and a.numel() * b.shape[0] >= _LARGE:
        if out is None:
            result: Tensor = _ONEDNN(a, b, None, "none", [], "")
            return result
        for rows, into in zip(a.split(_ROWS), out.split(_ROWS), strict=True):
            into.copy_(_ONEDNN(rows, b, None, "none", [], ""))
        return out
    if out is None or out.dtype == a.dtype:
        return torch.mm(a, b.t(), out=out)
    return out.copy_(torch.mm(a, b.t()))


def batched_matmul(a: Tensor, b: Tensor, out: Tensor | None = None) -> Tensor:
    """a_k b_k^T for every k: [K, m, n], [K, p, n] -> [K, m, p]; into `out`, where it is given."""
    if a.shape[0] == 1:
        return matmul(a[0], b[0], None if out is None else out[0]).unsqueeze(0)
    if a.device.type == "cpu" and a[0].numel() * b.shape[1] >= _LARGE:
        result = torch.empty(*a.shape[:2], b.shape[1], dtype=a.dtype) if out is None else out
        for own, other, into in zip(a, b, result, strict=True):
            matmul(own, other, out=into)
        return result
    if out is None or out.dtype == a.dtype:
        return torch.bmm(a, b.transpose(1, 2), out=out)
    return out.copy_(torch.bmm(a, b.transpose(1, 2)))
