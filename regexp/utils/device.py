"""The device a cohort trains on, and the precision it computes in."""

import ctypes
import sys
from contextlib import AbstractContextManager, nullcontext, suppress
from dataclasses import dataclass

import torch
from torch import Tensor

from regexp.errors import DeviceError

# What torch chose, before any run asked for something else.
_THREADS = torch.get_num_threads()
# Of glibc's <malloc.h>.
_M_TRIM_THRESHOLD, _M_MMAP_THRESHOLD = -1, -3
# Of Linux's <sys/mman.h>.
_MADV_HUGEPAGE, _MADV_COLLAPSE = 14, 25
_HUGE = 2 * 2**20


@dataclass(frozen=True)
class Compute:
    """Where and how to compute: parameters in `dtype`; with `autocast`, matrix products in bfloat16."""

    device: torch.device
    dtype: torch.dtype
    autocast: bool

    def arithmetic(self) -> AbstractContextManager[object]:
        """The context in which a model's forward pass runs."""
        return torch.autocast(self.device.type, torch.bfloat16) if self.autocast else nullcontext()

    @property
    def sum_dtype(self) -> torch.dtype:
        """In which sums over many batches are kept: float64 where there is one."""
        return torch.float32 if self.device.type == "mps" else torch.float64

    def describe(self) -> str:
        """Device, its name or threads, and precision, in words."""
        where = str(self.device)
        if self.device.type == "cuda":
            where += f" ({torch.cuda.get_device_name(self.device)})"
        if self.device.type == "cpu":
            threads = torch.get_num_threads()
            where += f" ({threads} thread{'s' if threads > 1 else ''})"
        precision = "bfloat16 products, float32 parameters" if self.autocast else str(self.dtype).split(".")[1]
        return f"{where}, {precision}"


def available() -> list[str]:
    """Kinds of device on this machine, best first."""
    kinds = {"cuda": torch.cuda.is_available(), "mps": torch.backends.mps.is_available(), "cpu": True}
    return [kind for kind, there in kinds.items() if there]


def choose_device(kind: str, index: int | None, precision: str, threads: int | None) -> Compute:
    """The device asked for, or with kind "auto" the best there is; sets torch's CPU threads.

    Raises DeviceError if it is not there or lacks the precision.
    """
    kinds = available()
    if kind == "auto":
        kind = kinds[0]
    if kind not in kinds:
        raise DeviceError(f"device={kind}: not on this machine, which has {' and '.join(kinds)}; use device={kinds[0]}")
    count = torch.cuda.device_count() if kind == "cuda" else 1
    if index is not None and index >= count > 1:
        raise DeviceError(f"device.index={index}: there are {count} CUDA devices; use device.index={count - 1} or less")
    if index not in (None, 0) and count == 1:
        raise DeviceError(f"device.index={index}: there is only one {kind}; leave device.index out")
    if kind == "mps" and precision == "float64":
        raise DeviceError("device.precision=float64: mps has no float64; use device=cpu")
    torch.set_num_threads(_THREADS if threads is None else threads)  # undoes what an earlier run asked for
    if kind == "cpu":
        keep_freed_memory()
    # An explicit index, so that tensors that report "cuda:0" compare equal to it.
    if kind == "cuda":
        device = torch.device(kind, torch.cuda.current_device() if index is None else index)
    else:
        device = torch.device(kind)
    dtype = torch.float64 if precision == "float64" else torch.float32
    return Compute(device, dtype, autocast=precision == "bfloat16")


def keep_freed_memory() -> None:
    """Have glibc keep up to 256 MB of what is freed, and take tensors of up to 32 MB from it.

    By default it gives much of what a step frees back to the system, and the next step waits for every page anew: up to
    a fifth of the time of a large cohort's step.
    """
    if sys.platform == "linux":
        with suppress(OSError, AttributeError):  # another C library
            mallopt = ctypes.CDLL(None).mallopt
            for parameter, size in ((_M_MMAP_THRESHOLD, 32 * 2**20), (_M_TRIM_THRESHOLD, 256 * 2**20)):
                mallopt(parameter, size)


def in_huge_pages(tensor: Tensor) -> None:
    """Ask Linux to hold a large tensor on the CPU in pages of 2 MB; where that cannot be, all stays as it was.

    For what every step goes through: it takes 6 % less time.
    """
    if sys.platform == "linux" and tensor.device.type == "cpu":
        start, end = tensor.data_ptr(), tensor.data_ptr() + tensor.nbytes
        first, last = -(-start // _HUGE) * _HUGE, end // _HUGE * _HUGE
        if last > first:
            with suppress(OSError, AttributeError):
                madvise = ctypes.CDLL(None).madvise
                for advice in (_MADV_HUGEPAGE, _MADV_COLLAPSE):
                    madvise(ctypes.c_void_p(first), ctypes.c_size_t(last - first), advice)
