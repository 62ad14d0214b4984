"""Named random streams. Each is seeded afresh for every epoch, so nothing of a generator has to be saved."""

import hashlib

import torch


def random_stream(seed: int, name: str, epoch: int = 0, device: torch.device | str = "cpu") -> torch.Generator:
    """The generator of one purpose (initialization, order, ...) of a run in an epoch.

    Seeds are hashed: torch's CPU generator reads only 32 bits of its seed, so sums would collide.
    """
    digest = hashlib.blake2b(f"{seed}/{name}/{epoch}".encode(), digest_size=4).digest()
    generator = torch.Generator(device)
    generator.manual_seed(int.from_bytes(digest, "big"))
    return generator
