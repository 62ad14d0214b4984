"""CUDA graphs of a pretended device: what was launched while one was captured is computed again at each replay."""

from collections.abc import Callable, Iterator
from contextlib import contextmanager
from typing import Any

import torch
from helpers.pretended_tensors import DeviceFault, find_place, find_tensors, unwrap


class PretendedGraph:
    """A graph of operators on fixed tensors.

    A capture computes nothing on a GPU. Here it does, because the program needs the shapes of results, so the tensors
    that the operators read or wrote get their old values back when it ends.
    """

    def __init__(self) -> None:
        self._operators: list[tuple[Callable[..., Any], Any, Any, Any]] = []
        self._old_values: dict[int, tuple[torch.UntypedStorage, torch.UntypedStorage]] = {}

    def keep_values(self, arguments: Any) -> None:
        """Keep the values of an operator's arguments, before it is computed for the first time."""
        for tensor in find_tensors(unwrap(arguments)):
            storage = tensor.untyped_storage()
            if storage.data_ptr() not in self._old_values:
                self._old_values[storage.data_ptr()] = storage, storage.clone()

    def add(self, function: Callable[..., Any], args: Any, kwargs: Any, result: Any) -> None:
        """Add an operator, with the tensors that it was called with and has returned."""
        self._operators.append((function, args, kwargs, result))

    def end_capture(self) -> None:
        """Give all tensors the values that they had before the capture."""
        for storage, old_storage in self._old_values.values():
            storage.copy_(old_storage)
        self._old_values.clear()

    @torch.no_grad()
    def replay(self) -> None:
        """Compute all operators on the same tensors again."""
        for function, args, kwargs, result in self._operators:
            values = find_tensors(function(*unwrap(args), **unwrap(kwargs)))
            for tensor, new_values in zip(find_tensors(unwrap(result)), values, strict=True):
                if tensor.data_ptr() != new_values.data_ptr():  # neither a view nor written in place
                    tensor.copy_(new_values)


@contextmanager
def use_device(mode: Any, device: torch.device) -> Iterator[None]:
    """Make a device the current one, as torch.cuda.device."""
    previous, mode.current = mode.current, device
    try:
        yield
    finally:
        mode.current = previous


@contextmanager
def capture(mode: Any, graph: PretendedGraph) -> Iterator[None]:
    """Capture what is launched on a pretended device, as torch.cuda.graph: on the current one."""
    if mode.current != mode.device:
        raise DeviceFault(f"graph: captures {mode.current}, at {find_place()}")
    mode.graph = graph
    try:
        yield
    finally:
        mode.graph = None
        graph.end_capture()
