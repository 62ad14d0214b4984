"""Keyed random draws: random bits that are a function of a table and a key, the same on every device.

A generator's state moves with every draw, each device's generator gives other numbers, and drawing for K runs takes K
calls. Here a draw depends on its place alone: on its word in the table, which all runs share, and on the key of its row
(a run and step, or an image). So a row's draws are the same bits on any device, among any other rows and in any order,
and any number of rows takes the same number of operations. They are elementwise on int32, which every device computes
exactly.
"""

import math
from functools import lru_cache

import torch
from torch import Generator, Tensor

from regexp.utils.rng import random_stream

# The second half of the 32-bit hash "lowbias32" (Chris Wellons 2018, "Prospecting for hash functions"). Its first half
# is replaced by the multiplication of a random word with a random key.
_FIRST_SHIFT, _MULTIPLIER, _SECOND_SHIFT = 15, 0x846CA68B - 2**32, 16


@lru_cache(maxsize=32)  # the streams of a cohort share their tables
def draw_table(name: str, epoch: int, num_draws: int) -> Tensor:
    """Draw the table from which rows of up to `num_draws` draws are made in an epoch; it does not depend on the seed.

    Args:
        name: the purpose.
        epoch: the number of the epoch.
        num_draws: the number of draws in a row.

    Returns:
        [ceil(num_draws / 2)], int32 on the CPU, not to be changed. A shorter table is the beginning of a longer one.
    """
    return _random_words(math.ceil(num_draws / 2), random_stream(0, f"table/{name}", epoch))


def draw_keys(count: int, generator: Generator) -> Tensor:
    """Draw the keys of rows: a factor, which is odd, and a summand, [count, 2], int32 on the CPU."""
    keys = _random_words(2 * count, generator).view(count, 2)
    keys[:, 0] |= 1
    return keys


def keyed_draws(table: Tensor, keys: Tensor) -> Tensor:
    """Return rows of independent draws, each uniform over the 16-bit numbers from -32768 to 32767.

    A word of the table times the key's factor plus its summand is hashed to two draws. A word is uniform, and an odd
    factor permutes all words, so the draws of a row are as random as the table; the hash makes those of other rows
    independent of them.

    Args:
        table: [words], int32, from `draw_table`.
        keys: [..., 2], int32, on the table's device, from `draw_keys`.

    Returns:
        [..., 2 * words], int16.
    """
    words = table * keys[..., :1]
    words.add_(keys[..., 1:])
    shifted = words >> _FIRST_SHIFT
    words.bitwise_xor_(shifted).mul_(_MULTIPLIER)
    # The upper halves are good draws now. The lower halves become so by adding the upper ones. XOR would not do: the
    # shift repeats the sign, and the top bit of the result would always be 0.
    words.add_(torch.bitwise_right_shift(words, _SECOND_SHIFT, out=shifted))
    return words.view(torch.int16)


@lru_cache(maxsize=16)
def normal_quantiles(dtype: torch.dtype, device: torch.device) -> Tensor:
    """Return the standard normal distribution's quantiles in the middles of 2^16 equal steps of probability, [65536].

    Read at the places of draws + 2^15, they are Gaussian noise of 65,536 equally likely values up to 4.3 standard
    deviations. Reading takes a third of the time of computing, and gives the same bits on every device. They are
    rounded to float32 whatever their type, so that both precisions see the same noise.
    """
    probabilities = (torch.arange(2**16, dtype=torch.float64) + 0.5) / 2**16
    values: Tensor = torch.special.ndtri(probabilities).float()
    return values.to(device, dtype)


def normal_noise(draws: Tensor, dtype: torch.dtype) -> Tensor:
    """Return Gaussian noise of mean 0 and variance 1 for draws of any shape, int16, in the same shape."""
    places = draws.int().add_(2**15)
    return normal_quantiles(dtype, draws.device).index_select(0, places.flatten()).view(draws.shape)


def _random_words(count: int, generator: Generator) -> Tensor:
    """Draw uniform 32-bit numbers, [count], two at a time: torch draws 64 bits for each of them otherwise."""
    pairs = torch.empty(math.ceil(count / 2), dtype=torch.int64).random_(-(2**63), None, generator=generator)
    return pairs.view(torch.int32)[:count]
