"""One optimizer for K runs against one torch.optim optimizer for each."""

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import fields, replace
from functools import partial
from typing import Any

import pytest
import torch
from safetensors.torch import load, save
from torch import Tensor, nn
from torch.testing import assert_close

from regexp.config.optimizer_schema import AdamConfig, CosineConfig, PlateauConfig, ScheduleConfig, StepConfig
from regexp.config.schema import OPTIONS, Config
from regexp.execution.builders import make_hyperparameters
from regexp.training.optimizers import OPTIMIZERS, Hyperparameters, StackedOptimizer

close = partial(assert_close, rtol=0, atol=1e-12)
every_family = pytest.mark.parametrize("family", OPTIONS["optimizer"])

TORCHS = {
    "adam": torch.optim.Adam,
    "adamw": torch.optim.AdamW,
    "sgd": torch.optim.SGD,
    "rmsprop": torch.optim.RMSprop,
}
SHAPES = {"0.weight": (4, 3), "0.bias": (4,), "1.weight": (2, 4)}
STEPS = 24
STEPS_PER_EPOCH = 4
# Of every number that some family has, what runs a, b and c have of it. Run d has a's, but for what shapes no update.
NUMBERS: dict[str, tuple[Any, Any, Any]] = {
    "lr": (0.1, 0.03, 0.2),
    "weight_decay": (0.0, 0.2, 0.01),
    "l1": (0.05, 0.0, 0.3),
    "clip_norm": (0.3, None, 2.0),
    "betas": ([0.9, 0.999], [0.8, 0.95], [0.0, 0.9]),
    "eps": (1e-8, 1e-3, 1e-6),
    "momentum": (0.9, 0.0, 0.5),
    "nesterov": (True, False, False),
    "alpha": (0.99, 0.9, 0.5),
    "centered": (False, True, True),
}
SCHEDULES: dict[str, ScheduleConfig] = {
    "a": CosineConfig(warmup_epochs=0.75, final_fraction=0.1),
    "b": ScheduleConfig(),
    "c": StepConfig(step_size=2, gamma=0.3),
}


def configuration(family: str, letter: str) -> Config:
    schema = OPTIONS["optimizer"][family]
    like = "a" if letter == "d" else letter
    names = [item.name for item in fields(schema) if item.metadata["mark"] == "per_run"]
    own = {name: NUMBERS[name]["abc".index(like)] for name in names}
    if letter == "d":
        own |= {"l1": 0.2, "clip_norm": None}
    return Config(epochs=STEPS // STEPS_PER_EPOCH, optimizer=schema(**own), schedule=SCHEDULES[like])


def hyperparameters(family: str, letter: str) -> Hyperparameters:
    return make_hyperparameters(configuration(family, letter), STEPS_PER_EPOCH)


def weights(runs: int, dtype: torch.dtype = torch.float64) -> dict[str, nn.Parameter]:
    """The biases are 0, where an absolute value has no derivative."""
    return {
        name: nn.Parameter(torch.randn(runs, *shape, dtype=dtype) * (len(shape) - 1)) for name, shape in SHAPES.items()
    }


def gradients(runs: int, steps: int) -> list[dict[str, Tensor]]:
    """Of all sizes, so that some are clipped and some are not."""
    return [
        {name: torch.randn(runs, *shape, dtype=torch.float64) * 10 ** (-step % 3 - 1) for name, shape in SHAPES.items()}
        for step in range(steps)
    ]


def advance(optimizer: StackedOptimizer, gradient: Mapping[str, Tensor], rows: Sequence[int] | None = None) -> None:
    """A step, as the cohort takes it."""
    for name, parameter in optimizer.parameters.items():
        parameter.grad.copy_(gradient[name] if rows is None else gradient[name][list(rows)])
    if optimizer.has_l1:
        optimizer.add_l1_gradients()
    if optimizer.clips:
        optimizer.clip_gradients(optimizer.gradient_norms())
    optimizer.step()


def alone(config: Config, start: Mapping[str, Tensor], slopes: Sequence[Mapping[str, Tensor]]) -> Iterator[nn.Module]:
    """One run with torch's own module, optimizer, scheduler and clipping; yields the module after every step.

    The loss is linear, so that `slopes` are its gradients, but for the penalty.
    """
    module = nn.Sequential(nn.Linear(3, 4), nn.Linear(4, 2, bias=False)).double()
    module.load_state_dict(dict(start))
    options = config.optimizer
    arguments = {item.name: getattr(options, item.name) for item in fields(options)}
    ours = {name: arguments.pop(name) for name in ("name", "l1", "clip_norm")}
    optimizer = TORCHS[options.name](module.parameters(), **arguments)
    scheduler = torch.optim.lr_scheduler.LambdaLR(optimizer, make_hyperparameters(config, STEPS_PER_EPOCH).schedule)
    for slope in slopes:
        optimizer.zero_grad()
        loss = sum((slope[name] * parameter).sum() for name, parameter in module.named_parameters())
        (loss + ours["l1"] * sum(parameter.abs().sum() for parameter in module.parameters())).backward()
        if ours["clip_norm"] is not None:
            nn.utils.clip_grad_norm_(module.parameters(), ours["clip_norm"])
        optimizer.step()
        scheduler.step()
        yield module


# The runs that begin, and those that stay.
COMPANIES = [
    ("abcd", [0, 1, 2, 3]),
    ("aabcad", [1, 3, 5]),
    ("aabcad", [4, 0]),
    ("aabcad", [2]),
    ("dabba", [0, 1, 3]),
    ("aaaa", [0, 2]),
    ("cc", [1]),
    ("c", [0]),
]


@every_family
@pytest.mark.parametrize(("mixture", "staying"), COMPANIES, ids=str)
@pytest.mark.parametrize("when", [0, 1, 10])
def test_every_run_moves_as_with_a_torch_optimizer_of_its_own(
    family: str, mixture: str, staying: list[int], when: int
) -> None:
    """Before and after others are removed, and from a checkpoint."""
    slopes, parameters = gradients(len(mixture), STEPS), weights(len(mixture))
    own = [
        alone(
            configuration(family, letter),
            {name: parameter.detach()[k].clone() for name, parameter in parameters.items()},
            [{name: slope[k] for name, slope in step.items()} for step in slopes],
        )
        for k, letter in enumerate(mixture)
    ]
    rows = list(range(len(mixture)))
    optimizer = StackedOptimizer(family, parameters, [hyperparameters(family, letter) for letter in mixture])
    for step, slope in enumerate(slopes):
        if step == when:
            rows = staying
            kept = {name: nn.Parameter(parameter.detach()[rows]) for name, parameter in optimizer.parameters.items()}
            optimizer.keep_runs(torch.tensor(rows), kept)
        if step == when + 4:
            states = [optimizer.run_state(i) for i in range(len(rows))]
            stored = [save({name: tensor.clone() for name, tensor in state.items()}) for state in states]
            again = {name: nn.Parameter(parameter.detach().clone()) for name, parameter in optimizer.parameters.items()}
            optimizer = StackedOptimizer(family, again, [hyperparameters(family, mixture[k]) for k in rows], step)
            for i, state in enumerate(stored):
                optimizer.load_run_state(i, load(state))
        advance(optimizer, slope, rows)
        modules = [next(run) for run in own]
        for i, k in enumerate(rows):
            for name, parameter in modules[k].named_parameters():
                close(optimizer.parameters[name].detach()[i], parameter.detach())


@every_family
def test_consecutive_runs_share_a_parameter_group_if_they_agree_in_what_it_holds(family: str) -> None:
    base = configuration(family, "b")
    for item in fields(base.optimizer):
        if item.metadata["mark"] == "per_run":
            value = next(value for value in NUMBERS[item.name] if value != getattr(base.optimizer, item.name))
            other = replace(base, seed=1, optimizer=replace(base.optimizer, **{item.name: value}))
            assert shared(family, base, other) == (item.name in ("l1", "clip_norm")), item.name


@pytest.mark.parametrize("name", OPTIONS["schedule"])
def test_runs_of_different_schedules_share_no_parameter_group(name: str) -> None:
    schedule = OPTIONS["schedule"][name](name=name)
    base = Config(optimizer=AdamConfig(), schedule=schedule)
    for key, value in vars(schedule).items():
        if key != "name":
            assert not shared("adam", base, replace(base, schedule=replace(schedule, **{key: value / 2 + 1}))), key
    assert shared("adam", base, replace(base, epochs=7)) == (name in ("constant", "step"))


def shared(family: str, *configs: Config) -> bool:
    """Return whether these runs, side by side, share a parameter group."""
    runs = [make_hyperparameters(config, STEPS_PER_EPOCH) for config in configs]
    optimizer = StackedOptimizer(family, weights(len(runs)), runs)
    return len(optimizer.groups) == 1


def test_runs_on_a_plateau_share_no_parameter_group() -> None:
    runs = [
        make_hyperparameters(Config(optimizer=AdamConfig(), schedule=PlateauConfig()), STEPS_PER_EPOCH)
        for _ in range(3)
    ]
    groups = StackedOptimizer("adam", weights(3), runs).groups
    assert [group.rows for group in groups] == [slice(k, k + 1) for k in range(3)]


# With run a's numbers.
ENTRIES = {
    "adam": {"exp_avg", "exp_avg_sq"},
    "adamw": {"exp_avg", "exp_avg_sq"},
    "sgd": {"momentum_buffer"},
    "rmsprop": {"square_avg", "momentum_buffer"},
}


@every_family
def test_a_rows_state_is_named_by_parameter_and_entry(family: str) -> None:
    optimizer = StackedOptimizer(family, weights(4), [hyperparameters(family, letter) for letter in "aabc"])
    advance(optimizer, gradients(4, 1)[0])
    row = optimizer.run_state(1)
    assert set(row) == {f"{name}/{entry}" for name in SHAPES for entry in ENTRIES[family]}
    assert all(tensor.shape == SHAPES[key.split("/")[0]] for key, tensor in row.items())


def test_the_schema_names_every_optimizer() -> None:
    assert set(OPTIMIZERS) == set(OPTIONS["optimizer"])


@pytest.mark.parametrize("mixture", ["abcd", "b", "bb"])
def test_l1_touches_only_the_runs_that_have_it(mixture: str) -> None:
    parameters, gradient = weights(len(mixture)), gradients(len(mixture), 1)[0]
    optimizer = StackedOptimizer("sgd", parameters, [hyperparameters("sgd", letter) for letter in mixture])
    for name, parameter in parameters.items():
        parameter.grad.copy_(gradient[name])
    assert optimizer.has_l1 == (set(mixture) != {"b"})
    optimizer.add_l1_gradients()
    for k, letter in enumerate(mixture):
        same = [torch.equal(parameter.grad[k], gradient[name][k]) for name, parameter in parameters.items()]
        assert same == [letter == "b", True, letter == "b"]


@pytest.mark.parametrize("mixture", ["aaa", "abc"])
def test_gradient_norms_are_torchs(mixture: str) -> None:
    parameters = weights(3)
    optimizer = StackedOptimizer("adam", parameters, [hyperparameters("adam", letter) for letter in mixture])
    for name, gradient in gradients(3, 1)[0].items():
        parameters[name].grad.copy_(gradient)
    norms = optimizer.gradient_norms()
    for k in range(3):
        close(norms[k], nn.utils.get_total_norm([parameter.grad[k] for parameter in parameters.values()]))


def test_clipping_is_torchs_and_leaves_short_gradients_alone() -> None:
    parameters, gradient = weights(4), gradients(4, 1)[0]
    runs = [hyperparameters("sgd", letter) for letter in "abcc"]
    optimizer = StackedOptimizer("sgd", parameters, runs)
    for name, values in gradient.items():
        values[3] /= 1000
        parameters[name].grad.copy_(values)
    optimizer.clip_gradients(optimizer.gradient_norms())
    for k, run in enumerate(runs):
        own = [nn.Parameter(values[k]) for values in gradient.values()]
        for parameter, values in zip(own, gradient.values(), strict=True):
            parameter.grad = values[k].clone()
        nn.utils.clip_grad_norm_(own, run.clip_norm)
        for parameter, stacked in zip(own, parameters.values(), strict=True):
            close(stacked.grad[k], parameter.grad)
    for k in (1, 3):
        assert all(torch.equal(parameters[name].grad[k], values[k]) for name, values in gradient.items())


def test_only_runs_with_a_finite_norm_are_clipped() -> None:
    assert not StackedOptimizer("sgd", weights(2), [hyperparameters("sgd", "b"), hyperparameters("sgd", "d")]).clips
    assert StackedOptimizer("sgd", weights(2), [hyperparameters("sgd", "b"), hyperparameters("sgd", "a")]).clips


def test_an_unclipped_run_does_not_see_that_its_neighbour_is_clipped() -> None:
    """Not even where its gradient is so large that the norm overflows."""
    parameters = weights(2, torch.float32)
    optimizer = StackedOptimizer("sgd", parameters, [hyperparameters("sgd", letter) for letter in "ab"])
    gradient = {name: torch.full((2, *shape), 1e30) for name, shape in SHAPES.items()}
    for name, parameter in parameters.items():
        parameter.grad.copy_(gradient[name])
    optimizer.clip_gradients(optimizer.gradient_norms())
    assert all(torch.equal(parameter.grad[1], gradient[name][1]) for name, parameter in parameters.items())


@pytest.mark.parametrize("mixture", ["aa", "ab"])
def test_gradients_that_are_added_are_zero_after_a_step(mixture: str) -> None:
    parameters = weights(2)
    optimizer = StackedOptimizer("adam", parameters, [hyperparameters("adam", letter) for letter in mixture])
    advance(optimizer, gradients(2, 1)[0])
    for name, parameter in parameters.items():
        overwritten = name.endswith("weight")
        assert torch.any(parameter.grad != 0) == overwritten
