"""The peak memory of a cohort's tensors, measured by counting the bytes of all living storages."""

import weakref
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import replace
from typing import Any

import pytest
import torch
from helpers.cohorts import QuietReporter, make_cohort
from torch import Tensor
from torch.utils._python_dispatch import TorchDispatchMode

from regexp.config.compose import compose_job
from regexp.data.dataset import Images
from regexp.execution.forecasting import memory
from regexp.execution.forecasting.run_memory import estimate_bytes_per_run
from regexp.training import evaluation
from regexp.training.evaluation import evaluate
from regexp.training.loop import train
from regexp.utils.signals import StopRequest


def tensors_in(value: Any) -> Iterator[Tensor]:
    """Yield the tensors in nested mappings, lists and tuples."""
    if isinstance(value, Tensor):
        yield value
    elif isinstance(value, Mapping):
        yield from tensors_in(list(value.values()))
    elif isinstance(value, list | tuple):
        for entry in value:
            yield from tensors_in(entry)


class StorageCounter(TorchDispatchMode):
    """A dispatch mode that adds up the bytes of all storages that operations made and that are still alive.

    Attributes:
        sizes: the bytes of each living storage, by the id of the storage.
        total: the bytes of all living storages.
        peak: the largest total so far.
    """

    def __init__(self) -> None:
        super().__init__()
        self.sizes: dict[int, int] = {}
        self.total = self.peak = 0

    def add(self, tensor: Tensor) -> None:
        """Count the storage of a tensor, unless it is counted already."""
        storage = tensor.untyped_storage()
        if id(storage) not in self.sizes:
            self.sizes[id(storage)] = storage.nbytes()
            self.total += storage.nbytes()
            self.peak = max(self.peak, self.total)
            weakref.finalize(storage, self.remove, id(storage))

    def remove(self, storage_id: int) -> None:
        """Stop counting a storage that no longer lives."""
        self.total -= self.sizes.pop(storage_id)

    def __torch_dispatch__(self, func: Any, types: Any, args: Sequence[Any] = (), kwargs: Any = None) -> Any:
        result = func(*args, **(kwargs or {}))
        for tensor in tensors_in(result):
            self.add(tensor)
        return result


def test_the_counter_counts_living_storages_once() -> None:
    with StorageCounter() as counter:
        a = torch.zeros(1000)
        b = a + 1
        del a
        c = b.view(10, 100) * 2
        del b
    assert counter.peak == 8000
    assert counter.total == c.nbytes


# So wide that the weights outweigh everything else.
WIDE = ["model.hidden_sizes=[1500,1500]", "data.train_size=100", "normalization=batch", "early_stopping=none"]


@pytest.mark.parametrize("epochs_of_runs", [(2, 2, 2, 2), (1, 2, 2, 3)], ids=str)
def test_the_peak_memory_of_a_cohort_is_at_most_1_5_times_that_of_its_weights(epochs_of_runs: tuple[int, ...]) -> None:
    runs = [
        [*WIDE, f"epochs={epochs}", f"seed={k % 2}", f"optimizer.lr={k + 1}e-5"]
        for k, epochs in enumerate(epochs_of_runs)
    ]
    with StorageCounter() as counter:
        cohort, recorders = make_cohort(*runs)
        for recorder in recorders:  # the tensors that recorders keep would be counted too
            recorder.record_checkpoint = recorder.record_result = lambda _: None  # type: ignore[method-assign]
        data, architecture = cohort.dataset, cohort.model.architecture
        train(cohort, QuietReporter(), StopRequest())
    assert data.test is not None
    splits = (data.train, data.measured, data.validation, data.test)
    stream_bytes = 2 * memory.estimate_stream_bytes(data.shape, len(data.train), torch.float32)
    image_bytes = sum(split.images.nbytes for split in splits) + stream_bytes
    # Each parameter has its value, its gradient, two moments and its best value.
    weight_bytes = len(runs) * architecture.costs.num_parameters * 4 * 5
    assert weight_bytes < counter.peak <= 1.5 * weight_bytes + image_bytes


@pytest.mark.parametrize("count", [1, 4])
def test_evaluation_takes_at_most_the_estimated_memory_for_any_number_of_runs_and_images(count: int) -> None:
    runs = [["model.hidden_sizes=[300,200]", "normalization=batch", f"optimizer.lr=1e-{k + 1}"] for k in range(count)]
    cohort, _ = make_cohort(*runs)
    images = Images(torch.zeros(30_000, 1, 8, 8, dtype=torch.uint8), torch.zeros(30_000, dtype=torch.long))
    with StorageCounter() as counter:
        evaluate(cohort.model, count, images, cohort.backend)
    expected = memory.estimate_evaluation_bytes(torch.device("cpu"))
    assert expected / 4 < counter.peak <= expected


GIGABYTE = 2**30


def test_memory_that_torch_keeps_on_a_gpu_is_free(monkeypatch: pytest.MonkeyPatch) -> None:
    """Of 16 GB, other programs have 2 and torch has reserved 6, of which tensors use 1."""
    used_by = {"others": 2, "reserved": 6, "tensors": 1}
    device = torch.device("cuda", 1)

    def gigabytes(count: int) -> Callable[[torch.device], int]:
        def function(asked_device: torch.device) -> int:
            assert asked_device == device
            return count * GIGABYTE

        return function

    free = gigabytes(16 - used_by["others"] - used_by["reserved"])
    monkeypatch.setattr(torch.cuda, "mem_get_info", lambda device: (free(device), 16 * GIGABYTE))
    monkeypatch.setattr(torch.cuda, "memory_reserved", gigabytes(used_by["reserved"]))
    monkeypatch.setattr(torch.cuda, "memory_allocated", gigabytes(used_by["tensors"]))
    assert memory.read_free_bytes(device) == (16 - used_by["others"] - used_by["tensors"]) * GIGABYTE


def test_memory_that_torch_keeps_on_mps_is_free(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(torch.mps, "recommended_max_memory", lambda: 16 * GIGABYTE)
    monkeypatch.setattr(torch.mps, "driver_allocated_memory", lambda: 6 * GIGABYTE)
    monkeypatch.setattr(torch.mps, "current_allocated_memory", lambda: GIGABYTE)
    assert memory.read_free_bytes(torch.device("mps")) == 15 * GIGABYTE


SMALL = ["data.train_size=100", "early_stopping=none", "epochs=1"]


def measure_peak(*runs: Sequence[str], tests: Images | None = None) -> tuple[int, int]:
    """Return the peak memory of training a cohort of runs, and the bytes that are estimated for them."""
    with StorageCounter() as counter:
        cohort, recorders = make_cohort(*runs)
        for recorder in recorders:
            recorder.record_checkpoint = recorder.record_result = lambda _: None  # type: ignore[method-assign]
        if tests is not None:
            cohort.dataset = replace(cohort.dataset, test=tests)
        train(cohort, QuietReporter(), StopRequest())
    configs = [compose_job(words).config for words in runs]
    bytes_per_run = estimate_bytes_per_run(configs, cohort.model.architecture, cohort.dataset, cohort.backend)
    return counter.peak, len(runs) * bytes_per_run


# Each alone, and beside a run that needs less: tensors are stacked.
@pytest.mark.slow
@pytest.mark.parametrize(
    "options",
    [
        ["epochs=4", "averaging=snapshots"],
        ["epochs=4", "averaging=snapshots", "averaging.snapshots=2"],
        ["averaging=ema"],
        ["optimizer.sam_rho=0.05"],
        ["optimizer.lookahead_k=2"],
        ["optimizer.gradient_noise=0.1"],
        [],
    ],
    ids=" ".join,
)
def test_the_estimate_of_a_run_is_near_the_peak_whatever_it_keeps_of_its_weights(options: list[str]) -> None:
    is_averaged = any(word.startswith("averaging") for word in options)
    others = [*options, *(["averaging.cycles=1"] if "averaging=snapshots" in options else [])] if is_averaged else []
    peak, estimate = measure_peak([*SMALL, *WIDE, *others, "optimizer.lr=1e-4"], [*SMALL, *WIDE, *options])
    # Not counted are the images, and a copy of the weights when runs are tested: see USABLE_FRACTION.
    assert 0.9 < peak / estimate < 1.3


def test_kept_logits_are_counted(monkeypatch: pytest.MonkeyPatch) -> None:
    """There are so many images here, and so few are evaluated at a time, that nothing else counts."""
    monkeypatch.setitem(evaluation.BYTES_AT_ONCE, "cpu", 2**16)
    num_images = 8000
    tests = Images(torch.zeros(num_images, 1, 8, 8, dtype=torch.uint8), torch.zeros(num_images, dtype=torch.long))
    words = [[*SMALL, "model.hidden_sizes=[1]", f"optimizer.lr=1e-{k}"] for k in (2, 3)]
    (peak, estimate), (keeping_peak, keeping_estimate) = (
        measure_peak(*[[*run, *asked] for run in words], tests=tests) for asked in ([], ["predictions=true"])
    )
    assert keeping_estimate - estimate == 2 * 2 * num_images * 10 * 4
    assert 0.5 * (keeping_estimate - estimate) < keeping_peak - peak <= keeping_estimate - estimate
