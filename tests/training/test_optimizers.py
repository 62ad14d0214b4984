"""One optimizer for K runs against one torch.optim optimizer for each run."""

import inspect
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import fields, replace
from functools import partial
from typing import Any

import pytest
import torch
from safetensors.torch import load, save
from torch import Tensor, nn
from torch.testing import assert_close

from regexp.config.schema import OPTIONS, Config
from regexp.config.schemas.optimizer import (
    AdamConfig,
    CosineConfig,
    OptimizerConfig,
    PlateauConfig,
    ScheduleConfig,
    StepConfig,
)
from regexp.execution.building.optimizer_builders import make_hyperparameters
from regexp.training.optimizers import SLOW_WEIGHTS, StackedOptimizer
from regexp.training.parameter_groups import MAX_KERNEL_GROUPS, Hyperparameters, KernelUpdater
from regexp.training.update_rules import OPTIMIZERS

close = partial(assert_close, rtol=0, atol=1e-12)
every_optimizer = pytest.mark.parametrize("optimizer_name", OPTIONS["optimizer"])

TORCH_OPTIMIZERS = {
    "adam": torch.optim.Adam,
    "adamw": torch.optim.AdamW,
    "sgd": torch.optim.SGD,
    "rmsprop": torch.optim.RMSprop,
}
SHAPES = {"0.weight": (4, 3), "0.bias": (4,), "1.weight": (2, 4)}
STEPS = 24
STEPS_PER_EPOCH = 4
# Every hyperparameter's values in runs a, b and c. Run d has those of run a, but another l1 and no clipping, which
# change no argument of the torch optimizer.
HYPERPARAMETERS: dict[str, tuple[Any, Any, Any]] = {
    "lr": (0.1, 0.03, 0.2),
    "weight_decay": (0.0, 0.2, 0.01),
    "l1": (0.05, 0.0, 0.3),
    "clip_norm": (0.3, None, 2.0),
    "max_norm": (1.0, None, 0.5),
    "lookahead_k": (3, None, 5),
    "lookahead_alpha": (0.5, 0.5, 0.8),
    "gradient_noise": (0.0, 0.0, 0.0),  # takes a seed to be tested: test_loop.py
    "sam_rho": (0.0, 0.0, 0.0),  # takes a loss to be tested: test_loop.py
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


def make_config(optimizer_name: str, letter: str) -> Config:
    schema = OPTIONS["optimizer"][optimizer_name]
    base_letter = "a" if letter == "d" else letter
    names = [item.name for item in fields(schema) if item.metadata["mark"] == "per_run"]
    values = {name: HYPERPARAMETERS[name]["abc".index(base_letter)] for name in names}
    if letter == "d":
        values |= {"l1": 0.2, "clip_norm": None}
    return Config(epochs=STEPS // STEPS_PER_EPOCH, optimizer=schema(**values), schedule=SCHEDULES[base_letter])


def run_hyperparameters(optimizer_name: str, letter: str) -> Hyperparameters:
    return make_hyperparameters(make_config(optimizer_name, letter), STEPS_PER_EPOCH)


def make_parameters(runs: int, dtype: torch.dtype = torch.float64) -> dict[str, nn.Parameter]:
    """Return random weights, and biases of 0, where an absolute value has no derivative."""
    return {
        name: nn.Parameter(torch.randn(runs, *shape, dtype=dtype) * (len(shape) - 1)) for name, shape in SHAPES.items()
    }


def make_gradients(runs: int, steps: int) -> list[dict[str, Tensor]]:
    """Return gradients of very different sizes, so that some are clipped and some are not."""
    return [
        {name: torch.randn(runs, *shape, dtype=torch.float64) * 10 ** (-step % 3 - 1) for name, shape in SHAPES.items()}
        for step in range(steps)
    ]


def advance(optimizer: StackedOptimizer, gradient: Mapping[str, Tensor], rows: Sequence[int] | None = None) -> None:
    """Take a step as a cohort does."""
    for name, parameter in optimizer.parameters.items():
        parameter.grad.copy_(gradient[name] if rows is None else gradient[name][list(rows)])
    if optimizer.has_l1:
        optimizer.add_l1_gradients()
    if optimizer.clips:
        optimizer.clip_gradients(optimizer.gradient_norms())
    optimizer.step()


def run_state(optimizer: StackedOptimizer, k: int) -> dict[str, Tensor]:
    """Return the state of run k as a checkpoint holds it."""
    return {name: optimizer.state_dict()[name][k] for name in optimizer.state_names(k)}


def train_with_torch(
    config: Config, initial_weights: Mapping[str, Tensor], gradients: Sequence[Mapping[str, Tensor]]
) -> Iterator[nn.Module]:
    """Train one run with torch's own module, optimizer, scheduler and clipping; yield the module after every step.

    The loss is linear in the parameters, so that `gradients` are its gradients, apart from the l1 penalty.
    """
    module = nn.Sequential(nn.Linear(3, 4), nn.Linear(4, 2, bias=False)).double()
    module.load_state_dict(dict(initial_weights))
    optimizer_config = config.optimizer
    arguments = {item.name: getattr(optimizer_config, item.name) for item in fields(optimizer_config)}
    own_names = [item.name for item in fields(OptimizerConfig) if item.name not in ("lr", "weight_decay")]
    own_options = {name: arguments.pop(name) for name in own_names}
    optimizer = TORCH_OPTIMIZERS[optimizer_config.name](module.parameters(), **arguments)
    scheduler = torch.optim.lr_scheduler.LambdaLR(optimizer, make_hyperparameters(config, STEPS_PER_EPOCH).schedule)
    slow_weights = {name: parameter.detach().clone() for name, parameter in module.named_parameters()}
    for step, step_gradients in enumerate(gradients):
        optimizer.zero_grad()
        loss = sum((step_gradients[name] * parameter).sum() for name, parameter in module.named_parameters())
        (loss + own_options["l1"] * sum(parameter.abs().sum() for parameter in module.parameters())).backward()
        if own_options["clip_norm"] is not None:
            nn.utils.clip_grad_norm_(module.parameters(), own_options["clip_norm"])
        optimizer.step()
        scheduler.step()
        with torch.no_grad():
            for name, parameter in module.named_parameters():
                if own_options["lookahead_k"] is not None and (step + 1) % own_options["lookahead_k"] == 0:
                    slow_weights[name] += own_options["lookahead_alpha"] * (parameter - slow_weights[name])
                    parameter.copy_(slow_weights[name])
                if own_options["max_norm"] is not None and parameter.dim() == 2:
                    parameter.copy_(torch.renorm(parameter, p=2, dim=0, maxnorm=own_options["max_norm"]))
        yield module


# The letters of the runs that start, and the rows of those that stay.
MIXTURES = [
    ("abcd", [0, 1, 2, 3]),
    ("aabcad", [1, 3, 5]),
    ("aabcad", [4, 0]),
    ("aabcad", [2]),
    ("dabba", [0, 1, 3]),
    ("aaaa", [0, 2]),
    ("cc", [1]),
    ("c", [0]),
]
REMOVAL_STEPS = (0, 1, 10)
# Each mixture meets one of the steps, and all of them in the slow suite.
REMOVALS = [
    pytest.param(*mixture, step, marks=[] if i % len(REMOVAL_STEPS) == j else [pytest.mark.slow])
    for i, mixture in enumerate(MIXTURES)
    for j, step in enumerate(REMOVAL_STEPS)
]


@every_optimizer
@pytest.mark.parametrize(("mixture", "staying", "removal_step"), REMOVALS, ids=str)
@pytest.mark.parametrize("max_kernel_groups", [9, 0], ids=["kernels", "rule"])
def test_every_run_moves_as_with_its_own_torch_optimizer(
    optimizer_name: str,
    mixture: str,
    staying: list[int],
    removal_step: int,
    max_kernel_groups: int,
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    """Check every step: before and after other runs are removed, and after a checkpoint is loaded."""
    monkeypatch.setitem(MAX_KERNEL_GROUPS, "cpu", max_kernel_groups)
    gradients, parameters = make_gradients(len(mixture), STEPS), make_parameters(len(mixture))
    torch_runs = [
        train_with_torch(
            make_config(optimizer_name, letter),
            {name: parameter.detach()[k].clone() for name, parameter in parameters.items()},
            [{name: gradient[k] for name, gradient in step_gradients.items()} for step_gradients in gradients],
        )
        for k, letter in enumerate(mixture)
    ]
    rows = list(range(len(mixture)))
    optimizer = StackedOptimizer(
        optimizer_name, parameters, [run_hyperparameters(optimizer_name, letter) for letter in mixture]
    )
    optimizer.begin_epoch(STEPS)
    for step, step_gradients in enumerate(gradients):
        if step == removal_step:
            rows = staying
            kept = {name: nn.Parameter(parameter.detach()[rows]) for name, parameter in optimizer.parameters.items()}
            optimizer.keep_runs(torch.tensor(rows), kept)
            optimizer.begin_epoch(STEPS - step)
        if step == removal_step + 4:
            states = [run_state(optimizer, i) for i in range(len(rows))]
            stored_states = [save({name: tensor.clone() for name, tensor in state.items()}) for state in states]
            restored = {
                name: nn.Parameter(parameter.detach().clone()) for name, parameter in optimizer.parameters.items()
            }
            optimizer = StackedOptimizer(
                optimizer_name, restored, [run_hyperparameters(optimizer_name, mixture[k]) for k in rows], step
            )
            for i, state in enumerate(stored_states):
                optimizer.load_run_state(i, load(state))
            optimizer.begin_epoch(STEPS - step)
        advance(optimizer, step_gradients, rows)
        modules = [next(run) for run in torch_runs]
        for i, k in enumerate(rows):
            for name, parameter in modules[k].named_parameters():
                close(optimizer.parameters[name].detach()[i], parameter.detach())


@every_optimizer
def test_runs_share_a_parameter_group_if_no_argument_of_torchs_optimizer_differs(optimizer_name: str) -> None:
    base = make_config(optimizer_name, "b")
    for item in fields(base.optimizer):
        if item.metadata["mark"] == "per_run" and item.name not in ("sam_rho", "gradient_noise"):
            value = next(value for value in HYPERPARAMETERS[item.name] if value != getattr(base.optimizer, item.name))
            other = replace(base, seed=1, optimizer=replace(base.optimizer, **{item.name: value}))
            is_torchs = item.name in inspect.signature(TORCH_OPTIMIZERS[optimizer_name]).parameters
            assert share_a_group(optimizer_name, base, other) != is_torchs, item.name


@pytest.mark.parametrize("name", OPTIONS["schedule"])
def test_runs_with_different_schedules_share_no_parameter_group(name: str) -> None:
    schedule = OPTIONS["schedule"][name](name=name)
    base = Config(optimizer=AdamConfig(), schedule=schedule)
    for key, value in vars(schedule).items():
        if key != "name":
            other = replace(base, schedule=replace(schedule, **{key: value / 2 + 1}))
            assert not share_a_group("adam", base, other), key
    assert share_a_group("adam", base, replace(base, epochs=7)) == (name in ("constant", "step"))


def share_a_group(optimizer_name: str, *configs: Config) -> bool:
    """Return whether these runs share a parameter group."""
    runs = [make_hyperparameters(config, STEPS_PER_EPOCH) for config in configs]
    return group_rows(optimizer_name, runs) == [list(range(len(runs)))]


def group_rows(optimizer_name: str, runs: Sequence[Hyperparameters]) -> list[list[int]]:
    """Return the indices of the runs of each parameter group."""
    updater = StackedOptimizer(optimizer_name, make_parameters(len(runs)), runs).updater
    assert isinstance(updater, KernelUpdater)
    return updater.rows


def test_runs_need_not_stand_together_to_share_a_parameter_group() -> None:
    runs = [run_hyperparameters("adam", letter) for letter in "abcabcabb"]
    assert group_rows("adam", runs) == [[0, 3, 6], [1, 4, 7, 8], [2, 5]]


def test_runs_with_a_plateau_schedule_share_no_parameter_group() -> None:
    config = Config(optimizer=AdamConfig(), schedule=PlateauConfig())
    runs = [make_hyperparameters(config, STEPS_PER_EPOCH) for _ in range(3)]
    assert group_rows("adam", runs) == [[0], [1], [2]]


# The state of run a's optimizer.
STATE_ENTRIES = {
    "adam": {"exp_avg", "exp_avg_sq"},
    "adamw": {"exp_avg", "exp_avg_sq"},
    "sgd": {"momentum_buffer"},
    "rmsprop": {"square_avg", "momentum_buffer"},
}


@every_optimizer
def test_a_runs_state_is_named_by_parameter_and_entry(optimizer_name: str) -> None:
    optimizer = StackedOptimizer(
        optimizer_name, make_parameters(4), [run_hyperparameters(optimizer_name, letter) for letter in "aabc"]
    )
    optimizer.begin_epoch(1)
    advance(optimizer, make_gradients(4, 1)[0])
    row = run_state(optimizer, 1)
    entries = {*STATE_ENTRIES[optimizer_name], SLOW_WEIGHTS}
    assert set(row) == {f"{name}/{entry}" for name in SHAPES for entry in entries}
    assert all(tensor.shape == SHAPES[key.split("/")[0]] for key, tensor in row.items())


def test_the_schema_has_every_optimizer() -> None:
    assert set(OPTIMIZERS) == set(OPTIONS["optimizer"])


@pytest.mark.parametrize("mixture", ["abcd", "b", "bb"])
def test_l1_changes_only_the_gradients_of_runs_that_have_it(mixture: str) -> None:
    parameters, gradient = make_parameters(len(mixture)), make_gradients(len(mixture), 1)[0]
    optimizer = StackedOptimizer("sgd", parameters, [run_hyperparameters("sgd", letter) for letter in mixture])
    for name, parameter in parameters.items():
        parameter.grad.copy_(gradient[name])
    assert optimizer.has_l1 == (set(mixture) != {"b"})
    optimizer.add_l1_gradients()
    for k, letter in enumerate(mixture):
        unchanged = [torch.equal(parameter.grad[k], gradient[name][k]) for name, parameter in parameters.items()]
        assert unchanged == [letter == "b", True, letter == "b"]


@pytest.mark.parametrize("mixture", ["aaa", "abc"])
def test_gradient_norms_equal_torchs(mixture: str) -> None:
    parameters = make_parameters(3)
    optimizer = StackedOptimizer("adam", parameters, [run_hyperparameters("adam", letter) for letter in mixture])
    for name, gradient in make_gradients(3, 1)[0].items():
        parameters[name].grad.copy_(gradient)
    norms = optimizer.gradient_norms()
    for k in range(3):
        close(norms[k], nn.utils.get_total_norm([parameter.grad[k] for parameter in parameters.values()]))


def test_clipping_equals_torchs_and_leaves_short_gradients_alone() -> None:
    parameters, gradient = make_parameters(4), make_gradients(4, 1)[0]
    runs = [run_hyperparameters("sgd", letter) for letter in "abcc"]
    optimizer = StackedOptimizer("sgd", parameters, runs)
    for name, values in gradient.items():
        values[3] /= 1000
        parameters[name].grad.copy_(values)
    optimizer.clip_gradients(optimizer.gradient_norms())
    for k, run in enumerate(runs):
        plain_parameters = [nn.Parameter(values[k]) for values in gradient.values()]
        for parameter, values in zip(plain_parameters, gradient.values(), strict=True):
            parameter.grad = values[k].clone()
        nn.utils.clip_grad_norm_(plain_parameters, run.clip_norm)
        for parameter, stacked in zip(plain_parameters, parameters.values(), strict=True):
            close(stacked.grad[k], parameter.grad)
    for k in (1, 3):
        assert all(torch.equal(parameters[name].grad[k], values[k]) for name, values in gradient.items())


def test_an_optimizer_clips_only_if_a_run_has_a_clip_norm() -> None:
    for mixture, clips in (("bd", False), ("ba", True)):
        runs = [run_hyperparameters("sgd", letter) for letter in mixture]
        assert StackedOptimizer("sgd", make_parameters(2), runs).clips == clips


def test_an_unclipped_run_is_not_changed_when_its_neighbour_is_clipped() -> None:
    """Use a gradient so large that its norm overflows."""
    parameters = make_parameters(2, torch.float32)
    optimizer = StackedOptimizer("sgd", parameters, [run_hyperparameters("sgd", letter) for letter in "ab"])
    gradient = {name: torch.full((2, *shape), 1e30) for name, shape in SHAPES.items()}
    for name, parameter in parameters.items():
        parameter.grad.copy_(gradient[name])
    optimizer.clip_gradients(optimizer.gradient_norms())
    assert all(torch.equal(parameter.grad[1], gradient[name][1]) for name, parameter in parameters.items())


@pytest.mark.parametrize("mixture", ["aa", "ab"])
def test_only_gradients_that_accumulate_are_zeroed_after_a_step(mixture: str) -> None:
    parameters = make_parameters(2)
    runs = [run_hyperparameters("adam", letter) for letter in mixture]
    overwritten = [name for name in parameters if name.endswith("weight")]
    optimizer = StackedOptimizer("adam", parameters, runs, overwritten_gradients=overwritten)
    optimizer.begin_epoch(1)
    advance(optimizer, make_gradients(2, 1)[0])
    for name, parameter in parameters.items():
        assert torch.any(parameter.grad != 0) == (name in overwritten)
