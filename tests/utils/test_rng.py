"""Named random streams: the same seed, name and epoch give the same bits, any others different ones."""

import pytest
import torch
from torch import Tensor

from regexp.utils.rng import random_stream


def draw_numbers(seed: int, name: str, epoch: int) -> Tensor:
    return torch.rand(16, generator=random_stream(seed, name, epoch))


def test_the_same_seed_name_and_epoch_give_the_same_bits() -> None:
    assert torch.equal(draw_numbers(3, "order", 5), draw_numbers(3, "order", 5))


@pytest.mark.parametrize("other", [(4, "order", 5), (3, "dropout", 5), (3, "order", 6), (3 + 2**32, "order", 5)])
def test_streams_differ_by_seed_name_and_epoch(other: tuple[int, str, int]) -> None:
    # torch's CPU generator reads 32 bits of its seed: seeds that differ only above those must not give the same stream
    assert not torch.equal(draw_numbers(3, "order", 5), draw_numbers(*other))


def test_neighbouring_seeds_and_epochs_do_not_collide() -> None:
    triples = [(seed, name, epoch) for seed in range(-5, 20) for name in ("order", "dropout") for epoch in range(20)]
    assert len({random_stream(*triple).initial_seed() for triple in triples}) == len(triples)


def test_the_default_epoch_is_zero() -> None:
    assert torch.equal(
        torch.rand(16, generator=random_stream(3, "initialization")), draw_numbers(3, "initialization", 0)
    )


def test_streams_leave_the_global_generator_alone() -> None:
    state = torch.get_rng_state()
    draw_numbers(3, "order", 5)
    assert torch.equal(torch.get_rng_state(), state)
