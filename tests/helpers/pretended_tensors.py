"""Tensors and generators that say they are on a GPU, and have their values in the CPU's memory."""

import sys
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import torch
from torch import Tensor

import regexp

PACKAGE = str(Path(regexp.__file__).parent)


class DeviceFault(RuntimeError):
    """Something that a GPU would refuse."""


class PretendedTensor(Tensor):
    """A tensor that says it is on a device.

    Attributes:
        values: the tensor with its values, on the CPU.
        device: the device that it says it is on.
    """

    values: Tensor

    @staticmethod
    def __new__(cls, values: Tensor, device: torch.device) -> "PretendedTensor":
        if device.type == "mps" and values.dtype in (torch.float64, torch.complex128):
            raise DeviceFault(f"mps has no {values.dtype}, at {find_place()}")
        tensor = Tensor._make_wrapper_subclass(
            cls, values.shape, strides=values.stride(), storage_offset=values.storage_offset(), dtype=values.dtype
        )
        tensor.values, tensor._device = values, device
        return tensor

    # torch itself takes the tensor for one on the CPU. Otherwise backward() would look for the driver of the device.
    device = property(lambda self: self._device)  # type: ignore[assignment]
    is_cuda = property(lambda self: self._device.type == "cuda")  # type: ignore[assignment]
    is_mps = property(lambda self: self._device.type == "mps")  # type: ignore[assignment]
    is_cpu = property(lambda self: False)  # type: ignore[assignment]
    __torch_function__ = torch._C._disabled_torch_function_impl

    @property
    def data(self) -> Tensor:  # type: ignore[override]
        """The tensor without its history."""
        return self.detach()

    @data.setter
    def data(self, tensor: "PretendedTensor") -> None:
        self.values = tensor.values

    def __repr__(self) -> str:
        return f"PretendedTensor({list(self.shape)}, {self.dtype}, {self.device})"

    @classmethod
    def __torch_dispatch__(cls, func: Any, types: Any, args: Any = (), kwargs: Any = None) -> Any:
        raise DeviceFault(f"{func}: a tensor outlived its pretended device")


class PretendedGenerator(torch.Generator):
    """A generator that says which device it is of, and draws the numbers of the CPU."""

    def __new__(cls, device: Any = "cpu") -> "PretendedGenerator":
        generator: PretendedGenerator = super().__new__(cls)
        generator._device = with_index(device)
        return generator

    device = property(lambda self: self._device)  # type: ignore[assignment]


def find_place() -> str:
    """Return file, line and function of the innermost frame of the package: "training/loop.py:42 train"."""
    frame = sys._getframe(1)
    while frame is not None:
        path = frame.f_code.co_filename
        if path.startswith(PACKAGE):
            return f"{path[len(PACKAGE) + 1 :]}:{frame.f_lineno} {frame.f_code.co_name}"
        frame = frame.f_back
    return "outside of the package"


def with_index(device: Any) -> torch.device:
    """Return a device as tensors report it: "cuda" is the current one, the first."""
    device = torch.device(device)
    return torch.device("cuda", 0) if device.type == "cuda" and device.index is None else device


def find_tensors(value: Any) -> list[Tensor]:
    """Return the tensors in nested dictionaries, lists and tuples."""
    if isinstance(value, Tensor):
        return [value]
    if type(value) is dict:
        value = list(value.values())
    if type(value) not in (list, tuple):
        return []
    return [tensor for entry in value if entry is not None for tensor in find_tensors(entry)]


def unwrap(value: Any) -> Any:
    """Return a value with the tensors of values in the place of pretended ones."""
    if isinstance(value, PretendedTensor):
        return value.values
    if isinstance(value, dict):
        return {name: unwrap(entry) for name, entry in value.items()}
    return type(value)(map(unwrap, value)) if type(value) in (list, tuple) else value


def wrap(value: Any, device: torch.device, wrappers: Mapping[int, PretendedTensor]) -> Any:
    """Return a value with pretended tensors in the place of tensors.

    Args:
        value: the result of an operator, computed on the CPU.
        device: the device of the pretended tensors.
        wrappers: by the id of their values, the tensors that stay themselves.
    """
    if isinstance(value, Tensor):
        return wrappers[id(value)] if id(value) in wrappers else PretendedTensor(value, device)
    return type(value)(wrap(entry, device, wrappers) for entry in value) if type(value) in (list, tuple) else value
