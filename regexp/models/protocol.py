"""The protocol of models, as training uses them: K networks with a leading run axis on every tensor."""

from collections.abc import Collection, Iterator, Mapping, Sequence
from contextlib import AbstractContextManager
from typing import Any, Protocol, Self

import torch
from torch import Tensor, nn

from regexp.models.costs import ModelCosts


class Predictor(Protocol):
    """K networks that are evaluated. Parameters and buffers are stacked: [K, ...], slice k is run k's.

    The names of parameters and buffers are those of one run's plain module, so that slice k loads into it unchanged.
    """

    @property
    def activations_per_image(self) -> int:
        """The number of values that the layers of all networks produce for one image."""
        ...

    def __call__(self, images: Tensor, runs_per_stream: Sequence[int]) -> Tensor:
        """Return the logits of all runs.

        Args:
            images: [S, B, C, H, W] in [0, 1], a slice for each image stream.
            runs_per_stream: [S], how many consecutive runs read each slice.

        Returns:
            [K, B, classes].
        """
        ...

    def eval(self) -> Self:
        """Set evaluation mode, as torch.nn.Module does."""
        ...

    def state_dict(self) -> dict[str, Tensor]:
        """Return parameters and buffers by name, each [K, ...]; views, not copies."""
        ...

    def batch_norms(self) -> Sequence["RunningStatistics"]:
        """Return the layers that keep running statistics of batches."""
        ...


class RunningStatistics(Protocol):
    """A layer that keeps running statistics of batches, as torch.nn.BatchNorm1d does.

    Attributes:
        momentum: the weight of the newest batch in them.
    """

    momentum: float | None

    def train(self, mode: bool = True) -> Self:
        """Set training mode, in which a forward pass updates the statistics."""
        ...


class Model(Predictor, Protocol):
    """K networks that train together."""

    @property
    def architecture(self) -> "Architecture":
        """The architecture of each of the K networks."""
        ...

    def train(self, mode: bool = True) -> Self:
        """Set training mode, or with False evaluation mode, as torch.nn.Module does."""
        ...

    def to(self, device: torch.device, dtype: torch.dtype) -> Self:
        """Move all tensors to a device and change the type of the floating-point ones, as torch.nn.Module does."""
        ...

    def parameters(self) -> Iterator[nn.Parameter]:
        """Yield the parameters, each [K, ...]."""
        ...

    def named_parameters(self) -> Iterator[tuple[str, nn.Parameter]]:
        """Yield the parameters, each [K, ...], with their names."""
        ...

    @property
    def overwritten_gradients(self) -> Collection[str]:
        """The names of the parameters whose gradients backward() overwrites; autograd adds to those of the others."""
        ...

    def begin_epoch(self, seeds: Sequence[int], epoch: int, batch_sizes: Sequence[int]) -> None:
        """Tell the layers that an epoch begins, and give the random ones its draws, which depend on seed and epoch.

        Each forward pass in training mode is then one step of that epoch.

        Args:
            seeds: [K], the seed of each run.
            epoch: the number of the epoch, counted from 1.
            batch_sizes: [steps], the number of images in each step.
        """
        ...

    def extra_pass(self, repeats: bool) -> AbstractContextManager[None]:
        """Let the forward pass in the `with` statement be no step of its own: it changes neither statistics nor draws.

        Args:
            repeats: whether it draws what the last step has drawn; otherwise what the next step will draw.
        """
        ...

    def select_runs(self, rows: Tensor) -> Predictor:
        """Return a copy of the tensors of the runs at `rows` [K'], on the same device, to be evaluated."""
        ...

    def keep_runs(self, rows: Tensor) -> None:
        """Remove all runs but those at `rows` [K']."""
        ...

    def run_state(self, k: int) -> dict[str, Tensor]:
        """Return run k's parameters and buffers by name; views, not copies."""
        ...


class Architecture(Protocol):
    """The shape of a network, from which one run's model is built for its weights."""

    @classmethod
    def from_options(cls, input_shape: tuple[int, ...], num_classes: int, options: Mapping[str, Any]) -> Self:
        """Return the architecture for a configuration.

        Args:
            input_shape: [C, H, W] of the images that the network sees; (F,) for rows of F features.
            num_classes: the number of classes.
            options: the flat configuration: "model.hidden_sizes", "normalization", "normalization.eps", ...
        """
        ...

    @property
    def costs(self) -> ModelCosts:
        """What a run's model costs."""
        ...

    def describe(self) -> str:
        """Return sizes and layers in words, such as "784-128-10, BatchNorm, relu"."""
        ...

    def make_model(self, seeds: Sequence[int], rates: Sequence[Mapping[str, float]]) -> Model:
        """Return K models with initial weights, on the CPU and in float32.

        Args:
            seeds: [K], the seed of each run's initial weights.
            rates: [K], each run's rates of random layers by name, such as {"dropout": 0.2}: the values of those keys of
                the model in which the runs of a cohort may differ. A name that is missing stands for 0.
        """
        ...

    def make_module(self, rates: Mapping[str, float] = {}) -> nn.Module:
        """Return the model of one run, of torch's own layers: images [B, C, H, W], or rows [B, F], to logits.

        Args:
            rates: the run's rates of random layers by name, as in `make_model`.
        """
        ...

    def first_layer_weight(self, state: Mapping[str, Tensor]) -> Tensor | None:
        """Return one run's weights that can be shown as images, [units, C*H*W]; None where there are none."""
        ...
