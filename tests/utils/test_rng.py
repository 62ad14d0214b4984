"""Named random streams."""

import pytest
import torch
from torch import Tensor

from regexp.utils.rng import random_stream


def draw(seed: int, name: str, epoch: int) -> Tensor:
    return torch.rand(16, generator=random_stream(seed, name, epoch))


def test_the_same_triple_gives_the_same_bits() -> None:
    assert torch.equal(draw(3, "order", 5), draw(3, "order", 5))


@pytest.mark.parametrize("other", [(4, "order", 5), (3, "dropout", 5), (3, "order", 6), (3 + 2**32, "order", 5)])
def test_streams_differ_by_seed_name_and_epoch(other: tuple[int, str, int]) -> None:
    # torch's CPU generator reads 32 bits of its seed: seeds that differ above them only must not meet again
    assert not torch.equal(draw(3, "order", 5), draw(*other))


def test_neighbouring_triples_do_not_collide() -> None:
    triples = [(seed, name, epoch) for seed in range(-5, 20) for name in ("order", "dropout") for epoch in range(20)]
    assert len({random_stream(*triple).initial_seed() for triple in triples}) == len(triples)


def test_the_default_epoch_is_zero() -> None:
    assert torch.equal(torch.rand(16, generator=random_stream(3, "initialization")), draw(3, "initialization", 0))


def test_streams_leave_the_global_generator_alone() -> None:
    before = torch.get_rng_state()
    draw(3, "order", 5)
    assert torch.equal(torch.get_rng_state(), before)
