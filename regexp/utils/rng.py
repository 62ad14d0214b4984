"""Named random streams. Each is seeded afresh for every epoch, so a checkpoint need not save any generator.

They are on the CPU, whatever the device: each device's generator gives other numbers.
"""

import hashlib
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from copy import copy
from typing import Self

import torch

_CPU = torch.device("cpu")


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


class RandomStates:
    """States of torch's global random generators, one for each run, on the CPU and on the device.

    They serve modules that draw from the global generators: what a run draws then depends on no other run.
    """

    def __init__(self, streams: Sequence[torch.Generator], device: torch.device) -> None:
        """Begin with the states of random streams.

        Args:
            streams: [K], the random stream of each run.
            device: the device that the modules compute on.
        """
        self._states = [stream.get_state() for stream in streams]
        self._device_module = None if device.type == "cpu" else torch.get_device_module(device)
        self._device = device
        if self._device_module is not None:
            seeds = [stream.initial_seed() for stream in streams]
            self._device_states = [torch.Generator(device).manual_seed(seed).get_state() for seed in seeds]

    def copy(self) -> Self:
        """Return the same states, which go on independently."""
        states = copy(self)
        states._states = self._states.copy()
        if self._device_module is not None:
            states._device_states = self._device_states.copy()
        return states

    @contextmanager
    def of_run(self, k: int) -> Iterator[None]:
        """Let the global generators go on from the states of run k, and set them back afterwards."""
        previous_state = torch.get_rng_state()
        torch.set_rng_state(self._states[k])
        arguments = () if self._device.type != "cuda" else (self._device,)
        if self._device_module is not None:
            previous_device_state = self._device_module.get_rng_state(*arguments)
            self._device_module.set_rng_state(self._device_states[k], *arguments)
        try:
            yield
        finally:
            self._states[k] = torch.get_rng_state()
            torch.set_rng_state(previous_state)
            if self._device_module is not None:
                self._device_states[k] = self._device_module.get_rng_state(*arguments)
                self._device_module.set_rng_state(previous_device_state, *arguments)


@contextmanager
def draw_from(stream: torch.Generator, device: torch.device = _CPU) -> Iterator[None]:
    """Let torch's global generators draw from a random stream, those of a device too, and set them back afterwards."""
    with RandomStates([stream], device).of_run(0):
        yield
