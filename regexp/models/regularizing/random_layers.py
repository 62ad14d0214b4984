"""Layers that draw random numbers in training: dropout and Gaussian noise, for K runs at once and for one.

The draws of K runs are keyed: each run has a key for every step. So they are the same bits on any device, in any cohort
and in any precision. Activations have the shape [K, B, C] and are stored as [K, C, B], as in models.layers.
"""

from collections import OrderedDict
from collections.abc import Callable, Sequence

import torch
from torch import Tensor, nn

from regexp.utils.device import refill
from regexp.utils.keyed_draws import keyed_draws, normal_noise, normal_quantiles

# Values are drawn for as many steps at a time as have this many entries: on a CPU they stay within the cache, on other
# devices a step has fewer operations.
_ENTRIES = {"cpu": 2**18}
_DEFAULT_ENTRIES = 2**22


class StepDraws(nn.Module):
    """The keyed draws of a layer of K runs, and the values that it makes of them, for several steps at a time.

    Attributes:
        keys: [K, steps, 2], the keys of an epoch's steps.
        values: [K, steps, draws], what the layer made of the draws of some steps, beginning with `first_step`.
        step: the number of the epoch's next step, counted from 0.
    """

    keys: Tensor
    values: Tensor

    def __init__(self, num_runs: int) -> None:
        """Begin without draws."""
        super().__init__()
        self._table = torch.empty(0, dtype=torch.int32)  # has no run axis, so it is not a buffer
        self.register_buffer("keys", torch.empty(num_runs, 0, 2, dtype=torch.int32), persistent=False)
        self.register_buffer("values", torch.empty(num_runs, 0, 0), persistent=False)
        self.step = self.first_step = 0

    def begin_epoch(self, table: Tensor, keys: Tensor) -> None:
        """Set the draws of an epoch.

        Args:
            table: [words], int32, of at least as many draws as a step takes.
            keys: [K, steps, 2], int32.
        """
        # In their place, because the steps of a captured graph read them there.
        self._table, self.keys = refill(self._table, table), refill(self.keys, keys)
        self.values, self.step, self.first_step = torch.empty(len(keys), 0, 0), 0, 0

    def take(self, convert: Callable[[Tensor], Tensor]) -> Tensor:
        """Return the values of the next step, [K, draws]; after the last step the first one follows again.

        Args:
            convert: makes values of draws [K, steps, draws], int16, which it may overwrite.

        Raises:
            RuntimeError: no epoch has begun.
        """
        num_runs, num_steps, _ = self.keys.shape
        if num_steps == 0:
            raise RuntimeError("the layer has no draws: call begin_epoch before the first step of an epoch")
        step = self.step % num_steps
        if not self.first_step <= step < self.first_step + self.values.shape[1]:
            max_entries = _ENTRIES.get(self.keys.device.type, _DEFAULT_ENTRIES)
            steps_at_once = max(1, max_entries // (num_runs * 2 * len(self._table)))
            self.values = convert(keyed_draws(self._table, self.keys[:, step : step + steps_at_once]))
            self.first_step = step
        self.step += 1
        return self.values[:, step - self.first_step]


class Dropout(nn.Module):
    """Dropout, which zeroes entries of run k with probability p_k and divides the rest by 1 - p_k; torch.nn.Dropout.

    Hinton et al. 2012. Each entry is decided by 16 random bits, so its probability is p to within 2^-16.

    Attributes:
        features: the number of features, C.
        of_images: whether it drops values of images, which are stored as [K, B, C].
        thresholds: [K, 1, 1], the smallest of the 16-bit draws that keep an entry.
        scale: [K, 1, 1], 1 / (1 - p), the factor of kept entries.
        rates: [K], the probability of each run, on the host: reading it from a GPU would wait.
        draws: the draws of the steps.
    """

    thresholds: Tensor
    scale: Tensor

    def __init__(self, features: int, p: Tensor, of_images: bool = False) -> None:
        """Make the layers of K runs with probabilities `p` [K], each below 1."""
        super().__init__()
        self.features, self.of_images, self.rates = features, of_images, p.tolist()
        thresholds = (p * 2**16).round().clamp(max=2**16 - 1) - 2**15
        self.register_buffer("thresholds", thresholds.to(torch.int16).view(-1, 1, 1), persistent=False)
        self.register_buffer("scale", (1 / (1 - p)).view(-1, 1, 1), persistent=False)
        self.draws = StepDraws(len(p))

    def begin_epoch(self, table: Tensor, keys: Tensor) -> None:
        """Set the draws of an epoch, B * C or more for each step. Arguments as in `StepDraws`."""
        self.draws.begin_epoch(table, keys)

    def forward(self, x: Tensor) -> Tensor:
        """Drop entries of x [K, B, C], or [1, B, C] for all runs, in training mode; otherwise return x.

        Each call is one step of the epoch.
        """
        if not self.training or not any(self.rates):
            return x
        # In place, because comparing into bool takes 25 times longer.
        masks = self.draws.take(lambda draws: draws.ge_(self.thresholds) * self.scale.to(x.dtype))
        return x * _lay_out(masks, x.shape[1], self.features, self.of_images)


class Noise(nn.Module):
    """Gaussian noise of standard deviation s_k, which is added to the entries of run k (Bishop 1995).

    The noise has 65,536 equally likely values up to 4.3 standard deviations (see utils.keyed_draws).

    Attributes:
        features: the number of features, C.
        stds: [K, 1, 1], the standard deviation of each run.
        rates: [K], the same on the host: reading it from a GPU would wait.
        draws: the draws of the steps.
    """

    stds: Tensor

    def __init__(self, features: int, stds: Tensor) -> None:
        """Make the layers of K runs with standard deviations `stds` [K]."""
        super().__init__()
        self.features, self.rates = features, stds.tolist()
        self.register_buffer("stds", stds.view(-1, 1, 1), persistent=False)
        self.draws = StepDraws(len(stds))

    def begin_epoch(self, table: Tensor, keys: Tensor) -> None:
        """Set the draws of an epoch, B * C or more for each step. Arguments as in `StepDraws`."""
        self.draws.begin_epoch(table, keys)
        normal_quantiles(self.stds.dtype, self.stds.device)  # its first call copies to the device, which waits

    def forward(self, x: Tensor) -> Tensor:
        """Add noise to x [K, B, C] in training mode; otherwise return x. Each call is one step of the epoch."""
        if not self.training or not any(self.rates):
            return x
        noise = self.draws.take(lambda draws: self._make_noise(draws).to(x.dtype))
        return x + _lay_out(noise, x.shape[1], self.features)

    def _make_noise(self, draws: Tensor) -> Tensor:
        """Return noise for draws [K, steps, draws]."""
        return normal_noise(draws, self.stds.dtype).mul_(self.stds)


def _lay_out(values: Tensor, batch_size: int, features: int, of_images: bool = False) -> Tensor:
    """Return the first of values [K, draws] as [K, B, C], laid out as activations or images are stored."""
    values = values[:, : batch_size * features]
    if of_images:
        return values.view(-1, batch_size, features)
    return values.view(-1, features, batch_size).transpose(1, 2)


class AdditiveNoise(nn.Module):
    """y = x + s * standard normal noise in training mode, y = x otherwise, for one run (Bishop 1995)."""

    def __init__(self, std: float) -> None:
        """Make the layer with the standard deviation s of the noise."""
        super().__init__()
        self.std = std

    def forward(self, x: Tensor) -> Tensor:
        """Return x of any shape, with noise in training mode."""
        return x + self.std * torch.randn_like(x) if self.training else x

    def extra_repr(self) -> str:
        """Return what the layer's text shows between parentheses."""
        return f"std={self.std}"


def add_noise_before(dropout: nn.Module, std: float) -> nn.Module:
    """Return a run's layer of dropout, with noise before it if there is some.

    Both are one layer of the network, so that the names of the layers after it do not depend on the noise.
    """
    return dropout if std == 0 else nn.Sequential(AdditiveNoise(std), dropout)


def name_layers(layers: Sequence[nn.Module], input_dropout: float = 0.0) -> nn.Sequential:
    """Return a run's layers in order, with names 0, 1, ...; before them, dropout of single values of the input.

    That has a name of its own, so that the names of the others do not depend on it.
    """
    named = OrderedDict((str(i), layer) for i, layer in enumerate(layers))
    if input_dropout > 0:
        named = OrderedDict([("input_dropout", nn.Dropout(input_dropout)), *named.items()])
    return nn.Sequential(named)
