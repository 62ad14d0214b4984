"""Matrix products by the fastest of torch's routines on this device.

On a CPU, torch multiplies float32 matrices with MKL, which leaves half of the vector units of AMD's processors idle.
oneDNN, which torch also contains, uses them all. torch calls it through the operator below in models that it compiles.
"""

import torch
from torch import Tensor

_ONEDNN = getattr(torch.ops.mkldnn, "_linear_pointwise", None) if torch.backends.mkldnn.is_available() else None
# Below this many multiplications, oneDNN's preparations take longer than the product, and so does a call for each run.
_MIN_MULTIPLICATIONS = 2**20
# Rows computed at a time where they are copied afterwards, so that they are still in the processor's cache.
_ROWS_AT_ONCE = 1024


def matmul(a: Tensor, b: Tensor, out: Tensor | None = None) -> Tensor:
    """Return a b^T for a [m, n] and b [p, n]: [m, p], written into `out` where it is given."""
    if (
        _ONEDNN is not None
        and a.dtype == torch.float32
        and a.device.type == "cpu"
        and a.numel() * b.shape[0] >= _MIN_MULTIPLICATIONS
    ):
        if out is None:
            result: Tensor = _ONEDNN(a, b, None, "none", [], "")
            return result
        for rows, out_rows in zip(a.split(_ROWS_AT_ONCE), out.split(_ROWS_AT_ONCE), strict=True):
            out_rows.copy_(_ONEDNN(rows, b, None, "none", [], ""))
        return out
    if out is None or out.dtype == a.dtype:
        return torch.mm(a, b.t(), out=out)
    return out.copy_(torch.mm(a, b.t()))


def batched_matmul(a: Tensor, b: Tensor, out: Tensor | None = None) -> Tensor:
    """Return a_k b_k^T for every k, for a [K, m, n] and b [K, p, n]: [K, m, p], written into `out` if given."""
    if a.shape[0] == 1:
        return matmul(a[0], b[0], None if out is None else out[0]).unsqueeze(0)
    if a.device.type == "cpu" and a[0].numel() * b.shape[1] >= _MIN_MULTIPLICATIONS:
        result = torch.empty(*a.shape[:2], b.shape[1], dtype=a.dtype) if out is None else out
        for a_k, b_k, result_k in zip(a, b, result, strict=True):
            matmul(a_k, b_k, out=result_k)
        return result
    if out is None or out.dtype == a.dtype:
        return torch.bmm(a, b.transpose(1, 2), out=out)
    return out.copy_(torch.bmm(a, b.transpose(1, 2)))
