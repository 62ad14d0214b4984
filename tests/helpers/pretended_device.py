"""A GPU that this machine does not have: its tensors are kept and computed in the CPU's memory, under a GPU's rules.

A program runs on it unchanged and to its end, so its results can be compared with the CPU's. What fails on a GPU raises
here too: an operation on tensors of two devices, a generator of another device, float64 on mps, an operator that mps
does not have. What makes the program wait for a GPU is counted with its place in the program, and so are launches.

torch's FakeTensorMode cannot do this: its tensors have no values, and backward() asks the driver for the device.
"""

from collections import Counter
from collections.abc import Iterator, Sequence
from contextlib import ExitStack, contextmanager
from functools import partial
from typing import Any
from unittest.mock import patch

import torch
from helpers.pretended_graphs import PretendedGraph, capture, use_device
from helpers.pretended_kernels import Operator, find_operator
from helpers.pretended_tensors import (
    DeviceFault,
    PretendedGenerator,
    PretendedTensor,
    find_place,
    find_tensors,
    unwrap,
    with_index,
    wrap,
)
from torch import Tensor
from torch.overrides import TorchFunctionMode
from torch.utils._python_dispatch import TorchDispatchMode

CPU = torch.device("cpu")
# Operators that compute nothing on a GPU: they only reserve memory, or read a number that is counted as a wait.
WITHOUT_LAUNCH = ("empty", "new_empty", "_local_scalar_dense", "_unsafe_view", "resize_")
# Operators that accept indices on the CPU, and copy them.
INDEXING = ("index", "index_put", "index_put_", "_unsafe_index", "_index_put_impl_")
# Functions that make a tensor of values on the host.
FROM_HOST = (torch.tensor, torch.as_tensor, torch.asarray, Tensor.new_tensor)
TO_HOST = (Tensor.cpu, Tensor.tolist)


class PretendedDevice(TorchDispatchMode):
    """A dispatch mode that computes what is on a pretended device.

    Attributes:
        device: the device.
        waits: how often the program waited for the device, by reason and place.
        launches: how often it had the device compute something, by operator and place. A view takes no launch, and an
            operator on lists of tensors (torch._foreach_*, torch._fused_*) takes one, and so does a graph.
        current: the current device.
        graph: the graph that is being captured; None otherwise.
    """

    def __init__(self, device: torch.device) -> None:
        super().__init__()
        self.device = device
        self.waits: Counter[tuple[str, str]] = Counter()
        self.launches: Counter[tuple[str, str]] = Counter()
        self.current = torch.device("cuda", 0)
        self.graph: PretendedGraph | None = None
        self._pinned: dict[int, Tensor] = {}  # by address; held, so that no other tensor gets the address
        self._copies: list[tuple[Tensor, int, str]] = []  # that are under way: source, its version, place

    @classmethod
    def _should_skip_dynamo(cls) -> bool:
        """Return False: otherwise torch imports its compiler at the first operator, which takes seconds."""
        return False

    def __torch_dispatch__(self, func: Any, types: Any, args: Any = (), kwargs: Any = None) -> Any:
        kwargs = kwargs or {}
        tensors = find_tensors([args, kwargs])
        pretended = [tensor for tensor in tensors if isinstance(tensor, PretendedTensor)]
        if not pretended:
            return func(*args, **kwargs)
        operator = find_operator(func)
        self._check(operator, args, tensors, pretended)
        if operator.name == "_local_scalar_dense":
            self.wait("to the host")
        elif operator.reads_values or (operator.name in INDEXING and _has_mask(args[1])):
            self.wait(operator.name)
        if not operator.returns_views and not operator.name.startswith(WITHOUT_LAUNCH):
            self.launch(operator.name)
        if self.graph is not None:
            self.graph.keep_values([args, kwargs])
        result = func(*unwrap(args), **unwrap(kwargs))
        # An operator that writes into one of its arguments returns that argument.
        wrappers = {id(tensor.values): tensor for tensor in pretended}
        result = wrap(result, pretended[0].device, wrappers)
        if self.graph is not None:
            self.graph.add(func, args, kwargs, result)
        return result

    def _check(
        self, operator: Operator, args: Sequence[Any], tensors: Sequence[Tensor], pretended: Sequence[Tensor]
    ) -> None:
        """Raise DeviceFault where the device would refuse an operator, and count the copies that it makes first."""
        name, device = operator.name, pretended[0].device
        if not operator.runs_on(device.type):
            raise DeviceFault(f"{name}: {device.type} does not have it, at {find_place()}")
        if name == "random_" and device.type == "mps" and args[1:] == (-(2**63), None):
            raise DeviceFault(f"random_: mps does not draw all 64 bits, at {find_place()}")
        others = [tensor for tensor in tensors if tensor.device != device]
        if not others:
            return
        if name == "copy_":
            self.copy(args[1], args[0].device, non_blocking=len(args) > 2 and args[2])
        elif name in INDEXING and isinstance(args[0], PretendedTensor) and all(map(_is_on_cpu, others)):
            for _ in others:
                self.wait("to the device")
        elif not (operator.takes_numbers and all(map(_is_number, others))):
            devices = " and ".join(sorted({str(tensor.device) for tensor in tensors}))
            raise DeviceFault(f"{name}: tensors on {devices}, at {find_place()}")

    def wait(self, reason: str) -> None:
        """Count that the program waits for the device, after which all copies have been made."""
        if self.graph is not None:
            raise DeviceFault(f"a wait while a graph is captured: {reason}, at {find_place()}")
        self.waits[reason, find_place()] += 1
        for source, version, place in self._copies:
            if source._version != version:
                raise DeviceFault(f"pinned memory was overwritten while it was copied, which began at {place}")
        self._copies.clear()

    def launch(self, name: str) -> None:
        """Count that the device computes something."""
        if self.graph is None:
            self.launches[name, find_place()] += 1

    def copy(self, source: Tensor, device: torch.device, non_blocking: bool = False) -> None:
        """Count a copy to or from the device. From pinned memory to CUDA it need not wait."""
        if self.graph is not None:  # the copy would be made again at every replay, from memory that is freed by then
            raise DeviceFault(f"a copy while a graph is captured, at {find_place()}")
        if non_blocking and device.type == "mps":  # github.com/pytorch/pytorch/issues/189690
            raise DeviceFault(f"copy: mps reads memory that is freed or overwritten by then, at {find_place()}")
        if non_blocking and self.is_pinned(source):
            self._copies.append((source, source._version, find_place()))
        else:
            self.wait("to the host" if device.type == "cpu" else "to the device")

    def pin(self, tensor: Tensor) -> Tensor:
        """Take the memory of a CPU tensor for pinned."""
        self._pinned[tensor.untyped_storage().data_ptr()] = tensor
        return tensor

    def is_pinned(self, tensor: Tensor) -> bool:
        """Return whether a tensor is in pinned memory."""
        return _is_on_cpu(tensor) and tensor.untyped_storage().data_ptr() in self._pinned


class PretendedFunctions(TorchFunctionMode):
    """A function mode for the functions that are told a device, and for those that read a tensor's memory."""

    def __init__(self, mode: PretendedDevice) -> None:
        super().__init__()
        self.mode = mode

    def __torch_function__(self, func: Any, types: Any, args: Any = (), kwargs: Any = None) -> Any:
        kwargs = dict(kwargs or {})
        first = args[0] if args else None
        if func is Tensor.to:
            return self._move(*args, **kwargs)
        if func is Tensor.pin_memory:
            return self.mode.pin(first.clone())
        if func is Tensor.is_pinned:
            return self.mode.is_pinned(first)
        if func in (Tensor.numpy, Tensor.__array__) and isinstance(first, PretendedTensor):
            raise DeviceFault(f"numpy: a tensor on {first.device}, at {find_place()}")
        if func in TO_HOST and isinstance(first, PretendedTensor):
            self.mode.wait("to the host")
            return func(first.values.detach())
        if (generator := kwargs.get("generator")) is not None:
            self._check_generator(func, generator, first, kwargs.get("device"))
        if kwargs.get("device") is None:
            return self._call(func, args, kwargs)
        device = with_index(kwargs["device"])
        if device.type == "meta" or (device.type == "cpu" and not _has_pretended((args, kwargs))):
            return self._call(func, args, kwargs)
        kwargs["device"] = CPU
        values = self._call(func, unwrap(args), unwrap(kwargs))
        if device.type == "cpu":
            return values
        if func in FROM_HOST:
            self.mode.wait("to the device")
        elif not func.__name__.startswith(WITHOUT_LAUNCH):
            self.mode.launch(func.__name__)
        tensor = PretendedTensor(values, device)
        if self.mode.graph is not None:
            self.mode.graph.add(func, args, kwargs, tensor)
        return tensor

    def _call(self, func: Any, args: Any, kwargs: Any) -> Any:
        if kwargs.pop("pin_memory", False):
            return self.mode.pin(func(*args, **kwargs))
        return func(*args, **kwargs)

    def _check_generator(self, func: Any, generator: torch.Generator, first: Any, device: Any) -> None:
        """Raise DeviceFault where a generator is of another device than the values that it draws."""
        target = first.device if isinstance(first, Tensor) and device is None else with_index(device or "cpu")
        if generator.device != target:
            message = f"{func.__name__}: a generator of {generator.device} for values on {target}"
            raise DeviceFault(f"{message}, at {find_place()}")

    def _move(self, tensor: Tensor, *args: Any, **kwargs: Any) -> Tensor:
        """Return tensor.to(*args, **kwargs)."""
        if args and isinstance(args[0], Tensor):
            args = (args[0].device, args[0].dtype, *args[1:])
        copies = kwargs.get("copy", False) or len(args) > 3
        device, dtype, non_blocking, _ = torch._C._nn._parse_to(*args, **kwargs)
        device, dtype = with_index(device or tensor.device), dtype or tensor.dtype
        if device == tensor.device or device.type == "meta":
            return tensor.to(dtype=dtype, copy=copies) if dtype != tensor.dtype or copies else tensor
        if tensor.requires_grad and torch.is_grad_enabled():
            raise DeviceFault(f"to: the gradient of a copy to another device is not pretended, at {find_place()}")
        source: Tensor = tensor.values if isinstance(tensor, PretendedTensor) else tensor
        self.mode.copy(source if _is_on_cpu(tensor) else tensor, device, non_blocking)
        self.mode.launch("copy_")
        values = source.detach().to(dtype=dtype).clone()
        return values if device.type == "cpu" else PretendedTensor(values, device)


@contextmanager
def pretend_device(name: str = "cuda:1") -> Iterator[PretendedDevice]:
    """Pretend that this machine has two CUDA devices, the first of them current, or Apple's mps.

    Args:
        name: the device on which waits and launches are counted: "cuda:0", "cuda:1" or "mps".
    """
    device = torch.device(name)
    mode = PretendedDevice(device)
    with ExitStack() as stack:
        for target, value in _replacements(mode).items():
            stack.enter_context(patch(target, value))
        # A module's parameters become other objects when they move: `.data` cannot change its kind.
        overwrites = torch.__future__.get_overwrite_module_params_on_conversion()
        stack.callback(torch.__future__.set_overwrite_module_params_on_conversion, overwrites)
        torch.__future__.set_overwrite_module_params_on_conversion(True)
        stack.enter_context(mode)
        stack.enter_context(PretendedFunctions(mode))
        yield mode


def _replacements(mode: PretendedDevice) -> dict[str, Any]:
    """Return what the functions that ask for the devices of the machine are replaced by."""
    kind, gigabyte = mode.device.type, 2**30
    numbers = {
        "cuda.is_available": kind == "cuda",
        "cuda.is_initialized": kind == "cuda",
        "cuda.is_bf16_supported": kind == "cuda",
        "cuda.device_count": 2 if kind == "cuda" else 0,
        "cuda.current_device": 0,
        "cuda.get_device_name": "pretended",
        "cuda.mem_get_info": (8 * gigabyte, 16 * gigabyte),
        "cuda.memory_reserved": 0,
        "cuda.memory_allocated": 0,
        "backends.mps.is_available": kind == "mps",
        "mps.recommended_max_memory": 8 * gigabyte,
        "mps.current_allocated_memory": 0,
        "mps.driver_allocated_memory": 0,
    }
    functions = {f"torch.{name}": _constant(value) for name, value in numbers.items()}

    def synchronize(device: Any = kind) -> None:
        if with_index(device) != mode.device:
            raise DeviceFault(f"synchronize: waits for {with_index(device)}, at {find_place()}")
        mode.wait("synchronize")

    # The values of a pretended device are computed on the CPU, and so are its draws: its own generator serves nobody.
    generator_functions = {
        f"torch.{kind}.get_rng_state": _constant(torch.get_rng_state()),
        f"torch.{kind}.set_rng_state": _constant(None),
    }
    synchronizations = dict.fromkeys([f"torch.{kind}.synchronize", "torch.accelerator.synchronize"], synchronize)
    return {
        **functions,
        **synchronizations,
        **generator_functions,
        "torch.Generator": PretendedGenerator,
        "torch.cuda.CUDAGraph": PretendedGraph,
        "torch.cuda.device": partial(use_device, mode),
        "torch.cuda.graph": partial(capture, mode),
    }


def _constant(value: Any) -> Any:
    def function(*_: Any) -> Any:
        return value

    function.__wrapped__ = function  # type: ignore[attr-defined]  # read by torch's compiler when it is imported
    return function


def _has_pretended(values: Any) -> bool:
    return any(isinstance(tensor, PretendedTensor) for tensor in find_tensors(values))


def _is_on_cpu(tensor: Tensor) -> bool:
    return tensor.device.type == "cpu"


def _is_number(tensor: Tensor) -> bool:
    return _is_on_cpu(tensor) and tensor.dim() == 0


def _has_mask(indices: Any) -> bool:
    """Return whether some of the indices are masks, whose number of chosen entries the program has to wait for."""
    return any(index.dtype in (torch.bool, torch.uint8) for index in find_tensors(indices))
