"""A pretended device refuses what a GPU refuses, and counts what makes a program wait for a GPU."""

from collections.abc import Callable

import pytest
import torch
from helpers.pretended_device import pretend_device
from helpers.pretended_tensors import DeviceFault
from torch import Tensor

# What a GPU would refuse, on tensors `x` on the device and `y` on the CPU.
FAULTS: dict[str, Callable[[Tensor, Tensor], object]] = {
    "a sum of two devices": lambda x, y: x + y,
    "a product of two devices": lambda x, y: x.unsqueeze(1) @ y.unsqueeze(0),
    "a stack of two devices": lambda x, y: torch.stack([x, y]),
    "rows chosen by an index on the CPU": lambda x, y: x.index_select(0, torch.tensor([0])),
    "a choice of two devices": lambda x, y: torch.where(x > 0, x, y),
    "a CPU number where a kernel reads memory": lambda x, y: torch.cat([x, y.sum().view(1)]),
    "a list of two devices": lambda x, y: torch._foreach_add_([x], [y]),
    "a CPU step count of a fused optimizer": lambda x, y: torch._fused_adam_(
        [x],
        [x],
        [x],
        [x],
        [],
        [y.sum()],
        lr=0.1,
        beta1=0.9,
        beta2=0.9,
        weight_decay=0,
        eps=1,
        amsgrad=False,
        maximize=False,
    ),
    "the CPU's generator": lambda x, y: x.uniform_(generator=torch.Generator()),
    "the device's generator for the CPU": lambda x, y: y.uniform_(generator=torch.Generator(x.device)),
    "the generator of the other GPU": lambda x, y: torch.rand(3, device=x.device, generator=torch.Generator("cuda")),
    "an array of numpy": lambda x, y: x.numpy(),
    "oneDNN's product": lambda x, y: torch.ops.mkldnn._linear_pointwise(
        x.view(1, 3), x.view(1, 3), None, "none", [], ""
    ),
    "a result written to the other device": lambda x, y: torch.add(x, x, out=y),
    "waiting for the other GPU": lambda x, y: torch.cuda.synchronize(),
}
# What makes the host wait for the device, or for a copy.
WAITS: dict[str, Callable[[Tensor, Tensor], object]] = {
    "a number": lambda x, y: x.sum().item(),
    "a float": lambda x, y: float(x[0]),
    "a condition": lambda x, y: bool((x > 0).any()),
    "a list": lambda x, y: x.tolist(),
    "a boolean mask": lambda x, y: x[x > 0],
    "an assignment by a boolean mask": lambda x, y: x.index_put_((x > 0,), x[:0]),
    "an index on the CPU": lambda x, y: x[torch.tensor([0])],
    "positions": lambda x, y: x.nonzero(),
    "counts": lambda x, y: torch.bincount(x.long()),
    "repeats": lambda x, y: x.repeat_interleave(x.long()),
    "a comparison of all": lambda x, y: torch.equal(x, x),
    "a move to the device": lambda x, y: y.to(x.device),
    "a move from memory that is not pinned": lambda x, y: y.to(x.device, non_blocking=True),
    "a move to the host": lambda x, y: x.cpu(),
    "a copy to the device": lambda x, y: x.copy_(y),
    "a copy to the host": lambda x, y: y.copy_(x),
    "a tensor of numbers": lambda x, y: torch.tensor([1.0], device=x.device),
    "synchronizing": lambda x, y: torch.cuda.synchronize(x.device),
}
# What neither fails nor waits.
ALLOWED: dict[str, Callable[[Tensor, Tensor], object]] = {
    "numbers": lambda x, y: x * 2 + 1,
    "a tensor of one number on the CPU": lambda x, y: x * torch.tensor(2.0) + torch.tensor(1.0),
    "rows chosen by an index on the device": lambda x, y: x.index_select(0, torch.arange(2, device=x.device)),
    "zeros": lambda x, y: torch.zeros(3, device=x.device).add_(x),
    "draws": lambda x, y: torch.rand(3, device=x.device, generator=torch.Generator(x.device)),
    "a move from pinned memory": lambda x, y: y.pin_memory().to(x.device, non_blocking=True),
    "a copy from pinned memory": lambda x, y: x.copy_(torch.empty(3, pin_memory=True), non_blocking=True),
}


@pytest.mark.parametrize("name", FAULTS)
def test_a_pretended_device_refuses(name: str) -> None:
    with pretend_device() as mode:
        x, y = torch.zeros(3, device=mode.device), torch.zeros(3)
        with pytest.raises(DeviceFault):
            FAULTS[name](x, y)


@pytest.mark.parametrize("name", WAITS)
def test_a_pretended_device_lets_wait_for(name: str) -> None:
    with pretend_device() as mode:
        x, y = torch.zeros(3, device=mode.device), torch.zeros(3)
        WAITS[name](x, y)
        assert mode.waits.total() > 0


@pytest.mark.parametrize("name", ALLOWED)
def test_a_pretended_device_computes_without_waiting(name: str) -> None:
    with pretend_device() as mode:
        x, y = torch.zeros(3, device=mode.device), torch.zeros(3)
        ALLOWED[name](x, y)
        assert mode.waits.total() == 0


def test_pinned_memory_must_not_change_before_it_is_copied() -> None:
    with pretend_device() as mode:
        pinned = torch.zeros(3).pin_memory()
        pinned.to(mode.device, non_blocking=True)
        torch.cuda.synchronize(mode.device)
        pinned[0] = 1
        pinned.to(mode.device, non_blocking=True)
        pinned[0] = 2
        with pytest.raises(DeviceFault, match="pinned memory was overwritten"):
            torch.cuda.synchronize(mode.device)


def test_mps_refuses_float64_copies_without_waiting_and_missing_operators() -> None:
    with pretend_device("mps") as mode:
        x = torch.zeros(3, device="mps")
        for fault in (
            x.double,
            lambda: torch.zeros(3, dtype=torch.float64, device="mps"),
            lambda: torch.zeros(3, dtype=torch.float64).to(mode.device),
            lambda: x.copy_(torch.zeros(3), non_blocking=True),
            lambda: torch.zeros(3).pin_memory().to(mode.device, non_blocking=True),
            lambda: x.long().random_(-(2**63), None),
            lambda: torch.histc(x.double()),
            lambda: torch.special.airy_ai(x),
        ):
            with pytest.raises(DeviceFault):
                fault()


def test_launches_are_counted_by_operator_and_place() -> None:
    with pretend_device() as mode:
        x = torch.zeros(4, device=mode.device)
        mode.launches.clear()
        y = x.view(2, 2).t()[0] + 1  # views take none
        torch._foreach_add_([x, y], 1.0)
    assert {name for name, _ in mode.launches} == {"add", "_foreach_add_"}
    assert mode.launches.total() == 2


def test_a_replay_computes_what_was_captured_on_the_values_of_then() -> None:
    with pretend_device("cuda:0") as mode:
        x, total = torch.ones(3, device=mode.device), torch.zeros(3, device=mode.device)
        graph = torch.cuda.CUDAGraph()
        with torch.cuda.graph(graph):
            total.add_((x * 2).view(3, 1)[:, 0] + torch.ones(3, device=mode.device))
        assert total.tolist() == [0, 0, 0]  # a capture computes nothing
        graph.replay()
        assert total.tolist() == [3, 3, 3]
        x.copy_(torch.tensor([0.0, 1.0, 2.0], device=mode.device))
        graph.replay()
        assert total.tolist() == [4, 6, 8]


@pytest.mark.parametrize("name", [*WAITS, "a move from pinned memory", "a copy from pinned memory"])
def test_a_capture_refuses_waits_and_copies_from_the_host(name: str) -> None:
    with pretend_device("cuda:0") as mode:
        x, y = torch.zeros(3, device=mode.device), torch.zeros(3)
        with pytest.raises(DeviceFault), torch.cuda.graph(torch.cuda.CUDAGraph()):
            (WAITS | ALLOWED)[name](x, y)


def test_a_capture_is_of_the_current_device() -> None:
    with pretend_device("cuda:1") as mode:
        with pytest.raises(DeviceFault, match="captures cuda:0"), torch.cuda.graph(torch.cuda.CUDAGraph()):
            pass
        with torch.cuda.device(mode.device), torch.cuda.graph(torch.cuda.CUDAGraph()):
            pass
