"""Keyed draws against plain integers and against the uniform distribution, by checks that worse hashes fail."""

import math
from collections.abc import Callable

import pytest
import torch
from scipy import stats
from torch import Tensor
from torch.testing import assert_close

from regexp.utils import keyed_draws as module
from regexp.utils.keyed_draws import draw_keys, draw_table, keyed_draws
from regexp.utils.rng import random_stream

RUNS, STEPS, DRAWS = 40, 50, 4096


def draw(name: str = "dropout/0", epoch: int = 1) -> Tensor:
    """Return the draws of an epoch as a model makes them, [RUNS, STEPS, DRAWS]."""
    keys = torch.stack([draw_keys(STEPS, random_stream(seed, "dropout", epoch)) for seed in range(RUNS)])
    return keyed_draws(draw_table(name, epoch, DRAWS), keys)


def signed(word: int) -> int:
    """Return a whole number modulo 2^32, as int32 holds it."""
    return (word + 2**31) % 2**32 - 2**31


def hash_word(word: int, factor: int, summand: int) -> int:
    word = signed(word * factor + summand)
    word = signed((word ^ (word >> 15)) * 0x846CA68B)
    return signed(word + (word >> 16))


def test_draws_are_those_of_plain_integers() -> None:
    table, keys = draw_table("test", 1, 40), draw_keys(5, torch.Generator().manual_seed(3))
    words = keyed_draws(table, keys).view(torch.int32)
    assert words.tolist() == [[hash_word(word, *key) for word in table.tolist()] for key in keys.tolist()]


def test_a_rows_draws_do_not_depend_on_the_others() -> None:
    table, keys = draw_table("test", 1, 40), draw_keys(6, torch.Generator().manual_seed(3))
    together = keyed_draws(table, keys)
    for row in range(6):
        assert torch.equal(keyed_draws(table, keys[row : row + 1])[0], together[row])
    assert torch.equal(keyed_draws(table, keys.view(2, 3, 2)), together.view(2, 3, -1))
    assert torch.equal(keyed_draws(draw_table("test", 1, 13), keys), together[:, :14])


def test_tables_differ_by_name_and_epoch_and_factors_are_odd() -> None:
    tables = [draw_table(name, epoch, 8).tolist() for name in ("a", "b") for epoch in (1, 2)]
    assert all(tables.count(table) == 1 for table in tables)
    keys = draw_keys(1000, torch.Generator().manual_seed(3))
    assert (keys[:, 0] % 2 == 1).all()
    assert len(keys.unique()) == 2000


def independence_p_values(first: Tensor, second: Tensor) -> Tensor:
    """Return the p-value of a chi-square test of independence for each row of two sets of draws [rows, n].

    The upper 4 bits of each draw are compared: 256 cells.
    """
    cells = (first.long() >> 12) * 16 + (second.long() >> 12) + 136
    rows = torch.arange(len(cells)).unsqueeze(1)
    counts = torch.bincount((rows * 256 + cells).flatten(), minlength=256 * len(cells)).view(-1, 256).double()
    expected = first.shape[1] / 256
    chi_square = ((counts - expected) ** 2 / expected).sum(1)
    return torch.from_numpy(stats.chi2.sf(chi_square.numpy(), 255))


def independence_p_value(first: Tensor, second: Tensor) -> float:
    """Return the p-value of all rows together: theirs must be uniform."""
    p_values = independence_p_values(first.reshape(-1, first.shape[-1]), second.reshape(-1, second.shape[-1]))
    return float(stats.kstest(p_values.numpy(), "uniform").pvalue)


def compare_columns(draws: Tensor, distance: int) -> float:
    columns = draws.flatten(0, 1).T  # [DRAWS, RUNS * STEPS]
    return independence_p_value(columns[:-distance], columns[distance:])


PAIRS: dict[str, Callable[[], float]] = {
    "runs": lambda: independence_p_value(draw()[:-1], draw()[1:]),
    "steps": lambda: independence_p_value(draw()[:, :-1], draw()[:, 1:]),
    "epochs": lambda: independence_p_value(draw(), draw(epoch=2)),
    "layers": lambda: independence_p_value(draw(), draw("dropout/1")),
    "halves of a word": lambda: independence_p_value(draw()[..., 0::2], draw()[..., 1::2]),
    "neighbours": lambda: compare_columns(draw(), 1),
    "neighbouring words": lambda: compare_columns(draw(), 2),
}


@pytest.mark.parametrize("pairs", PAIRS.values(), ids=PAIRS.keys())
def test_draws_of_different_places_are_independent(pairs: Callable[[], float]) -> None:
    assert pairs() > 1e-3


@pytest.mark.parametrize("half", [0, 1])
def test_draws_are_uniform(half: int) -> None:
    counts = torch.bincount((draw()[..., half::2].long() >> 4).flatten() + 2048, minlength=4096)
    assert stats.chisquare(counts.numpy()).pvalue > 1e-3


@pytest.mark.parametrize("p", [0.001, 0.1, 0.25, 0.5, 0.9])
def test_draws_are_below_a_threshold_with_its_probability(p: float) -> None:
    below = draw() < round(p * 2**16) - 2**15
    threshold = round(p * 2**16) / 2**16
    for rate in (below[..., 0::2].double().mean(), below[..., 1::2].double().mean()):
        assert abs(float(rate) - threshold) < 4 * math.sqrt(p * (1 - p) / (below.numel() / 2))


def mask_correlations(p: float) -> Tensor:
    """Return the correlations of all pairs of masks, in units of their standard error."""
    kept = (draw().flatten(0, 1)[:1000] >= round(p * 2**16) - 2**15).double()
    standardized = (kept - (1 - p)) / math.sqrt(p * (1 - p))
    correlations = standardized @ standardized.T / math.sqrt(DRAWS)
    rows, columns = torch.triu_indices(1000, 1000, 1)
    return correlations[rows, columns]


@pytest.mark.parametrize("p", [0.1, 0.5])
def test_masks_are_uncorrelated(p: float) -> None:
    correlations = mask_correlations(p)  # of half a million pairs
    assert abs(float(correlations.mean())) < 4 / math.sqrt(len(correlations))
    assert_close(float(correlations.var()), 1.0, rtol=0, atol=0.01)
    assert correlations.abs().max() < 6


def test_a_hash_without_its_multiplication_is_noticed(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(module, "_MULTIPLIER", 1)
    assert max(PAIRS["halves of a word"](), PAIRS["runs"](), PAIRS["steps"](), PAIRS["neighbours"]()) < 1e-9
    assert abs(float(mask_correlations(0.5).var()) - 1) > 0.1


def test_a_shift_that_repeats_the_sign_is_noticed(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(Tensor, "add_", lambda self, other: self.bitwise_xor_(other))
    assert PAIRS["halves of a word"]() < 1e-9
