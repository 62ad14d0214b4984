"""Estimates of the memory and work that a cohort needs, and readings of the memory that a device has free."""

from collections.abc import Sequence
from math import prod

import torch

from regexp.data.dataset import Dataset
from regexp.models.protocol import Architecture
from regexp.training import evaluation
from regexp.training.batches import IMAGES_AT_ONCE
from regexp.utils.system_limits import read_available_bytes

# For each parameter, a run keeps the value, its gradient and the best value so far. The optimizer's state comes on top.
VALUES_PER_PARAMETER = 3
# For each hidden unit and image of a batch, layers keep values for the backward pass, and there are gradients.
VALUES_PER_ACTIVATION = 8
# For each value of evaluation.BYTES_AT_ONCE, layers and metrics hold so many at a time.
EVALUATION_VALUES = 4
# For each training image, a stream keeps its place in the order and the draws of its augmentation: some ten numbers.
DRAW_BYTES = 64
# The fraction of the free memory that a cohort may use. The rest is for other programs and for what is not estimated.
USABLE_FRACTION = 0.5


def count_flop(architecture: Architecture, batch_size: int) -> int:
    """Return the floating-point operations of a run's step; the backward pass takes twice those of the forward pass."""
    return 3 * batch_size * architecture.costs.flop


def estimate_run_bytes(architecture: Architecture, batch_size: int, optimizer_values: int, dtype: torch.dtype) -> int:
    """Return the bytes that each run adds to a cohort, without its images.

    Args:
        architecture: the architecture of the model.
        batch_size: the number of images in a batch.
        optimizer_values: the number of values that the optimizer keeps for each parameter.
        dtype: the type of the parameters.
    """
    parameter_values = architecture.costs.num_parameters * (VALUES_PER_PARAMETER + optimizer_values)
    activation_values = batch_size * architecture.costs.num_activations * VALUES_PER_ACTIVATION
    return (parameter_values + activation_values) * dtype.itemsize


def estimate_logit_bytes(dataset: Dataset, dtype: torch.dtype) -> int:
    """Return the bytes that a run adds where metrics of the user's own need the logits of a whole split at once."""
    splits = (dataset.measured, dataset.validation, dataset.test)
    num_images = max(len(split) for split in splits if split is not None)
    return 2 * num_images * len(dataset.classes) * dtype.itemsize  # in chunks, and all together


def estimate_kept_logit_bytes(dataset: Dataset) -> int:
    """Return the bytes on the CPU that a run adds which keeps the logits of the images that test it, as float32."""
    num_images = len(dataset.validation if dataset.test is None else dataset.test)
    return 2 * num_images * len(dataset.classes) * 4  # in chunks, and all together


def estimate_stream_bytes(shape: Sequence[int], num_images: int, dtype: torch.dtype) -> int:
    """Return the bytes that an image stream adds to a cohort.

    They are the images augmented at once, and a copy for the batch; and draws for this epoch and the next.

    Args:
        shape: the shape of an image, [C, H, W].
        num_images: the number of training images.
        dtype: the type of the augmented images.
    """
    return 2 * (IMAGES_AT_ONCE * prod(shape) * dtype.itemsize + num_images * DRAW_BYTES)


def estimate_evaluation_bytes(device: torch.device) -> int:
    """Return the bytes that evaluation adds to a cohort of any size."""
    return EVALUATION_VALUES * evaluation.BYTES_AT_ONCE[device.type]


def read_free_bytes(device: torch.device) -> int | None:
    """Return the free memory of a device in bytes; None where the system does not tell it.

    Memory that torch keeps from the tensors of earlier cohorts is free for the next one.
    """
    if device.type == "cuda":
        kept_bytes = torch.cuda.memory_reserved(device) - torch.cuda.memory_allocated(device)
        return torch.cuda.mem_get_info(device)[0] + kept_bytes
    if device.type == "mps":  # what is allocated to tensors; what torch keeps does not count
        return torch.mps.recommended_max_memory() - torch.mps.current_allocated_memory()
    return read_available_bytes()
