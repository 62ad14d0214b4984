"""The stacked MLP against torch's own, run by run."""

from collections.abc import Sequence
from functools import partial

import pytest
import torch
from torch import Tensor, nn
from torch.testing import assert_close

from regexp.config.schema import INITS
from regexp.models.layers import ACTIVATIONS, Dropout
from regexp.models.mlp import MLP, MLPArchitecture, initialize
from regexp.utils.rng import random_stream

close = partial(assert_close, rtol=0, atol=1e-12)
SEEDS = [3, 0, 8, 5]
SHARING = [1, 3]
IMAGES = (6, 2, 3, 4)  # [B, C, H, W]


def architecture(
    hidden: Sequence[int] = (7, 4), activation: str = "relu", normalization: str = "batch"
) -> MLPArchitecture:
    return MLPArchitecture(24, tuple(hidden), 3, activation, normalization, eps=1e-4, momentum=0.2)


def make(shape: MLPArchitecture, dropout: Sequence[float] = (0.0,) * len(SEEDS)) -> MLP:
    """A model in float64 whose runs all differ, normalization included."""
    model = MLP(shape, torch.tensor(dropout, dtype=torch.float64)).double()
    initialize(model, SEEDS, "torch")
    for name, tensor in model.state_dict().items():
        if name.endswith("num_batches_tracked"):
            tensor += torch.arange(len(SEEDS))
        elif tensor.dim() == 2:
            tensor += torch.rand_like(tensor)
    return model


def initial(seeds: Sequence[int], init: str, dtype: torch.dtype = torch.float32) -> dict[str, Tensor]:
    model = MLP(architecture(normalization="layer"), torch.zeros(len(seeds), dtype=torch.float64)).to(dtype)
    initialize(model, seeds, init)
    return model.state_dict()


def images() -> Tensor:
    return torch.rand(len(SHARING), *IMAGES, dtype=torch.float64)


every_shape = pytest.mark.parametrize(
    "shape",
    [
        architecture(hidden, activation, normalization)
        for normalization in ("none", "batch", "layer")
        for hidden in ([], [5], [7, 4])
        for activation in ACTIVATIONS
    ],
    ids=lambda shape: f"{shape.normalization}-{shape.activation}-{list(shape.hidden_sizes)}",
)


@every_shape
def test_a_row_loads_into_the_plain_model_and_computes_the_same(shape: MLPArchitecture) -> None:
    model, x = make(shape), images()
    twins = [shape.make_module().double() for _ in SEEDS]
    streams = torch.repeat_interleave(torch.arange(len(SHARING)), torch.tensor(SHARING))
    for k, twin in enumerate(twins):
        assert list(model.run_state(k)) == list(twin.state_dict())
        twin.load_state_dict(model.run_state(k), strict=True)
    for training in (False, True, False):  # the last with the statistics that the second has moved
        model.train(training)
        logits = model(x, SHARING)
        for k, twin in enumerate(twins):
            close(logits[k], twin.train(training)(x[streams[k]]))


@every_shape
def test_every_run_gets_its_own_gradient(shape: MLPArchitecture) -> None:
    model, x = make(shape), images()
    model(x[:1], [len(SEEDS)]).square().sum().backward()
    for k in range(len(SEEDS)):
        twin = shape.make_module().double()
        twin.load_state_dict(model.run_state(k))
        twin(x[0]).square().sum().backward()
        for name, parameter in twin.named_parameters():
            # relative: squares of logits are not of the order of one
            assert_close(model.get_parameter(name).grad[k], parameter.grad, rtol=1e-11, atol=1e-11)


@pytest.mark.parametrize("normalization", ["none", "batch", "layer"])
def test_the_plain_model_has_torchs_layers_in_order(normalization: str) -> None:
    norm = {"none": [], "batch": [nn.BatchNorm1d(5, 1e-4, 0.2)], "layer": [nn.LayerNorm(5, 1e-4)]}[normalization]
    expected = nn.Sequential(nn.Flatten(), nn.Linear(24, 5), *norm, nn.GELU(), nn.Dropout(0.3), nn.Linear(5, 3))
    assert repr(architecture([5], "gelu", normalization).make_module(0.3)) == repr(expected)


@pytest.mark.parametrize("rows", [[0], [2, 3], [3, 1, 0], [0, 1, 2, 3]], ids=str)
@pytest.mark.parametrize("normalization", ["none", "batch", "layer"])
def test_selected_runs_are_exactly_those_asked_for(rows: list[int], normalization: str) -> None:
    model = make(architecture(normalization=normalization))
    selected = model.select_runs(torch.tensor(rows))
    assert [name for name, _ in selected.named_parameters()] == [name for name, _ in model.named_parameters()]
    for name, tensor in model.state_dict().items():
        assert torch.equal(selected.state_dict()[name], tensor[rows])
        assert selected.state_dict()[name].dtype == tensor.dtype
    x = images()[:1]
    close(selected.eval()(x, [len(rows)]), model.eval()(x, [len(SEEDS)])[rows])


def test_selected_runs_are_independent_of_the_original() -> None:
    model = make(architecture())
    selected = model.select_runs(torch.tensor([1, 2]))
    before = {name: tensor.clone() for name, tensor in model.state_dict().items()}
    for tensor in selected.state_dict().values():
        tensor += 1
    assert all(torch.equal(tensor, before[name]) for name, tensor in model.state_dict().items())


def test_gradients_flow_in_selected_runs() -> None:
    model, x = make(architecture()), images()[:1]
    selected = model.select_runs(torch.tensor([3, 1]))
    model(x, [len(SEEDS)]).sum().backward()
    selected(x, [2]).sum().backward()
    for name, parameter in selected.named_parameters():
        assert parameter.is_leaf
        close(parameter.grad, model.get_parameter(name).grad[[3, 1]])


def test_selected_runs_keep_their_dropout() -> None:
    x = images()[:1]
    model = make(architecture(), [0.1, 0.2, 0.6, 0.0])
    selected = model.select_runs(torch.tensor([0, 2]))
    results = []
    for each, runs in ((model, range(4)), (selected, [0, 2])):
        generators = [torch.Generator().manual_seed(k) for k in runs]
        each.set_generators(generators)
        results.append(each(x, [len(generators)]))
    close(results[1], results[0][[0, 2]])


def test_all_dropout_layers_get_the_generators() -> None:
    model = make(architecture((7, 4, 6)))
    generators = [torch.Generator() for _ in SEEDS]
    model.set_generators(generators)
    layers = {name: layer for name, layer in model.named_modules() if isinstance(layer, Dropout)}
    assert list(layers) == ["4", "8", "12"]
    assert all(layer.generators is generators for layer in layers.values())


@pytest.mark.parametrize("init", INITS)
def test_a_runs_weights_do_not_depend_on_what_stands_beside_it(init: str) -> None:
    together = initial(SEEDS, init)
    for k, seed in enumerate(SEEDS):
        alone = initial([seed], init)
        assert all(torch.equal(alone[name][0], tensor[k]) for name, tensor in together.items())
    assert not torch.equal(together["1.weight"][0], together["1.weight"][1])


@pytest.mark.parametrize("init", INITS)
def test_initial_weights_do_not_depend_on_the_precision(init: str) -> None:
    single, double = initial(SEEDS, init), initial(SEEDS, init, torch.float64)
    assert all(torch.equal(double[name], tensor.double()) for name, tensor in single.items())


@pytest.mark.parametrize("normalization", ["none", "batch", "layer"])
def test_torchs_initialization_gives_the_bits_of_torchs_own_layers(normalization: str) -> None:
    shape = architecture(normalization=normalization)
    model = MLP(shape, torch.zeros(len(SEEDS), dtype=torch.float64))
    initialize(model, SEEDS, "torch")
    for k, seed in enumerate(SEEDS):
        torch.manual_seed(random_stream(seed, "initialization").initial_seed())
        expected = shape.make_module().state_dict()
        assert all(torch.equal(tensor, expected[name]) for name, tensor in model.run_state(k).items())


@pytest.mark.parametrize("init", [init for init in INITS if init != "torch"])
def test_other_initializations_are_those_of_torch_nn_init(init: str) -> None:
    options = {"nonlinearity": "relu"} if init.startswith("kaiming") else {}
    weights = initial(SEEDS, init)
    for k, seed in enumerate(SEEDS):
        generator = random_stream(seed, "initialization")
        for name, shape in (("1", (7, 24)), ("5", (4, 7)), ("9", (3, 4))):
            expected = getattr(nn.init, f"{init}_")(torch.empty(shape), generator=generator, **options)
            assert torch.equal(weights[f"{name}.weight"][k], expected)
            assert not weights[f"{name}.bias"][k].any()


@pytest.mark.parametrize(
    ("shape", "words"),
    [
        (architecture((7, 4), "gelu", "batch"), "24-7-4-3, BatchNorm, gelu"),
        (architecture((7,), "relu", "none"), "24-7-3, relu"),
        (architecture((), "relu", "layer"), "24-3"),
    ],
)
def test_an_architecture_describes_itself(shape: MLPArchitecture, words: str) -> None:
    assert shape.describe() == words
