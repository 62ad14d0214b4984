"""BatchNorm's statistics of weights that were never trained with: averages of other weights."""

import torch

from regexp.data.dataset import Images, scale
from regexp.models.protocol import Predictor
from regexp.utils.counts import batch_sizes
from regexp.utils.device import Backend


@torch.no_grad()
def recompute_statistics(model: Predictor, num_runs: int, train: Images, batch_size: int, backend: Backend) -> None:
    """Set the running statistics of BatchNorm to the mean of those of all batches; torch.optim.swa_utils.update_bn.

    The training images are taken in their own order and without augmentation, and nothing but BatchNorm is in training
    mode. A model without BatchNorm is left as it is.

    Args:
        model: the model of K runs, which is left in evaluation mode.
        num_runs: the number of runs, K.
        train: the training images, on the model's device, of the size of evaluated ones.
        batch_size: the number of images in a batch.
        backend: the device and precision.
    """
    model.eval()
    layers = model.batch_norms()
    if not layers:
        return
    momenta = [layer.momentum for layer in layers]
    for layer in layers:
        layer.train()
    # Each part that ghost batch normalization normalizes by itself is a batch here.
    virtual_batches = (getattr(layer, "virtual_batch", None) for layer in layers)
    batch_size = min([batch_size, *(size for size in virtual_batches if size is not None)])
    for i, images in enumerate(train.images.split(batch_sizes(len(train), batch_size))):
        for layer in layers:
            layer.momentum = 1 / (i + 1)
        with backend.autocast_context():
            model(scale(images, backend.dtype).unsqueeze(0), [num_runs])
    for layer, momentum in zip(layers, momenta, strict=True):
        layer.momentum = momentum
    model.eval()
