"""Named random streams. Each is seeded afresh for every epoch, so a checkpoint need not save any generator.

They are on the CPU, whatever the device: each device's generator gives other numbers.
"""

import hashlib

import torch


def random_stream(seed: int, name: str, epoch: int = 0) -> torch.Generator:
    """Return the random generator, on the CPU, that a run uses for one purpose in one epoch.

    The seed of the generator is a hash: torch's CPU generator reads only 32 bits of its seed, so sums would collide.

    Args:
        seed: the seed of the run.
        name: the purpose, such as "initialization" or "order".
        epoch: the number of the epoch; 0 for purposes that do not repeat, such as initialization.
    """
    digest = hashlib.blake2b(f"{seed}/{name}/{epoch}".encode(), digest_size=4).digest()
    generator = torch.Generator()
    generator.manual_seed(int.from_bytes(digest, "big"))
    return generator
