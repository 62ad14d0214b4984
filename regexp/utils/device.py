"""The device that a cohort trains on, and the precision that it computes in."""

import ctypes
import math
import sys
from collections.abc import Iterator, Sequence
from contextlib import AbstractContextManager, contextmanager, nullcontext, suppress
from dataclasses import dataclass

import torch
from torch import Tensor

from regexp.errors import DeviceError
from regexp.utils.messages import first_line

# Below so many floating-point operations in a step of one run, a second CPU thread gains little: see the benchmark
# `threads`.
MIN_FLOP_FOR_THREADS = 2e8
# The number of CPU threads that torch chose, read before any run asks for another.
_DEFAULT_THREADS = torch.get_num_threads()
# Constants of glibc's <malloc.h>.
_M_TRIM_THRESHOLD, _M_MMAP_THRESHOLD = -1, -3
# Constants of Linux's <sys/mman.h>.
_MADV_HUGEPAGE, _MADV_COLLAPSE = 14, 25
_HUGE_PAGE_BYTES = 2 * 2**20
# Bytes: tensors that are moved together begin at multiples of it, as every type needs.
_ALIGNMENT = 16

# What errors say if memory is short. Only CUDA's caching allocator has a class for it, torch.OutOfMemoryError.
_SHORTAGES = (
    "out of memory",  # "CUDA error: out of memory", "MPS backend out of memory", "HIP out of memory"
    "ALLOC_FAILED",  # a library of CUDA: CUBLAS_STATUS_ALLOC_FAILED, CUDNN_STATUS_ALLOC_FAILED
    "allocate memory",  # the CPU's allocator, and the system
    "not enough memory",  # the same on Windows
    "Invalid buffer size",  # mps: one tensor larger than a buffer may be
    "bad_alloc",  # C++
)
# What errors say if a GPU has stopped working. CUDA repeats such an error at every further operation of the process.
_LOSSES = (
    "illegal memory access",
    "illegal instruction",
    "misaligned address",
    "device-side assert triggered",
    "unspecified launch failure",
    "launch timed out",
    "hardware stack error",
    "uncorrectable",  # an error of memory (ECC) or of NVLink
    "GPU is lost",
    "no longer",  # accessible, or available
    "context is destroyed",
)


@dataclass(frozen=True)
class Backend:
    """The device and precision that a cohort computes with.

    Attributes:
        device: the device of all tensors.
        dtype: the type of the parameters.
        autocast: whether matrix products are computed in bfloat16.
        graphs: whether an epoch's steps are launched as one CUDA graph.
    """

    device: torch.device
    dtype: torch.dtype
    autocast: bool
    graphs: bool = False

    def autocast_context(self) -> AbstractContextManager[object]:
        """Return the context in which to run a model's forward pass."""
        return torch.autocast(self.device.type, torch.bfloat16) if self.autocast else nullcontext()

    @property
    def sum_dtype(self) -> torch.dtype:
        """The type for sums over many batches: float64, or float32 on mps, which has no float64."""
        return torch.float32 if self.device.type == "mps" else torch.float64

    def synchronize(self) -> None:
        """Wait until the device has done all the work that it was given."""
        if self.device.type != "cpu":
            torch.accelerator.synchronize(self.device)

    def describe(self) -> str:
        """Return the device, its name or threads, and the precision in words."""
        device = str(self.device)
        if self.device.type == "cuda":
            device += f" ({torch.cuda.get_device_name(self.device)})"
        if self.device.type == "cpu":
            threads = torch.get_num_threads()
            device += f" ({threads} thread{'s' if threads > 1 else ''})"
        precision = "bfloat16 products, float32 parameters" if self.autocast else str(self.dtype).split(".")[1]
        return f"{device}, {precision}{', CUDA graphs' if self.graphs else ''}"


def choose_threads(flop_per_step: float) -> int | None:
    """Return the number of CPU threads that a run should use by default; None for torch's default.

    On layers that are not large, a second thread gains nothing, and takes several times longer as soon as another
    program keeps a core busy: the threads wait for each other. The choice depends on nothing that is measured, so that
    the same command gives the same bits.

    Args:
        flop_per_step: the floating-point operations of one run in an optimizer step.
    """
    return 1 if flop_per_step < MIN_FLOP_FOR_THREADS else None


def available_kinds() -> list[str]:
    """Return the kinds of device that this machine has, the fastest first."""
    availability = {"cuda": torch.cuda.is_available(), "mps": torch.backends.mps.is_available(), "cpu": True}
    return [kind for kind, is_available in availability.items() if is_available]


def choose_backend(kind: str, index: int | None, precision: str, threads: int | None, graphs: bool = False) -> Backend:
    """Return the device and precision to compute with, and set torch's number of CPU threads.

    Args:
        kind: "cuda", "mps", "cpu", or "auto" for the fastest kind that this machine has.
        index: which of several GPUs; None: the current one.
        precision: "float32", "float64" or "bfloat16".
        threads: the number of CPU threads; None: the number that torch chose at the start.
        graphs: whether an epoch's steps are launched as one CUDA graph.

    Raises:
        DeviceError: if the device is not available, or does not support the precision or graphs.
    """
    kinds = available_kinds()
    if kind == "auto":
        kind = kinds[0]
    if kind not in kinds:
        machine = f"this machine, which has only {' and '.join(kinds)}"
        raise DeviceError(f"device={kind}: not available on {machine}; use device={kinds[0]}")
    count = torch.cuda.device_count() if kind == "cuda" else 1
    if index is not None and index >= count > 1:
        raise DeviceError(f"device.index={index}: there are {count} CUDA devices; use device.index={count - 1} or less")
    if index not in (None, 0) and count == 1:
        raise DeviceError(f"device.index={index}: there is only one {kind} device; leave device.index out")
    if kind == "mps" and precision == "float64":
        raise DeviceError("device.precision=float64: mps has no float64; use device=cpu")
    if graphs and kind != "cuda":
        raise DeviceError(f"device.graphs=true: only cuda has graphs, and this is {kind}; leave device.graphs out")
    torch.set_num_threads(_DEFAULT_THREADS if threads is None else threads)  # resets what an earlier run asked for
    if kind == "cpu":
        keep_freed_memory()
    # The index is explicit, so that tensors that report "cuda:0" compare equal to the device.
    if kind == "cuda":
        device = torch.device(kind, torch.cuda.current_device() if index is None else index)
    else:
        device = torch.device(kind)
    dtype = torch.float64 if precision == "float64" else torch.float32
    return Backend(device, dtype, precision == "bfloat16", graphs)


@contextmanager
def cpu_settings_of_training() -> Iterator[None]:
    """Take subnormal numbers for zero within the block, and leave that and torch's number of threads as they were.

    Adam's averages of gradients that have become zero shrink until rounding keeps them at the smallest subnormal
    numbers, and arithmetic with these takes many times as long. Threads that torch starts within the block do the same;
    those that it has started before go on as they were.
    """
    threads, flushes_subnormals = torch.get_num_threads(), (torch.tensor(1e-40) * 1).item() == 0
    torch.set_flush_denormal(True)
    try:
        yield
    finally:
        torch.set_num_threads(threads)
        torch.set_flush_denormal(flushes_subnormals)


def move_together(tensors: Sequence[Tensor], device: torch.device) -> list[Tensor]:
    """Copy tensors from the CPU to a device: to CUDA in one transfer, and without waiting for what it does meanwhile.

    Args:
        tensors: tensors of any types.
        device: where to.

    Returns:
        The tensors on the device; the same ones if that is the CPU.
    """
    if device.type != "cuda":
        return [tensor.to(device) for tensor in tensors]
    starts = [0]
    for tensor in tensors:
        starts.append(starts[-1] + math.ceil(tensor.nbytes / _ALIGNMENT) * _ALIGNMENT)
    # Only from pinned memory does CUDA copy while the host goes on.
    host = torch.empty(starts[-1], dtype=torch.uint8, pin_memory=True)
    for tensor, start in zip(tensors, starts, strict=False):
        host[start : start + tensor.nbytes].copy_(tensor.contiguous().flatten().view(torch.uint8))
    moved = host.to(device, non_blocking=True)
    return [
        moved[start : start + tensor.nbytes].view(tensor.dtype).view(tensor.shape)
        for tensor, start in zip(tensors, starts, strict=False)
    ]


def refill(target: Tensor, source: Tensor) -> Tensor:
    """Return a tensor with the values of `source`: `target`, overwritten, where the shapes agree, otherwise a copy.

    So a tensor that is made anew for every epoch stays at one address, where a captured graph reads it.
    """
    return target.copy_(source) if target.shape == source.shape else source.clone()


def keep_freed_memory() -> None:
    """Have glibc keep up to 256 MB of freed memory, and take tensors of up to 32 MB from it.

    By default glibc gives much of the memory that a step frees back to the system, and the next step has to wait for
    every page again. That takes up to a fifth of the time of a large cohort's step.
    """
    if sys.platform == "linux":
        with suppress(OSError, AttributeError):  # a C library other than glibc
            mallopt = ctypes.CDLL(None).mallopt
            for parameter, size in ((_M_MMAP_THRESHOLD, 32 * 2**20), (_M_TRIM_THRESHOLD, 256 * 2**20)):
                mallopt(parameter, size)


def use_huge_pages(tensor: Tensor) -> None:
    """Ask Linux to hold a large CPU tensor in pages of 2 MB; where that is not possible, do nothing.

    Steps that go through the whole tensor take 6 % less time.
    """
    if sys.platform == "linux" and tensor.device.type == "cpu":
        start, end = tensor.data_ptr(), tensor.data_ptr() + tensor.nbytes
        first_page = (start + _HUGE_PAGE_BYTES - 1) // _HUGE_PAGE_BYTES * _HUGE_PAGE_BYTES
        last_page = end // _HUGE_PAGE_BYTES * _HUGE_PAGE_BYTES
        if last_page > first_page:
            with suppress(OSError, AttributeError):
                madvise = ctypes.CDLL(None).madvise
                for advice in (_MADV_HUGEPAGE, _MADV_COLLAPSE):
                    madvise(ctypes.c_void_p(first_page), ctypes.c_size_t(last_page - first_page), advice)


def is_out_of_memory(error: BaseException) -> bool:
    """Return whether an error of torch, of Python or of the system says that memory is short, on any device."""
    if isinstance(error, MemoryError):
        return True
    return isinstance(error, RuntimeError | OSError) and any(words in str(error) for words in _SHORTAGES)


def is_device_lost(error: BaseException) -> bool:
    """Return whether an error of torch says that a GPU stopped working, so that all further operations will fail."""
    if not isinstance(error, RuntimeError):
        return False
    message = first_line(error)  # the other lines are advice, which mentions device-side assertions
    return any(name in message for name in ("CUDA", "HIP", "GPU")) and any(words in message for words in _LOSSES)
