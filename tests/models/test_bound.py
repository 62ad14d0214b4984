"""Plain modules on the run axis train as they do alone, whatever they hold and draw."""

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import pytest
import torch
import torch.nn.functional as F
from helpers.cohorts import DOUBLE, MemoryRecorder, QuietReporter, make_cohort
from torch import Tensor, nn

from regexp import load_run, run
from regexp.config.compose import compose_job
from regexp.data.dataset import scale
from regexp.errors import ConfigError
from regexp.execution.builders import load_dataset, make_architecture
from regexp.models import cnn
from regexp.models.bound import BoundModel
from regexp.models.costs import ModelCosts, measure_costs
from regexp.models.initialization import make_modules
from regexp.models.mlp import MLPArchitecture
from regexp.models.module_tensors import load_tensors
from regexp.training.checkpoints import Checkpoint
from regexp.training.loop import train
from regexp.utils.rng import draw_from, random_stream
from regexp.utils.signals import StopRequest

CLASSES = 10


class Convolutional(nn.Module):
    """Layers of torch with buffers and draws."""

    def __init__(self) -> None:
        super().__init__()
        self.features = nn.Sequential(nn.Conv2d(1, 4, 3), nn.BatchNorm2d(4), nn.ReLU(), nn.Dropout2d(0.3))
        self.head = nn.Linear(4 * 6 * 6, CLASSES)

    def forward(self, x: Tensor) -> Tensor:
        y: Tensor = self.head(self.features(x).flatten(1))
        return y


class Drawing(nn.Module):
    """Functions that draw from the global generator."""

    def __init__(self) -> None:
        super().__init__()
        self.weight = nn.Parameter(torch.randn(64, CLASSES) / 8)

    def forward(self, x: Tensor) -> Tensor:
        if self.training:
            x = F.dropout(x + 0.1 * torch.rand_like(x), 0.2)
        return x.flatten(1) @ self.weight


class Unusual(nn.Module):
    """Tied weights, a frozen parameter, a buffer of whole numbers, one that is not stored, and one that grows."""

    count: Tensor
    mask: Tensor

    def __init__(self) -> None:
        super().__init__()
        self.first = nn.Linear(64, 64)
        self.second = nn.Linear(64, 64)
        self.second.weight = self.first.weight
        self.frozen = nn.Parameter(torch.randn(64, CLASSES) / 8, requires_grad=False)
        self.register_buffer("count", torch.zeros((), dtype=torch.long))
        self.register_buffer("mask", (torch.arange(64) % 2).bool(), persistent=False)
        self.num_calls = 0

    def forward(self, x: Tensor) -> Tensor:
        self.num_calls += 1
        if self.training:
            self.count += 1
        return self.second(self.first(x.flatten(1)).relu() * self.mask).relu() @ self.frozen


class Assigning(nn.Module):
    """A buffer that is assigned anew, images that are changed in place, and a weight that is computed from others."""

    mean: Tensor

    def __init__(self) -> None:
        super().__init__()
        self.layer = nn.utils.parametrizations.spectral_norm(nn.Linear(64, CLASSES))
        self.register_buffer("mean", torch.zeros(64))

    def forward(self, x: Tensor) -> Tensor:
        if self.training:
            self.mean = 0.9 * self.mean + 0.1 * x.flatten(1).mean(0)
        x.mul_(2)
        y: Tensor = self.layer(x.flatten(1) - self.mean)
        return y


class Referring(nn.Module):
    """Hooks on parameters, a parameter that is used through a list, and a mean of weights in frozen parameters."""

    def __init__(self) -> None:
        super().__init__()
        self.first, self.second = nn.Linear(64, 16), nn.Linear(16, CLASSES)
        self.first.bias.register_hook(lambda gradient: gradient * 0)
        self.weights = [self.second.weight]
        self.mean = nn.Linear(16, CLASSES).requires_grad_(requires_grad=False)

    def forward(self, x: Tensor) -> Tensor:
        if self.training:
            self.mean.weight.data = 0.9 * self.mean.weight.data + 0.1 * self.second.weight.data
        hidden = self.first(x.flatten(1)).tanh()
        return hidden @ self.weights[0].T + self.second.bias + self.mean(hidden)


@dataclass(frozen=True)
class Architecture:
    """An architecture of modules of one class, for images of digits."""

    module: Callable[[], nn.Module]
    costs: ModelCosts = field(default_factory=lambda: ModelCosts(1000, 1000, 1000))

    def make_model(self, seeds: Sequence[int], rates: Sequence[Mapping[str, float]]) -> BoundModel:
        return BoundModel(self, make_modules(self, seeds, rates), copies_images=True)

    def make_module(self, rates: Mapping[str, float] = {}) -> nn.Module:
        return self.module()

    def describe(self) -> str:
        return "a module"

    def first_layer_weight(self, state: Mapping[str, Tensor]) -> Tensor | None:
        return None

    @classmethod
    def from_options(cls, input_shape: tuple[int, int, int], num_classes: int, options: Mapping[str, Any]) -> Any:
        raise NotImplementedError


@dataclass(frozen=True)
class BoundMLP:
    """An MLP of plain modules, with the initial weights of the stacked one."""

    mlp: MLPArchitecture

    def __getattr__(self, name: str) -> Any:
        return getattr(self.mlp, name)

    def make_model(self, seeds: Sequence[int], rates: Sequence[Mapping[str, float]]) -> BoundModel:
        stacked = self.mlp.make_model(seeds, rates)
        modules = [self.mlp.make_module() for _ in seeds]
        for k, module in enumerate(modules):
            module.load_state_dict(stacked.run_state(k))
        return BoundModel(self, modules)


MODULES = (Convolutional, Drawing, Unusual, Assigning, Referring)
COMMON = [DOUBLE, "epochs=4", "data.train_size=300", "optimizer.lr=0.01", "optimizer.weight_decay=0.01"]


def train_module(
    module: Callable[[], nn.Module],
    *runs: Sequence[str],
    checkpoints: Sequence[Checkpoint | None] | None = None,
    last_epoch: int = 0,
) -> list[MemoryRecorder]:
    """Train runs of a module in one cohort, to the end of an epoch or to their end, and return their recorders."""
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr("helpers.cohorts.make_architecture", lambda config, dataset: Architecture(module))
        cohort, recorders = make_cohort(*([*COMMON, *run] for run in runs), checkpoints=checkpoints)
    stop_request = StopRequest()
    train(cohort, QuietReporter(stop_request, last_epoch), stop_request)
    return recorders


def assert_equal_columns(recorder: MemoryRecorder, expected: MemoryRecorder, tolerance: float) -> None:
    for name in ("objective", "train_loss", "val_loss", "gradient_norm"):
        assert recorder.column(name) == pytest.approx(expected.column(name), rel=tolerance, abs=tolerance), name


@pytest.mark.parametrize("module", MODULES)
def test_a_module_trains_in_a_cohort_as_it_does_alone(module: type[nn.Module]) -> None:
    runs = [["seed=1"], ["seed=2", "optimizer.lr=0.02", "epochs=2"], ["seed=1", "optimizer.clip_norm=0.5"], ["seed=3"]]
    together = train_module(module, *runs)
    for words, recorder in zip(runs, together, strict=True):
        [alone] = train_module(module, words)
        assert_equal_columns(recorder, alone, 1e-9)
        for name, tensor in alone.final_result.checkpoint.tensors.items():
            torch.testing.assert_close(recorder.final_result.checkpoint.tensors[name], tensor, rtol=1e-9, atol=1e-9)
    assert together[0].column("val_loss") != together[2].column("val_loss")


@pytest.mark.parametrize("module", MODULES)
def test_a_module_goes_on_with_the_same_bits_after_an_interruption(module: type[nn.Module]) -> None:
    runs = [["seed=1"], ["seed=2"]]
    uninterrupted = train_module(module, *runs)
    first = train_module(module, *runs, last_epoch=2)
    assert all(recorder.result is None for recorder in first)
    second = train_module(module, *runs, checkpoints=[recorder.checkpoint for recorder in first])
    for expected, before, after in zip(uninterrupted, first, second, strict=True):
        assert before.column("val_loss") + after.column("val_loss") == expected.column("val_loss")
        for name, tensor in expected.final_result.checkpoint.tensors.items():
            assert torch.equal(after.final_result.checkpoint.tensors[name], tensor), name


@pytest.mark.parametrize("module", MODULES)
def test_a_module_trains_as_in_a_plain_loop(module: type[nn.Module], monkeypatch: pytest.MonkeyPatch) -> None:
    """Steps of torch's own optimizer on the batches of the cohort, with the draws of the run's streams."""
    monkeypatch.setattr("helpers.cohorts.make_architecture", lambda config, dataset: Architecture(module))
    cohort, [recorder] = make_cohort([*COMMON, "seed=5"])
    with draw_from(random_stream(5, "initialization")):
        plain = module().double()
    trained = [parameter for parameter in plain.parameters() if parameter.requires_grad]
    optimizer = torch.optim.Adam(trained, lr=0.01, weight_decay=0.01)
    batches_of_cohort = cohort.batches

    def train_beside() -> Any:
        stream = random_stream(5, "forward", cohort.epoch)
        plain.train()
        for batch in batches_of_cohort():
            optimizer.zero_grad()
            with draw_from(stream):
                logits = plain(batch.images[0].clone())
                stream.set_state(torch.get_rng_state())
            F.cross_entropy(logits, batch.labels[0]).backward()
            optimizer.step()
            yield batch

    monkeypatch.setattr(cohort, "batches", train_beside)
    train(cohort, QuietReporter(), StopRequest())
    state = recorder.final_result.checkpoint.tensors_of("model")
    assert {*state} <= {*plain.state_dict()}
    for name, tensor in state.items():
        torch.testing.assert_close(tensor, plain.state_dict()[name], rtol=1e-9, atol=1e-9)


@pytest.mark.parametrize("normalization", ["none", "batch", "layer"])
def test_an_mlp_trains_the_same_bound_and_stacked(normalization: str, monkeypatch: pytest.MonkeyPatch) -> None:
    runs = [[*COMMON, f"normalization={normalization}", f"seed={seed}", "augmentation=shift"] for seed in (0, 1, 1)]
    runs[2].append("optimizer.l1=0.001")
    cohort, stacked = make_cohort(*runs)
    train(cohort, QuietReporter(), StopRequest())
    config = compose_job(runs[0]).config
    mlp = make_architecture(config, load_dataset(config))
    assert isinstance(mlp, MLPArchitecture)
    monkeypatch.setattr("helpers.cohorts.make_architecture", lambda config, dataset: BoundMLP(mlp))
    cohort, bound = make_cohort(*runs)
    assert isinstance(cohort.model, BoundModel)
    train(cohort, QuietReporter(), StopRequest())
    for recorder, expected in zip(bound, stacked, strict=True):
        assert_equal_columns(recorder, expected, 1e-6)


def test_shared_tensors_stay_shared_and_all_their_names_are_stored() -> None:
    model = Architecture(Unusual).make_model([0, 1], [{}, {}])
    model.keep_runs(torch.tensor([1]))
    assert all(module.second.weight is module.first.weight for module in model.modules)
    assert {name for name, _ in model.named_parameters()} == {"first.weight", "first.bias", "second.bias"}
    Unusual().load_state_dict(model.run_state(0))


class Replacing(nn.Module):
    """A parameter whose data is replaced in the forward pass, after which the optimizer would not reach it."""

    def __init__(self) -> None:
        super().__init__()
        self.layer = nn.Linear(64, CLASSES)

    def forward(self, x: Tensor) -> Tensor:
        self.layer.weight.data = self.layer.weight.data.clamp(-0.1, 0.1)
        y: Tensor = self.layer(x.flatten(1))
        return y


def test_a_parameter_whose_data_is_replaced_is_refused() -> None:
    with pytest.raises(ConfigError, match=r"replaces the parameter layer\.weight, or its data, in forward"):
        train_module(Replacing, ["seed=1"])


class TiedBuffers(nn.Module):
    """A buffer with two names, which training changes."""

    first: Tensor
    second: Tensor

    def __init__(self) -> None:
        super().__init__()
        self.layer = nn.Linear(64, CLASSES)
        self.register_buffer("first", torch.zeros(3))
        self.register_buffer("second", self.first)

    def forward(self, x: Tensor) -> Tensor:
        if self.training:
            self.first += 1
        y: Tensor = self.layer(x.flatten(1)) + self.second.sum()
        return y


def test_shared_buffers_stay_shared() -> None:
    model = Architecture(TiedBuffers).make_model([0, 1], [{}, {}])
    model.to(torch.device("cpu"), torch.float64).keep_runs(torch.tensor([1]))
    [module] = model.modules
    before = module(torch.zeros(1, 1, 8, 8, dtype=torch.float64))
    assert torch.equal(module.second, torch.ones(3, dtype=torch.float64))
    assert torch.equal(model.state_dict()["first"], module.second[None])
    torch.testing.assert_close(module(torch.zeros(1, 1, 8, 8, dtype=torch.float64)), before + 3)


def test_a_shared_tensor_is_loaded_from_any_of_its_names() -> None:
    model = Architecture(Unusual).make_model([4], [{}])
    for name in ("first.weight", "second.weight"):
        state = model.run_state(0)
        del state["first.weight" if name == "second.weight" else "second.weight"]
        module = Unusual()
        load_tensors(module, state)
        assert module.first.weight is module.second.weight
        assert torch.equal(module.first.weight, model.state_dict()["first.weight"][0])
    del state["second.weight"]
    with pytest.raises(RuntimeError, match=r"first\.weight is not stored"):
        load_tensors(Unusual(), state)


class UnusualArchitecture(Architecture):
    """An architecture of modules with shared weights, in the place of one in the schema."""

    @classmethod
    def from_options(cls, *_: Any) -> Any:
        return cls(Unusual)

    from_state = from_options


def test_a_run_with_shared_weights_can_be_loaded(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(cnn, "CNNArchitecture", UnusualArchitecture)
    overrides = ["model=cnn", *COMMON, "early_stopping=none"]
    recorded = run(overrides, outputs=tmp_path, quiet=True)
    test = load_dataset(compose_job(overrides).config).test
    assert test is not None
    for weights, key in (("kept", "test"), ("last", "test_last")):
        model = load_run(recorded.directory).model(weights)
        assert isinstance(model, Unusual)
        assert model.first.weight is model.second.weight
        with torch.no_grad():
            loss = F.cross_entropy(model(scale(test.images, torch.float64)), test.labels)
        assert recorded.summary is not None
        assert float(loss) == pytest.approx(recorded.summary[key]["loss"], abs=1e-9)


def test_selected_runs_are_evaluated_with_their_own_tensors() -> None:
    model = Architecture(Unusual).make_model([0, 1], [{}, {}])
    selected = model.select_runs(torch.tensor([1])).eval()
    selected.state_dict()["first.weight"].zero_()
    images = torch.rand(1, 3, 1, 8, 8)
    module = Unusual().eval()
    module.load_state_dict(model.run_state(1))
    torch.testing.assert_close(model.eval()(images, [2])[1], module(images[0]))
    torch.nn.init.zeros_(module.first.weight)
    torch.testing.assert_close(selected(images, [1])[0], module(images[0]))


def test_a_forward_pass_changes_no_global_generator() -> None:
    model = Architecture(Drawing).make_model([0, 1], [{}, {}])
    model.begin_epoch([0, 1], 1, [3])
    before = torch.get_rng_state()
    model(torch.rand(1, 3, 1, 8, 8, generator=torch.Generator()), [2])
    assert torch.equal(torch.get_rng_state(), before)


def test_values_and_operations_of_a_forward_pass_are_counted() -> None:
    with torch.device("meta"):
        costs = measure_costs(Convolutional(), torch.empty(2, 1, 8, 8))
    assert costs.num_activations == 4 * 4 * 36 + CLASSES  # four layers on 6x6 pixels, and the head
    assert costs.flop == 2 * (4 * 9 * 36 + 144 * CLASSES)
