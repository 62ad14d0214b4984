"""How much memory a cohort's tensors take at the most, counted as they come and go."""

import weakref
from collections.abc import Iterator, Mapping, Sequence
from typing import Any

import pytest
import torch
from helpers.cohorts import Quiet, make_cohort
from torch import Tensor
from torch.utils._python_dispatch import TorchDispatchMode

from regexp.execution import memory
from regexp.training.loop import train
from regexp.utils.signals import StopRequest


def tensors_in(value: Any) -> Iterator[Tensor]:
    if isinstance(value, Tensor):
        yield value
    elif isinstance(value, Mapping):
        yield from tensors_in(list(value.values()))
    elif isinstance(value, list | tuple):
        for entry in value:
            yield from tensors_in(entry)


class Counting(TorchDispatchMode):
    """Adds up the bytes of all storages that operations made and that still live.

    Attributes:
        peak: the most that lived at a time.
    """

    def __init__(self) -> None:
        super().__init__()
        self.alive: dict[int, int] = {}
        self.total = self.peak = 0

    def note(self, tensor: Tensor) -> None:
        storage = tensor.untyped_storage()
        if id(storage) not in self.alive:
            self.alive[id(storage)] = storage.nbytes()
            self.total += storage.nbytes()
            self.peak = max(self.peak, self.total)
            weakref.finalize(storage, self.gone, id(storage))

    def gone(self, key: int) -> None:
        self.total -= self.alive.pop(key)

    def __torch_dispatch__(self, func: Any, types: Any, args: Sequence[Any] = (), kwargs: Any = None) -> Any:
        result = func(*args, **(kwargs or {}))
        for tensor in tensors_in(result):
            self.note(tensor)
        return result


def test_counting_counts() -> None:
    with Counting() as counting:
        a = torch.zeros(1000)
        b = a + 1
        del a
        c = b.view(10, 100) * 2
        del b
    assert counting.peak == 8000
    assert counting.total == c.nbytes


# Wide enough for the weights to outweigh all else.
WIDE = ["model.hidden_sizes=[1500,1500]", "data.train_size=100", "normalization=batch", "early_stopping=none"]


@pytest.mark.parametrize("leaving", [(2, 2, 2, 2), (1, 2, 2, 3)], ids=str)
def test_a_cohort_takes_no_more_than_half_as_much_again_as_its_weights_need(leaving: tuple[int, ...]) -> None:
    own = [[f"epochs={epochs}", f"seed={k % 2}", f"optimizer.lr={k + 1}e-5"] for k, epochs in enumerate(leaving)]
    runs = [[*WIDE, *overrides] for overrides in own]
    with Counting() as counting:
        cohort, memories = make_cohort(*runs)
        for recorder in memories:  # what they keep would count as the cohort's
            recorder.save = recorder.finish = lambda _: None  # type: ignore[method-assign]
        data, architecture = cohort.dataset, cohort.model.architecture
        train(cohort, Quiet(), StopRequest())
    assert data.test is not None
    parts = (data.train, data.measured, data.validation, data.test)
    images = sum(part.images.nbytes for part in parts) + 2 * memory.estimate_stream_bytes(data.shape, torch.float32)
    needed = len(runs) * memory.count_parameters(architecture) * 4 * 5  # weights, gradients, two moments, best weights
    assert needed < counting.peak <= 1.5 * needed + images
