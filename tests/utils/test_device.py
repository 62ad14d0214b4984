"""The choice of a device, errors about devices that are not available, and the precision of computations."""

import platform
import subprocess
import sys
from collections.abc import Iterator
from typing import Any

import pytest
import torch
from helpers.pretended_device import pretend_device

import regexp
from regexp.errors import DeviceError
from regexp.training import loop
from regexp.utils import device
from regexp.utils.device import (
    available_kinds,
    choose_backend,
    is_device_lost,
    is_out_of_memory,
    move_together,
    use_huge_pages,
)
from regexp.utils.messages import first_line


@pytest.fixture(autouse=True)
def _restore_settings() -> Iterator[None]:
    threads = torch.get_num_threads()
    yield
    torch.set_num_threads(threads)
    torch.set_flush_denormal(False)


@pytest.fixture
def machine(monkeypatch: pytest.MonkeyPatch, request: pytest.FixtureRequest) -> None:
    """Pretend that the machine has this many CUDA devices, the last of them current, or Apple's mps."""
    gpus = 0 if request.param == "mps" else request.param
    monkeypatch.setattr(torch.cuda, "is_available", lambda: gpus > 0)
    monkeypatch.setattr(torch.cuda, "device_count", lambda: gpus)
    monkeypatch.setattr(torch.cuda, "current_device", lambda: gpus - 1)
    monkeypatch.setattr(torch.backends.mps, "is_available", lambda: request.param == "mps")


def on_machine(machine: int | str) -> pytest.MarkDecorator:
    return pytest.mark.parametrize("machine", [machine], indirect=True)


@on_machine(3)
@pytest.mark.usefixtures("machine")
def test_a_gpu_is_chosen_if_there_is_one() -> None:
    """Its index is explicit, so that it compares equal to the device of tensors that report "cuda:0"."""
    assert available_kinds() == ["cuda", "cpu"]
    assert choose_backend("auto", None, "float32", None).device == torch.device("cuda", 2)
    assert choose_backend("auto", 1, "float32", None).device == torch.device("cuda", 1)
    assert choose_backend("cuda", None, "float32", None).device == torch.device("cuda", 2)
    assert choose_backend("cuda", 0, "float32", None).device == torch.device("cuda", 0)
    assert choose_backend("cpu", None, "float32", None).device == torch.device("cpu")


@on_machine("mps")
@pytest.mark.usefixtures("machine")
def test_mps_is_chosen_if_there_is_no_cuda() -> None:
    assert available_kinds() == ["mps", "cpu"]
    assert choose_backend("auto", 0, "float32", None).device == torch.device("mps")


@on_machine(0)
@pytest.mark.usefixtures("machine")
def test_the_cpu_is_chosen_if_there_is_nothing_else() -> None:
    assert available_kinds() == ["cpu"]
    assert choose_backend("auto", 0, "float32", None).device == torch.device("cpu")


@pytest.mark.parametrize(
    ("machine", "kind", "index", "precision", "message"),
    [
        (0, "cuda", None, "float32", r"device=cuda: not available on this machine, which has only cpu; use device=cpu"),
        (0, "mps", None, "float32", r"device=mps: not available on this machine, which has only cpu; use device=cpu"),
        (
            2,
            "mps",
            None,
            "float32",
            r"device=mps: not available on this machine, which has only cuda and cpu; use device=cuda",
        ),
        (3, "cuda", 3, "float32", r"device\.index=3: there are 3 CUDA devices; use device\.index=2 or less"),
        (3, "auto", 7, "float32", r"device\.index=7: there are 3 CUDA devices; use device\.index=2 or less"),
        (1, "cuda", 1, "float32", r"device\.index=1: there is only one cuda device; leave device\.index out"),
        (0, "auto", 1, "float32", r"device\.index=1: there is only one cpu device; leave device\.index out"),
        (2, "cpu", 1, "float32", r"device\.index=1: there is only one cpu device; leave device\.index out"),
        ("mps", "auto", 1, "float32", r"device\.index=1: there is only one mps device; leave device\.index out"),
        ("mps", "auto", None, "float64", r"device\.precision=float64: mps has no float64; use device=cpu"),
    ],
    indirect=["machine"],
)
@pytest.mark.usefixtures("machine")
def test_an_unavailable_device_is_an_error(kind: str, index: int | None, precision: str, message: str) -> None:
    threads = torch.get_num_threads()
    with pytest.raises(DeviceError, match=f"^{message}$"):
        choose_backend(kind, index, precision, threads + 1)
    assert torch.get_num_threads() == threads


@pytest.mark.parametrize(("machine", "kind"), [(0, "cpu"), (2, "cpu"), ("mps", "mps")], indirect=["machine"])
@pytest.mark.usefixtures("machine")
def test_only_cuda_has_graphs(kind: str) -> None:
    message = f"device.graphs=true: only cuda has graphs, and this is {kind}; leave device.graphs out"
    with pytest.raises(DeviceError, match=f"^{message}$"):
        choose_backend(kind, None, "float32", None, graphs=True)


@pytest.mark.parametrize(
    ("precision", "parameter_dtype", "product_dtype"),
    [
        ("float32", torch.float32, torch.float32),
        ("float64", torch.float64, torch.float64),
        ("bfloat16", torch.float32, torch.bfloat16),
    ],
)
def test_precision_sets_the_types_of_parameters_and_products(
    precision: str, parameter_dtype: torch.dtype, product_dtype: torch.dtype
) -> None:
    backend = choose_backend("cpu", None, precision, None)
    assert backend.dtype == parameter_dtype
    matrix = torch.eye(2, dtype=backend.dtype)
    with backend.autocast_context():
        assert (matrix @ matrix).dtype == product_dtype
    assert (matrix @ matrix).dtype == parameter_dtype


def test_the_number_of_threads_defaults_to_torchs() -> None:
    for threads, description in ((1, "1 thread"), (3, "3 threads")):
        assert choose_backend("cpu", None, "float32", threads).describe() == f"cpu ({description}), float32"
        assert torch.get_num_threads() == threads
    choose_backend("cpu", None, "float32", None)
    assert torch.get_num_threads() == device._DEFAULT_THREADS


def test_every_cohort_of_a_sweep_computes_with_its_own_threads() -> None:
    common = ["epochs=1", "model.hidden_sizes=[4]"]
    jobs = [[*common, f"seed={threads}", f"device.threads={threads}"] for threads in (2, 1)]
    runs = regexp.sweep(jobs, quiet=True)
    assert [run.summary["device"] for run in runs] == ["cpu (2 threads), float32", "cpu (1 thread), float32"]


def test_subnormal_numbers_count_as_zero_on_all_threads() -> None:
    code = (
        "import numpy, torch; from regexp.utils.device import cpu_settings_of_training\n"
        "torch.set_num_threads(2)\n"
        "subnormals = torch.from_numpy(numpy.full(10**6, 10**5, dtype=numpy.int32)).view(torch.float32)\n"
        "with cpu_settings_of_training():\n"
        "    print((subnormals * 2).view(torch.int32).count_nonzero().item())"
    )
    process = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert process.stdout == "0\n"


def flushes_subnormals() -> bool:
    return bool(torch.tensor(1e-40) * 1 == 0)


@pytest.mark.parametrize("flushed_before", [False, True])
def test_a_run_leaves_torch_as_it_was(flushed_before: bool, monkeypatch: pytest.MonkeyPatch) -> None:
    torch.set_flush_denormal(flushed_before)
    torch.set_num_threads(2)
    settings: list[tuple[int, bool]] = []
    train = loop.train

    def recording_train(*arguments: Any) -> None:
        settings.append((torch.get_num_threads(), flushes_subnormals()))
        train(*arguments)

    monkeypatch.setattr(loop, "train", recording_train)
    regexp.run(["epochs=1", "model.hidden_sizes=[4]"])
    assert settings == [(1, True)]
    assert (torch.get_num_threads(), flushes_subnormals()) == (2, flushed_before)


@pytest.mark.slow
@pytest.mark.skipif(platform.libc_ver()[0] != "glibc", reason="the C library is not glibc")
def test_steps_reuse_the_pages_of_freed_tensors() -> None:
    code = (
        "import resource, torch; from regexp.utils.device import choose_backend\n"
        "choose_backend('cpu', None, 'float32', 1)\n"
        "def faults():\n"
        "    before = resource.getrusage(resource.RUSAGE_SELF).ru_minflt\n"
        "    for _ in range(50): torch.ones(2**21).add(1)\n"
        "    return resource.getrusage(resource.RUSAGE_SELF).ru_minflt - before\n"
        "faults(); print(faults())"
    )
    process = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert int(process.stdout) < 50 * 2048 / 10  # each of the 50 tensors has 2048 pages of 4 kB


@pytest.mark.parametrize("size", [10, 2**19, 2**21 + 3])
@pytest.mark.parametrize("offset", [0, 5])
def test_huge_pages_change_no_value(size: int, offset: int) -> None:
    tensor = torch.arange(size + offset, dtype=torch.float32)
    use_huge_pages(tensor[offset:])
    assert torch.equal(tensor, torch.arange(size + offset, dtype=torch.float32))


# The advice that follows the first line of CUDA's errors.
ADVICE = (
    "CUDA kernel errors might be asynchronously reported at some other API call, so the stacktrace below might be "
    "incorrect.\nFor debugging consider passing CUDA_LAUNCH_BLOCKING=1\n"
    "Compile with `TORCH_USE_CUDA_DSA` to enable device-side assertions."
)
SHORTAGES = [
    MemoryError(),
    MemoryError("Unable to allocate 8.00 GiB for an array"),
    OSError(12, "Cannot allocate memory"),
    torch.OutOfMemoryError("CUDA out of memory. Tried to allocate 20.00 MiB. GPU 0 has a total capacity of 8 GiB"),
    torch.OutOfMemoryError("HIP out of memory. Tried to allocate 20.00 MiB."),
    RuntimeError(f"CUDA error: out of memory\n{ADVICE}"),
    RuntimeError("CUDA error: CUBLAS_STATUS_ALLOC_FAILED when calling `cublasCreate(handle)`"),
    RuntimeError("cuDNN error: CUDNN_STATUS_ALLOC_FAILED"),
    RuntimeError("cusolver error: CUSOLVER_STATUS_ALLOC_FAILED, when calling `cusolverDnCreate(handle)`"),
    RuntimeError(
        "MPS backend out of memory (MPS allocated: 8.00 GB, other allocations: 1.00 GB, max allowed: 9.07 GB). "
        "Tried to allocate 256.00 MB on private pool."
    ),
    RuntimeError("Invalid buffer size: 20.00 GiB"),
    RuntimeError(
        "[enforce fail at alloc_cpu.cpp:118] err == 0. DefaultCPUAllocator: can't allocate memory: you tried "
    ),
    RuntimeError("[enforce fail at alloc_cpu.cpp:80] data. DefaultCPUAllocator: not enough memory: you tried to "),
    RuntimeError("std::bad_alloc"),
]
LOSSES = [
    RuntimeError(f"CUDA error: {message}\n{ADVICE}")
    for message in (
        "an illegal memory access was encountered",
        "an illegal instruction was encountered",
        "misaligned address",
        "device-side assert triggered",
        "unspecified launch failure",
        "the launch timed out and was terminated",
        "hardware stack error",
        "uncorrectable ECC error encountered",
        "uncorrectable NVLink error detected during the execution",
        "context is destroyed",
    )
]
LOSSES += [
    RuntimeError("HIP error: an illegal memory access was encountered"),
    RuntimeError("NVML error: GPU is lost"),
    RuntimeError("the GPU is no longer accessible"),
]
OTHER_ERRORS = [
    RuntimeError("Expected all tensors to be on the same device, but found at least two devices, cuda:0 and cpu!"),
    RuntimeError("mat1 and mat2 shapes cannot be multiplied (3x4 and 5x6)"),
    RuntimeError("CUDA error: CUBLAS_STATUS_EXECUTION_FAILED when calling `cublasSgemm(...)`"),
    RuntimeError(f"CUDA error: no kernel image is available for execution on the device\n{ADVICE}"),
    RuntimeError(f"CUDA error: invalid argument\n{ADVICE}"),
    OSError(28, "No space left on device"),
    ValueError("out of memory, says a file that cannot be read"),
    ValueError("device-side assert triggered"),
    RuntimeError("the file is no longer there"),
]


@pytest.mark.parametrize("error", [*SHORTAGES, *LOSSES, *OTHER_ERRORS], ids=first_line)
def test_errors_of_devices_are_told_apart(error: Exception) -> None:
    assert is_out_of_memory(error) == (error in SHORTAGES)
    assert is_device_lost(error) == (error in LOSSES)


def test_errors_that_torch_raises_when_memory_is_short() -> None:
    with pytest.raises(RuntimeError) as caught:
        torch.empty(2**60, dtype=torch.uint8)
    assert is_out_of_memory(caught.value)


@pytest.mark.parametrize("kind", ["cpu", "cuda:1", "mps"])
def test_tensors_are_moved_together(kind: str) -> None:
    tensors = [
        torch.arange(5),
        torch.empty(0, dtype=torch.int32),
        torch.rand(3, 2).T,
        torch.tensor(7, dtype=torch.int16),
        torch.tensor([True, False, True]),
        torch.rand(2, dtype=torch.float32),
    ]
    if kind == "cpu":
        moved = move_together(tensors, torch.device(kind))
        assert all(result is tensor for result, tensor in zip(moved, tensors, strict=True))
        return
    with pretend_device(kind) as mode:
        moved = move_together(tensors, mode.device)
        assert all(tensor.device == mode.device for tensor in moved)
        assert kind == "mps" or not mode.waits
        assert mode.launches.total() <= (len(tensors) if kind == "mps" else 1)
        for result, tensor in zip(moved, tensors, strict=True):
            assert result.dtype == tensor.dtype
            assert torch.equal(result.cpu(), tensor)
