"""The contract that every model in the schema must keep; new models are tested without a change here."""

from dataclasses import replace

import pytest
import torch
from helpers.command_lines import REQUIRED_OVERRIDES

from regexp.config.compose import compose_job
from regexp.config.schema import OPTIONS, Config, flatten
from regexp.config.schemas.model import INITS, MODEL_SCHEMAS, NetworkConfig, rate_names
from regexp.models.protocol import Architecture
from regexp.utils.lazy import load_object

SEEDS, RATES = [3, 0, 8], [0.0, 0.3, 0.5]
IMAGE_SHAPE, CLASSES, BATCH = (2, 8, 6), 4, 5


@pytest.fixture(params=OPTIONS["model"])
def config(request: pytest.FixtureRequest) -> Config:
    overrides = [f"model={request.param}", *REQUIRED_OVERRIDES.get(request.param, [])]
    overrides.append("model.options.p=0.0" if request.param == "module" else "normalization=batch")
    return compose_job(overrides).config


@pytest.fixture
def architecture(config: Config) -> Architecture:
    return make_architecture(config)


@pytest.fixture
def rates(config: Config) -> list[dict[str, float]]:
    """Return different rates for the runs, [K]."""
    return [dict.fromkeys(rate_names(type(config.model)), rate) for rate in RATES]


def make_architecture(config: Config) -> Architecture:
    architecture: Architecture = load_object(config.model.architecture).from_options(
        IMAGE_SHAPE, CLASSES, flatten(config)
    )
    return architecture


def test_a_run_computes_the_same_as_a_plain_module_with_its_weights(
    architecture: Architecture, rates: list[dict[str, float]]
) -> None:
    model = architecture.make_model(SEEDS, rates).eval()
    images = torch.rand(1, BATCH, *IMAGE_SHAPE)
    logits = model(images, [len(SEEDS)])
    assert logits.shape == (len(SEEDS), BATCH, CLASSES)
    for k in range(len(SEEDS)):
        module = architecture.make_module().eval()
        module.load_state_dict(model.run_state(k))
        torch.testing.assert_close(logits[k], module(images[0]))


@pytest.mark.parametrize("normalization", OPTIONS["normalization"])
@pytest.mark.parametrize("model", [name for name, schema in MODEL_SCHEMAS.items() if issubclass(schema, NetworkConfig)])
def test_every_normalization_fits_every_model(model: str, normalization: str) -> None:
    architecture = make_architecture(compose_job([f"model={model}", f"normalization={normalization}"]).config)
    stacked, images = architecture.make_model(SEEDS, [{}] * 3), torch.rand(1, BATCH, *IMAGE_SHAPE)
    for training in (True, False):
        logits = stacked.train(training)(images, [3])
        modules = [architecture.make_module().train(training) for _ in SEEDS]
        for k, module in enumerate(modules):
            module.load_state_dict(architecture.make_model(SEEDS, [{}] * 3).run_state(k))
            if not training:
                module.load_state_dict(stacked.run_state(k))
            torch.testing.assert_close(logits[k], module(images[0]))


def test_an_architecture_can_be_rebuilt_from_stored_weights(
    architecture: Architecture, config: Config, rates: list[dict[str, float]]
) -> None:
    state = architecture.make_model(SEEDS, rates).run_state(1)
    rebuilt = type(architecture).from_options(IMAGE_SHAPE, CLASSES, flatten(config))
    rebuilt.make_module(rates[1]).load_state_dict(state)
    assert rebuilt == architecture
    assert architecture.costs.num_activations >= CLASSES
    assert str(CLASSES) in architecture.describe()


def test_tensors_have_a_leading_run_axis_on_which_runs_can_be_selected_and_kept(
    architecture: Architecture, rates: list[dict[str, float]]
) -> None:
    model = architecture.make_model(SEEDS, rates).eval()
    before = {name: tensor.clone() for name, tensor in model.state_dict().items()}
    assert all(len(tensor) == len(SEEDS) for tensor in before.values())
    images = torch.rand(1, BATCH, *IMAGE_SHAPE)
    logits = model(images, [3])
    rows = torch.tensor([2, 0])
    selected = model.select_runs(rows).eval()
    torch.testing.assert_close(selected(images, [2]), logits[rows])
    for tensor in selected.state_dict().values():
        tensor += 1
    assert all(torch.equal(tensor, before[name]) for name, tensor in model.state_dict().items())
    model.keep_runs(rows)
    torch.testing.assert_close(model(images, [2]), logits[rows])
    assert all(torch.equal(tensor, before[name][rows]) for name, tensor in model.state_dict().items())


def test_every_run_gets_its_own_gradient(architecture: Architecture) -> None:
    model = architecture.make_model(SEEDS, [{}] * 3)
    images = torch.rand(3, BATCH, *IMAGE_SHAPE)  # a stream for each run
    model(images, [1, 1, 1]).square().mean((1, 2)).sum().backward()
    for k in range(3):
        module = architecture.make_module()
        module.load_state_dict(architecture.make_model(SEEDS, [{}] * 3).run_state(k))
        module(images[k]).square().mean().backward()
        for name, parameter in module.named_parameters():
            stacked = dict(model.named_parameters())[name].grad
            torch.testing.assert_close(stacked[k], parameter.grad, msg=name)


@pytest.mark.parametrize("init", INITS)
def test_initial_weights_depend_only_on_the_runs_seed(config: Config, rates: list[dict[str, float]], init: str) -> None:
    if isinstance(config.model, NetworkConfig):
        config = replace(config, model=replace(config.model, init=init))
    architecture = make_architecture(config)
    model = architecture.make_model(SEEDS, rates)
    for k, seed in enumerate(SEEDS):
        alone = architecture.make_model([seed], [{}])
        assert all(torch.equal(tensor, alone.run_state(0)[name]) for name, tensor in model.run_state(k).items())


def test_random_layers_draw_by_the_seed_of_their_run_and_the_epoch(
    architecture: Architecture, rates: list[dict[str, float]]
) -> None:
    batch_sizes = [BATCH, BATCH, BATCH - 2]
    images = torch.rand(1, BATCH, *IMAGE_SHAPE)
    for epoch in (1, 4):
        logits: list[list[torch.Tensor]] = []
        for runs in ([0, 1, 2], [2, 1]):
            seeds = [SEEDS[k] for k in runs]
            model = architecture.make_model(seeds, [rates[k] for k in runs])
            model.begin_epoch(seeds, epoch, batch_sizes)
            logits.append([model(images[:, :size], [len(seeds)]) for size in batch_sizes])
        for in_cohort, in_pair in zip(*logits, strict=True):
            torch.testing.assert_close(in_pair, in_cohort[[2, 1]])


def test_extra_passes_draw_what_their_step_draws_and_leave_no_trace(
    architecture: Architecture, rates: list[dict[str, float]]
) -> None:
    images = torch.rand(3, 3, BATCH, *IMAGE_SHAPE)  # of three steps
    model, plain_model = architecture.make_model(SEEDS, rates).train(), architecture.make_model(SEEDS, rates).train()
    for each in (model, plain_model):
        each.begin_epoch(SEEDS, 1, [BATCH] * len(images))
    for batch in images:
        with model.extra_pass(repeats=False):
            model(batch.flip(0), [1] * 3)
        with model.extra_pass(repeats=False):
            logits_before = model(batch, [1] * 3)
        logits = model(batch, [1] * 3)
        with model.extra_pass(repeats=True):
            logits_after = model(batch, [1] * 3)
        assert torch.equal(logits, plain_model(batch, [1] * 3))
        assert torch.equal(logits_before, logits)
        assert torch.equal(logits_after, logits)
    for name, tensor in plain_model.state_dict().items():
        assert torch.equal(model.state_dict()[name], tensor), name
