"""Learning-rate schedules against torch.optim.lr_scheduler's, at every step."""

import json
import math
from collections.abc import Callable
from typing import Any

import pytest
import torch
from torch import Tensor
from torch.optim import SGD
from torch.optim.lr_scheduler import (
    CosineAnnealingLR,
    LambdaLR,
    LinearLR,
    LRScheduler,
    OneCycleLR,
    ReduceLROnPlateau,
    SequentialLR,
    StepLR,
)

from regexp.config.metric_registry import METRICS, MONITORS
from regexp.config.schema import OPTIONS, Config
from regexp.config.schemas.early_stopping import EarlyStoppingConfig
from regexp.config.schemas.optimizer import SGDConfig
from regexp.execution.building.optimizer_builders import make_hyperparameters
from regexp.training.metrics import EpochMetrics
from regexp.training.optimizers import StackedOptimizer
from regexp.training.schedules import Plateau, Schedule, cosine, onecycle

LR = 0.3
STEPS_PER_EPOCH = 4
# Four runs. The first two have the same schedule (the same column of VALUES); all end at different epochs.
LEARNING_RATES, EPOCHS, VALUE_COLUMNS = (0.3, 0.3, 0.1, 0.02), (12, 14, 7, 20), (0, 0, 1, 2)
VALUES: dict[str, dict[str, tuple[Any, Any, Any]]] = {
    "constant": {},
    "cosine": {"warmup_epochs": (0.0, 1.5, 2.0), "final_fraction": (0.0, 0.1, 0.5)},
    "onecycle": {"pct_start": (0.3, 0.1, 0.6), "div_factor": (25.0, 4.0, 10.0), "final_div_factor": (1e4, 10.0, 2.0)},
    "step": {"step_size": (1, 2, 3), "gamma": (0.5, 0.1, 0.9)},
    "plateau": {
        "factor": (0.5, 0.1, 0.7),
        "patience": (0, 1, 2),
        "threshold": (0.1, 0.0, 0.01),
        "cooldown": (1, 0, 2),
        "min_lr": (0.0, 0.005, 0.01),
    },
}


def make_config(name: str, k: int) -> Config:
    """Return the configuration of run k."""
    schema = OPTIONS["schedule"][name]
    arguments = {key: values[VALUE_COLUMNS[k]] for key, values in VALUES[name].items()}
    return Config(
        epochs=EPOCHS[k],
        optimizer=SGDConfig(lr=LEARNING_RATES[k], momentum=0.0),
        schedule=schema(name=name, **arguments),
        early_stopping=EarlyStoppingConfig(monitor=MONITORS[k % 2]),
    )


def epoch_metrics(epoch: int, k: int) -> EpochMetrics:
    """Return the metrics of an epoch of run k, which learns for a while; they differ between runs."""
    wave = math.sin(7.0 * epoch + k) / 20
    loss, accuracy = 1.0 / min(epoch, 4) + wave, 0.9 - 0.5 / min(epoch, 4) - wave
    values = {"train_loss": loss, "train_accuracy": accuracy, "val_loss": loss, "val_accuracy": accuracy}
    return EpochMetrics(epoch, loss, values, lr=0.0, seconds=0.0, gradient_norm=0.0)


def torch_scheduler(config: Config, optimizer: SGD) -> LRScheduler | ReduceLROnPlateau:
    """Return torch's scheduler for a configuration."""
    schedule, steps, lr = config.schedule, config.epochs * STEPS_PER_EPOCH, config.optimizer.lr
    if schedule.name == "constant":
        return LambdaLR(optimizer, lambda _: 1.0)
    if schedule.name == "cosine":
        return torch_cosine(
            optimizer, lr, steps, round(schedule.warmup_epochs * STEPS_PER_EPOCH), schedule.final_fraction
        )
    if schedule.name == "onecycle":
        arguments = {key: getattr(schedule, key) for key in VALUES["onecycle"]}
        return OneCycleLR(optimizer, lr, total_steps=steps, cycle_momentum=False, **arguments)
    if schedule.name == "step":
        return StepLR(optimizer, schedule.step_size, schedule.gamma)
    assert schedule.name == "plateau", f"{schedule.name}: add the torch scheduler that it equals to this function"
    mode = "max" if config.early_stopping.monitor == "val_accuracy" else "min"
    return ReduceLROnPlateau(optimizer, mode, **{key: getattr(schedule, key) for key in VALUES["plateau"]})


def torch_cosine(optimizer: SGD, lr: float, steps: int, warmup: int, final_fraction: float) -> LRScheduler:
    annealing = CosineAnnealingLR(optimizer, steps - warmup, eta_min=final_fraction * lr)
    if warmup == 0:
        return annealing
    return SequentialLR(optimizer, [LinearLR(optimizer, 0.01, total_iters=warmup), annealing], [warmup])


def torch_rates(config: Config, k: int) -> list[float]:
    """Return the learning rate of run k at each of its steps, with torch's own scheduler."""
    optimizer = SGD([torch.zeros(1, requires_grad=True)], lr=config.optimizer.lr)
    scheduler = torch_scheduler(config, optimizer)
    rates = []
    for epoch in range(1, config.epochs + 1):
        for _ in range(STEPS_PER_EPOCH):
            rates.append(optimizer.param_groups[0]["lr"])
            optimizer.step()
            if not isinstance(scheduler, StepLR | ReduceLROnPlateau):
                scheduler.step()
        if isinstance(scheduler, ReduceLROnPlateau):
            scheduler.step(epoch_metrics(epoch, k).values[config.early_stopping.monitor])
        if isinstance(scheduler, StepLR):
            scheduler.step()
    return rates


@pytest.mark.parametrize("resumed_after", [None, 6, 9])
@pytest.mark.parametrize("name", OPTIONS["schedule"])
def test_every_run_has_the_learning_rates_of_its_own_torch_scheduler(name: str, resumed_after: int | None) -> None:
    """Check every step, while other runs end and after all runs have resumed from a checkpoint."""
    configs = [make_config(name, k) for k in range(4)]
    expected = [torch_rates(config, k) for k, config in enumerate(configs)]
    if name != "constant":
        assert all(len(set(rates)) > 1 for rates in expected)
    rows, weight = list(range(4)), torch.zeros(4, 1, dtype=torch.float64, requires_grad=True)
    runs = [make_hyperparameters(config, STEPS_PER_EPOCH) for config in configs]
    optimizer = StackedOptimizer("sgd", {"weight": weight}, runs)
    for epoch in range(1, max(EPOCHS) + 1):
        optimizer.begin_epoch(STEPS_PER_EPOCH)
        for step in range((epoch - 1) * STEPS_PER_EPOCH, epoch * STEPS_PER_EPOCH):
            weight.grad.fill_(1.0)
            optimizer.step()
            assert optimizer.learning_rates() == pytest.approx([expected[k][step] for k in rows], rel=1e-12)
        for k, run in zip(rows, runs, strict=True):
            if run.plateau is not None:
                run.plateau.update(
                    epoch_metrics(epoch, k).score(
                        configs[k].early_stopping.monitor,
                        METRICS[configs[k].early_stopping.monitor.removeprefix("val_")].better,
                    )
                )
        staying = [i for i, k in enumerate(rows) if EPOCHS[k] > epoch]
        ended = [weight.detach()[i].item() for i, k in enumerate(rows) if EPOCHS[k] == epoch]
        assert ended == pytest.approx([-sum(expected[k]) for k in rows if EPOCHS[k] == epoch], rel=1e-12)
        rows, runs = [rows[i] for i in staying], [runs[i] for i in staying]
        if epoch == resumed_after:
            states = [None if run.plateau is None else json.dumps(run.plateau.state()) for run in runs]
            runs = [make_hyperparameters(configs[k], STEPS_PER_EPOCH) for k in rows]
            for run, state in zip(runs, states, strict=True):
                if run.plateau is not None:
                    run.plateau.load_state(json.loads(state))
        weight = weight.detach()[staying].requires_grad_()
        if rows:
            optimizer = StackedOptimizer("sgd", {"weight": weight}, runs, epoch * STEPS_PER_EPOCH)


def test_every_option_of_every_schedule_is_tested() -> None:
    for name, schema in OPTIONS["schedule"].items():
        assert set(VALUES[name]) == {option for option in vars(schema()) if option != "name"}


@pytest.mark.parametrize("mode", ["min", "max"])
@pytest.mark.parametrize("patience", [0, 1, 3])
@pytest.mark.parametrize("cooldown", [0, 1, 2])
@pytest.mark.parametrize(("factor", "threshold"), [(0.5, 0.1), (0.1, 0.0), (0.9, 1e-4)])
def test_plateau_equals_torchs(mode: str, patience: int, cooldown: int, factor: float, threshold: float) -> None:
    """Include ties, improvements of exactly the threshold, scores of 0, NaN, and reductions too small to be made."""
    values = torch.tensor([0.0, 0.5, 0.5 * 1.1, 0.5 * 0.9, 0.5 * 1.1 * 1.1, 0.50001, 0.7, 0.8, math.nan])
    scores: Tensor = values.double()[torch.randint(len(values), (300,))]
    if mode == "min":
        scores = scores.flip(0) + torch.linspace(1.0, 0.0, 300).round(decimals=1)
    for lr, min_lr in ((0.1, 0.0), (0.1, 0.03), (3e-8, 0.0), (0.1, 0.2)):
        optimizer = SGD([torch.zeros(1, requires_grad=True)], lr=lr)
        scheduler = ReduceLROnPlateau(optimizer, mode, factor, patience, threshold, cooldown=cooldown, min_lr=min_lr)
        plateau = Plateau(lr, factor, patience, threshold, cooldown, min_lr)
        for score in scores.tolist():
            scheduler.step(score)
            plateau.update(score if mode == "min" else -score)
            assert plateau.lr == optimizer.param_groups[0]["lr"]
            assert lr * plateau(7) == pytest.approx(plateau.lr, rel=1e-12)


def torch_factors(make: Callable[[SGD], LRScheduler], steps: int) -> list[float]:
    """Return the factor on the learning rate at each step, by a torch scheduler."""
    optimizer = SGD([torch.zeros(1, requires_grad=True)], lr=LR)
    scheduler = make(optimizer)
    factors = []
    for _ in range(steps):
        factors.append(optimizer.param_groups[0]["lr"] / LR)
        optimizer.step()
        scheduler.step()
    return factors


def factors_of(schedule: Schedule, steps: int) -> list[float]:
    """Return the factor on the learning rate at each step, by a schedule of this package."""
    return [schedule(step) for step in range(steps)]


@pytest.mark.parametrize("final_fraction", [0.0, 0.1, 1.0])
@pytest.mark.parametrize(("steps", "warmup"), [(1, 0), (10, 0), (37, 0), (3, 1), (10, 3), (37, 5), (100, 99)])
def test_cosine_equals_torchs_linear_warm_up_and_cosine_annealing(
    steps: int, warmup: int, final_fraction: float
) -> None:
    def make(optimizer: SGD) -> LRScheduler:
        return torch_cosine(optimizer, LR, steps, warmup, final_fraction)

    assert factors_of(cosine(steps, warmup, final_fraction), steps) == pytest.approx(
        torch_factors(make, steps), rel=1e-9, abs=1e-12
    )


@pytest.mark.parametrize(("div_factor", "final_div_factor"), [(25.0, 1e4), (2.0, 10.0)])
@pytest.mark.parametrize("pct_start", [0.3, 0.05, 0.77])
@pytest.mark.parametrize("steps", [1, 2, 3, 10, 37, 100])
def test_onecycle_equals_torchs(steps: int, pct_start: float, div_factor: float, final_div_factor: float) -> None:
    def make(optimizer: SGD) -> LRScheduler:
        return OneCycleLR(
            optimizer,
            LR,
            total_steps=steps,
            pct_start=pct_start,
            div_factor=div_factor,
            final_div_factor=final_div_factor,
            cycle_momentum=False,
        )

    schedule = onecycle(steps, pct_start, div_factor, final_div_factor)
    assert factors_of(schedule, steps) == pytest.approx(torch_factors(make, steps), rel=1e-9, abs=1e-12)


@pytest.mark.parametrize("steps", [*range(1, 21), 40, 100])
def test_every_factor_is_finite_and_positive(steps: int) -> None:
    schedules = [cosine(steps, warmup, 0.01) for warmup in (0, 1, steps - 1, steps, 2 * steps)]
    schedules += [onecycle(steps, pct_start, 25.0, 1e4) for pct_start in (0.01, 0.05, 0.1, 0.2, 0.25, 0.3, 0.5, 0.99)]
    for schedule in schedules:
        assert all(math.isfinite(factor) and 0 < factor <= 1 for factor in factors_of(schedule, steps))
