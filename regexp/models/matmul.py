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


def batched_matmul(a: Tensor, b: Tensor, out: Tensor | None = None) -> Tensor:
    """Return a_k b_k^T for every k, for a [K, m, n] and b [K, p, n]: [K, m, p], written into `out` if given."""
    if _ONEDNN is not None and a.dtype == torch.float32 and a.device.type == "cpu":
        multiplications = a.shape[1] * a.shape[2] * b.shape[1]
        if len(a) == 1 and out is None and multiplications >= _MIN_MULTIPLICATIONS:
            product: Tensor = _ONEDNN(a[0], b[0], None, "none", [], "")
            return product.unsqueeze(0)
        if multiplications >= _MIN_COPIED_MULTIPLICATIONS:
            out = a.new_empty(len(a), a.shape[1], b.shape[1]) if out is None else out
            for a_k, b_k, out_k in zip(a, b, out, strict=True):
                for rows, out_rows in zip(a_k.split(_ROWS_AT_ONCE), out_k.split(_ROWS_AT_ONCE), strict=True):
                    out_rows.copy_(_ONEDNN(rows, b_k, None, "none", [], ""))
            return out
    if out is None or out.dtype == a.dtype:
        return torch.bmm(a, b.mT, out=out)
    return out.copy_(torch.bmm(a, b.mT))
