"""The least that K runs of one hidden layer could take: products, the optimizer and images, and nothing else."""

from collections.abc import Callable

import torch

from regexp.models.matmul import matmul
from regexp.training.batches import batches
from regexp.training.cohort import Cohort


def floor(cohort: Cohort) -> Callable[[], None]:
    """An epoch of as many runs on the same image streams: forward and weight-gradient products, fused Adam, images.

    No normalization, activation, loss, dropout or backward pass: gradients of activations are random and stay the same.
    """
    shape, runs, batch_size = cohort.model.architecture, len(cohort.members), cohort.batch_size
    data, streams, sharing, dtype = cohort.dataset.train, cohort.streams, cohort.sharing, cohort.compute.dtype
    [hidden] = shape.hidden_sizes
    first = torch.randn(runs, hidden, shape.in_features) * shape.in_features**-0.5  # [K, hidden, in]
    second = torch.randn(runs, shape.classes, hidden) * hidden**-0.5  # [K, classes, hidden]
    weights = [first, second]
    slopes, means, squares = ([torch.zeros_like(weight) for weight in weights] for _ in range(3))
    counts = [torch.tensor(0.0)] * len(weights)
    # As layers store them: [K, out, B].
    h, g1, g2 = (1e-3 * torch.randn(runs, out, batch_size) for out in (hidden, hidden, shape.classes))
    turn = 0

    @torch.no_grad()
    def epoch() -> None:
        nonlocal turn
        turn += 1
        for batch in batches(data, streams, sharing, batch_size, turn, dtype):
            x = batch.images.flatten(2)  # [S, B, in]
            count = x.shape[1]
            parts = (x, first.split(sharing), g1.split(sharing), slopes[0].split(sharing))
            for images, w, g, into in zip(*parts, strict=True):
                matmul(w.flatten(0, 1), images)
                matmul(g.flatten(0, 1)[:, :count], images.t(), out=into.flatten(0, 1))
            torch.bmm(second, h[..., :count])
            torch.bmm(g2[..., :count], h[..., :count].transpose(1, 2), out=slopes[1])
            counts[0].add_(1)
            torch._fused_adam_(
                weights,
                slopes,
                means,
                squares,
                [],
                counts,
                lr=1e-3,
                beta1=0.9,
                beta2=0.999,
                weight_decay=0.0,
                eps=1e-8,
                amsgrad=False,
                maximize=False,
            )

    return epoch
