"""The stacked MLP against torch's own, run by run."""

from collections.abc import Sequence
from copy import deepcopy
from functools import partial
from itertools import combinations

import pytest
import torch
from torch import Tensor, nn
from torch.testing import assert_close
from torchvision.ops import StochasticDepth

from regexp.config.schemas.model import INITS
from regexp.models.initialization import initialize_stacked
from regexp.models.layers import ACTIVATIONS
from regexp.models.mlp import MLP, MLPArchitecture
from regexp.models.normalization import Normalization
from regexp.models.regularizing.random_layers import AdditiveNoise, Dropout, Noise
from regexp.models.residual import Residual
from regexp.utils.rng import random_stream

close = partial(assert_close, rtol=0, atol=1e-12)
SEEDS = [3, 0, 8, 5]
RUNS_PER_STREAM = [1, 3]
IMAGES_SHAPE = (6, 2, 3, 4)  # [B, C, H, W]
NORMALIZATIONS = ("none", "batch", "layer", "group", "rms")


def make_architecture(
    hidden: Sequence[int] = (8, 4),
    activation: str = "relu",
    normalization: str = "batch",
    init: str = "torch",
    residual: bool = False,
) -> MLPArchitecture:
    norm = Normalization(normalization, 1e-4, 0.2, groups=2)
    return MLPArchitecture(24, tuple(hidden), 3, activation, norm, init, residual)


def make_model(architecture: MLPArchitecture, dropout: Sequence[float] = (0.0,) * len(SEEDS)) -> MLP:
    """Return a model in float64 whose runs differ in every tensor, normalization included."""
    model = MLP(architecture, {"dropout": torch.tensor(dropout, dtype=torch.float64)}).double()
    initialize_stacked(model, architecture.init, SEEDS)
    for name, tensor in model.state_dict().items():
        if name.endswith("num_batches_tracked"):
            tensor += torch.arange(len(SEEDS))
        elif tensor.dim() == 2:
            tensor += torch.rand_like(tensor)
    return model


def initial_state(seeds: Sequence[int], init: str, dtype: torch.dtype = torch.float32) -> dict[str, Tensor]:
    architecture = make_architecture(normalization="layer", init=init)
    model = MLP(architecture, {"dropout": torch.zeros(len(seeds), dtype=torch.float64)}).to(dtype)
    initialize_stacked(model, architecture.init, seeds)
    return model.state_dict()


def random_images() -> Tensor:
    return torch.rand(len(RUNS_PER_STREAM), *IMAGES_SHAPE, dtype=torch.float64)


every_architecture = pytest.mark.parametrize(
    "architecture",
    [
        make_architecture(hidden, activation, normalization)
        for normalization in NORMALIZATIONS
        for hidden in ([], [6], [8, 4])
        for activation in ACTIVATIONS
    ]
    + [make_architecture((8, 8, 4, 4), "relu", normalization, residual=True) for normalization in NORMALIZATIONS],
    ids=lambda architecture: (
        f"{architecture.normalization.name}-{architecture.activation}-{list(architecture.hidden_sizes)}"
        f"{'-residual' if architecture.residual else ''}"
    ),
)


@every_architecture
def test_a_run_computes_the_same_as_a_plain_model_with_its_weights(architecture: MLPArchitecture) -> None:
    model, x = make_model(architecture), random_images()
    plain_models = [architecture.make_module().double() for _ in SEEDS]
    streams = torch.repeat_interleave(torch.arange(len(RUNS_PER_STREAM)), torch.tensor(RUNS_PER_STREAM))
    for k, plain_model in enumerate(plain_models):
        assert list(model.run_state(k)) == list(plain_model.state_dict())
        plain_model.load_state_dict(model.run_state(k), strict=True)
    for training in (False, True, False):  # the last pass uses the statistics that training has updated
        model.train(training)
        logits = model(x, RUNS_PER_STREAM)
        for k, plain_model in enumerate(plain_models):
            close(logits[k], plain_model.train(training)(x[streams[k]]))


@every_architecture
def test_every_run_gets_its_own_gradient(architecture: MLPArchitecture) -> None:
    model, x = make_model(architecture), random_images()
    model(x[:1], [len(SEEDS)]).square().sum().backward()
    for k in range(len(SEEDS)):
        plain_model = architecture.make_module().double()
        plain_model.load_state_dict(model.run_state(k))
        plain_model(x[0]).square().sum().backward()
        for name, parameter in plain_model.named_parameters():
            # a relative tolerance: squares of logits may be large
            assert_close(model.get_parameter(name).grad[k], parameter.grad, rtol=1e-11, atol=1e-11)


@pytest.mark.parametrize("normalization", NORMALIZATIONS)
def test_the_plain_model_has_torchs_layers_in_order(normalization: str) -> None:
    norm = {
        "none": [],
        "batch": [nn.BatchNorm1d(6, 1e-4, 0.2)],
        "layer": [nn.LayerNorm(6, 1e-4)],
        "group": [nn.GroupNorm(2, 6, 1e-4)],
        "rms": [nn.RMSNorm(6, 1e-4)],
    }[normalization]
    expected = nn.Sequential(nn.Flatten(), nn.Linear(24, 6), *norm, nn.GELU(), nn.Dropout(0.3), nn.Linear(6, 3))
    assert repr(make_architecture([6], "gelu", normalization).make_module({"dropout": 0.3})) == repr(expected)


def test_a_residual_layer_adds_its_input_to_its_output() -> None:
    architecture = make_architecture((24, 8, 8, 6, 6, 6), normalization="none", residual=True)
    assert architecture.residual_layers == [False, False, True, False, True, True]
    assert architecture.describe() == "24-24-8-8-6-6-6-3, residual, relu"
    module, x = architecture.make_module({"drop_path": 0.3}), torch.randn(5, 24)
    rates = [layer.p for layer in module.modules() if isinstance(layer, StochasticDepth)]
    assert rates == pytest.approx([0.1, 0.2, 0.3])
    assert all(layer.mode == "row" for layer in module.modules() if isinstance(layer, StochasticDepth))
    expected = x
    for layer in module.eval():
        if isinstance(layer, Residual):
            linear, activation, _ = layer.layers
            expected = expected + activation(linear(expected))
        else:
            expected = layer(expected)
    close(module(x), expected)


def test_noise_and_dropout_of_the_input_change_no_name_of_a_tensor() -> None:
    architecture = make_architecture([6], normalization="batch")
    module = architecture.make_module({"dropout": 0.3, "noise": 0.1, "input_dropout": 0.2})
    assert list(module.state_dict()) == list(architecture.make_module().state_dict())
    assert [type(layer) for layer in module] == [
        nn.Dropout,
        nn.Flatten,
        nn.Linear,
        nn.BatchNorm1d,
        nn.ReLU,
        nn.Sequential,
        nn.Linear,
    ]
    assert repr(module[5]) == repr(nn.Sequential(AdditiveNoise(0.1), nn.Dropout(0.3)))
    assert repr(AdditiveNoise(0.1)) == "AdditiveNoise(std=0.1)"


@pytest.mark.parametrize("rows", [[0], [2, 3], [3, 1, 0], [0, 1, 2, 3]], ids=str)
@pytest.mark.parametrize("normalization", NORMALIZATIONS)
def test_selected_runs_are_the_requested_rows(rows: list[int], normalization: str) -> None:
    model = make_model(make_architecture(normalization=normalization))
    selected = model.select_runs(torch.tensor(rows))
    assert [name for name, _ in selected.named_parameters()] == [name for name, _ in model.named_parameters()]
    for name, tensor in model.state_dict().items():
        assert torch.equal(selected.state_dict()[name], tensor[rows])
        assert selected.state_dict()[name].dtype == tensor.dtype
    x = random_images()[:1]
    close(selected.eval()(x, [len(rows)]), model.eval()(x, [len(SEEDS)])[rows])


def test_selected_runs_are_independent_of_the_original() -> None:
    model = make_model(make_architecture())
    selected = model.select_runs(torch.tensor([1, 2]))
    before = {name: tensor.clone() for name, tensor in model.state_dict().items()}
    for tensor in selected.state_dict().values():
        tensor += 1
    assert all(torch.equal(tensor, before[name]) for name, tensor in model.state_dict().items())


def test_selected_runs_get_the_same_gradients() -> None:
    model, x = make_model(make_architecture()), random_images()[:1]
    selected = model.select_runs(torch.tensor([3, 1]))
    model(x, [len(SEEDS)]).sum().backward()
    selected(x, [2]).sum().backward()
    for name, parameter in selected.named_parameters():
        assert parameter.is_leaf
        close(parameter.grad, model.get_parameter(name).grad[[3, 1]])


@pytest.mark.parametrize("keeps", [False, True])
def test_selected_and_kept_runs_keep_their_rates(keeps: bool) -> None:
    x, architecture = random_images()[:1], make_architecture((8, 8, 8), residual=True)
    rows = [[0.1, 0.2, 0.6, 0.0], [0.5, 0.0, 0.3, 0.0], [0.0, 0.7, 0.4, 0.0], [0.8, 0.0, 0.9, 0.0]]
    names = ("dropout", "drop_path", "input_dropout", "noise")
    rates = dict(zip(names, torch.tensor(rows, dtype=torch.float64), strict=True))
    model = MLP(architecture, rates).double()
    initialize_stacked(model, architecture.init, SEEDS)
    selected = deepcopy(model)
    if keeps:
        selected.keep_runs(torch.tensor([0, 2]))
    else:
        selected = model.select_runs(torch.tensor([0, 2]))
    logits = []
    for stacked, runs in ((model, range(4)), (selected, [0, 2])):
        stacked.begin_epoch(list(runs), 1, [x.shape[1]])
        logits.append(stacked(x, [len(runs)]))
    close(logits[1], logits[0][[0, 2]])
    probabilities = [layer.rates for layer in selected.modules() if isinstance(layer, Dropout)]
    assert probabilities == [[0.0, 0.4], [0.1, 0.6], [0.1, 0.6], [0.25, 0.15], [0.1, 0.6], [0.5, 0.3]]
    assert [layer.rates for layer in selected.modules() if isinstance(layer, Noise)] == [[0.8, 0.9]] * 3


def test_dropout_layers_and_epochs_draw_different_masks() -> None:
    model = make_model(make_architecture((50, 50)), [0.5] * len(SEEDS))
    masks = []
    for epoch in (1, 2):
        model.begin_epoch(SEEDS, epoch, [40])
        layers = [layer for layer in model.modules() if isinstance(layer, Dropout) and any(layer.rates)]
        masks += [layer(torch.ones(len(SEEDS), 40, 50)) > 0 for layer in layers]
    assert len(masks) == 4
    for first, second in combinations(masks, 2):
        # 8,000 entries: 9 standard errors
        assert abs(float((first == second).double().mean()) - 0.5) < 0.05


def test_an_epoch_without_dropout_draws_nothing() -> None:
    model, x = make_model(make_architecture()), random_images()[:1]
    model.begin_epoch(SEEDS, 1, [x.shape[1]])
    assert all(layer.draws.keys.shape[1] == 0 for layer in model.modules() if isinstance(layer, Dropout))
    assert torch.equal(model(x, [len(SEEDS)]), model(x, [len(SEEDS)]))


@pytest.mark.parametrize("init", INITS)
def test_a_runs_initial_weights_do_not_depend_on_its_cohort(init: str) -> None:
    in_cohort = initial_state(SEEDS, init)
    for k, seed in enumerate(SEEDS):
        alone = initial_state([seed], init)
        assert all(torch.equal(alone[name][0], tensor[k]) for name, tensor in in_cohort.items())
    assert not torch.equal(in_cohort["1.weight"][0], in_cohort["1.weight"][1])


@pytest.mark.parametrize("init", INITS)
def test_initial_weights_do_not_depend_on_the_precision(init: str) -> None:
    single, double = initial_state(SEEDS, init), initial_state(SEEDS, init, torch.float64)
    assert all(torch.equal(double[name], tensor.double()) for name, tensor in single.items())


@pytest.mark.parametrize("normalization", NORMALIZATIONS)
def test_init_torch_gives_the_bits_of_torchs_own_layers(normalization: str) -> None:
    architecture = make_architecture(normalization=normalization)
    model = MLP(architecture, {"dropout": torch.zeros(len(SEEDS), dtype=torch.float64)})
    initialize_stacked(model, architecture.init, SEEDS)
    for k, seed in enumerate(SEEDS):
        torch.manual_seed(random_stream(seed, "initialization").initial_seed())
        expected = architecture.make_module().state_dict()
        assert all(torch.equal(tensor, expected[name]) for name, tensor in model.run_state(k).items())


@pytest.mark.parametrize("init", [init for init in INITS if init != "torch"])
def test_the_other_inits_equal_torch_nn_init(init: str) -> None:
    options = {"nonlinearity": "relu"} if init.startswith("kaiming") else {}
    weights = initial_state(SEEDS, init)
    for k, seed in enumerate(SEEDS):
        generator = random_stream(seed, "initialization")
        for name, shape in (("1", (8, 24)), ("5", (4, 8)), ("9", (3, 4))):
            expected = getattr(nn.init, f"{init}_")(torch.empty(shape), generator=generator, **options)
            assert torch.equal(weights[f"{name}.weight"][k], expected)
            assert not weights[f"{name}.bias"][k].any()


@pytest.mark.parametrize(
    ("architecture", "description"),
    [
        (make_architecture((7, 4), "gelu", "batch"), "24-7-4-3, BatchNorm, gelu"),
        (make_architecture((8, 4), "gelu", "group"), "24-8-4-3, GroupNorm(2), gelu"),
        (make_architecture((7, 4), "relu", "rms"), "24-7-4-3, RMSNorm, relu"),
        (make_architecture((7,), "relu", "none"), "24-7-3, relu"),
        (make_architecture((), "relu", "layer"), "24-3"),
    ],
)
def test_an_architecture_describes_itself(architecture: MLPArchitecture, description: str) -> None:
    assert architecture.describe() == description
