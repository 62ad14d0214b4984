"""The least work that K runs of one hidden layer need: matrix products, the optimizer and the images."""

from collections.abc import Callable

import torch

from regexp.models.matmul import batched_matmul
from regexp.models.mlp import MLPArchitecture
from regexp.training.batches import draw_epoch
from regexp.training.cohort import Cohort


def make_floor_epoch(cohort: Cohort) -> Callable[[], None]:
    """Return a function that does the least work of an epoch for as many runs on the same image streams.

    It makes the images, multiplies the matrices of the forward pass and of the weights' gradients, and steps fused
    Adam. There is no normalization, activation, loss, dropout or backward pass: the gradients of the activations are
    random and stay the same.
    """
    architecture, runs, batch_size = cohort.model.architecture, len(cohort.members), cohort.batch_size
    assert isinstance(architecture, MLPArchitecture)
    data, dtype, runs_per_stream = cohort.dataset.train, cohort.backend.dtype, cohort.runs_per_stream
    streams = dict(zip(cohort.stream_keys, cohort.streams, strict=True))
    in_features, classes, [hidden] = architecture.in_features, architecture.num_classes, architecture.hidden_sizes
    first_weight = torch.randn(runs, hidden, in_features) * in_features**-0.5  # [K, hidden, in]
    second_weight = torch.randn(runs, classes, hidden) * hidden**-0.5  # [K, classes, hidden]
    weights = [first_weight, second_weight]
    gradients, first_moments, second_moments = ([torch.zeros_like(weight) for weight in weights] for _ in range(3))
    step_counts = [torch.tensor(0.0)] * len(weights)
    # Activations and their gradients, laid out as in the layers: [K, out, B].
    activations, hidden_gradients, logit_gradients = (
        1e-3 * torch.randn(runs, out, batch_size) for out in (hidden, hidden, classes)
    )
    epoch_number = 0

    @torch.no_grad()
    def epoch() -> None:
        nonlocal epoch_number
        epoch_number += 1
        for batch in draw_epoch(data, streams, batch_size, epoch_number, dtype).batches(runs_per_stream):
            inputs = batch.images.flatten(2)  # [S, B, in]
            count = inputs.shape[1]
            slices = (first_weight, hidden_gradients, gradients[0])
            slices_per_stream = zip(inputs, *(tensor.split(runs_per_stream) for tensor in slices), strict=True)
            for images, weight, output_gradient, weight_gradient in slices_per_stream:
                matrices = [
                    tensor.view(1, -1, tensor.shape[2]) for tensor in (weight, output_gradient, weight_gradient)
                ]
                batched_matmul(matrices[0], images.unsqueeze(0))
                batched_matmul(matrices[1][..., :count], images.t().unsqueeze(0), out=matrices[2])
            torch.bmm(second_weight, activations[..., :count])
            torch.bmm(logit_gradients[..., :count], activations[..., :count].transpose(1, 2), out=gradients[1])
            step_counts[0].add_(1)
            torch._fused_adam_(
                weights,
                gradients,
                first_moments,
                second_moments,
                [],
                step_counts,
                lr=1e-3,
                beta1=0.9,
                beta2=0.999,
                weight_decay=0.0,
                eps=1e-8,
                amsgrad=False,
                maximize=False,
            )

    return epoch
