"""Builders of what a step does: hyperparameters, learning-rate schedule, averages and attacks on the images."""

import math
from dataclasses import asdict

from regexp.config.schema import Config
from regexp.config.schemas.adversarial import FGSMConfig, PGDConfig
from regexp.config.schemas.averaging import EMAConfig, SnapshotsConfig, SWAConfig
from regexp.training.parameter_groups import Hyperparameters
from regexp.training.regularizers.adversary import AttackSettings
from regexp.training.regularizers.averaging import Averaging, EqualAveraging, ExponentialAveraging
from regexp.training.regularizers.snapshots import SnapshotRule
from regexp.training.schedules import Plateau, Schedule, approach, constant, cosine, onecycle, restarts, step
from regexp.training.update_rules import OPTIMIZERS


def count_optimizer_values(config: Config) -> int:
    """Return the number of values that the optimizer of a run and its average keep for each parameter."""
    run = make_hyperparameters(config, 1)
    further_copies = [run.lookahead_period is not None, run.sam_radius > 0, config.averaging.name != "none"]
    further_copies += 2 * [run.gradient_noise > 0]  # its draws, and what they are computed from
    count = len(list(OPTIMIZERS[config.optimizer.name].state_names(run.arguments))) + sum(further_copies)
    rule = make_averaging(config)
    if isinstance(rule, SnapshotRule):
        # The best weights are an ensemble, too. When both are tested, a copy is made, and a further one of a layer.
        count += 4 * (rule.count_kept(config.epochs) - 1)
    return count


def make_hyperparameters(config: Config, steps_per_epoch: int) -> Hyperparameters:
    """Make the hyperparameters of a run's optimizer."""
    options = asdict(config.optimizer)
    name, l1, clip_norm, max_norm = (options.pop(key) for key in ("name", "l1", "clip_norm", "max_norm"))
    lookahead_period, lookahead_alpha = options.pop("lookahead_k"), options.pop("lookahead_alpha")
    sam_radius, sam_is_adaptive = options.pop("sam_rho"), options.pop("sam_adaptive")
    gradient_noise = options.pop("gradient_noise")
    if "betas" in options:
        options["betas"] = tuple(options["betas"])
    steps = config.epochs * steps_per_epoch
    # The other schedules do not depend on the number of epochs, so runs that differ in it share a parameter group.
    horizon = steps if config.schedule.name in ("cosine", "onecycle") else 0
    if isinstance(config.averaging, SWAConfig) and config.averaging.lr is not None:
        horizon = steps
    if isinstance(config.averaging, SnapshotsConfig):
        horizon = steps
    key = repr((name, options, config.schedule, config.averaging, horizon))
    return Hyperparameters(
        arguments=options,
        schedule=make_schedule(config, steps_per_epoch),
        l1=l1,
        clip_norm=math.inf if clip_norm is None else clip_norm,
        max_norm=math.inf if max_norm is None else max_norm,
        lookahead_period=lookahead_period,
        lookahead_alpha=lookahead_alpha,
        sam_radius=sam_radius,
        sam_is_adaptive=sam_is_adaptive,
        gradient_noise=gradient_noise,
        key=key,
    )


def make_attack(config: Config) -> AttackSettings | None:
    """Make the settings by which a run changes its training images so that its network errs; None where it does not."""
    adversarial = config.adversarial
    if isinstance(adversarial, FGSMConfig):
        return AttackSettings(adversarial.epsilon, adversarial.epsilon, 1, adversarial.share, has_random_start=False)
    if isinstance(adversarial, PGDConfig):
        steps, epsilon = adversarial.steps, adversarial.epsilon
        step_size = adversarial.step_size if adversarial.step_size is not None else 2.5 * epsilon / steps
        return AttackSettings(epsilon, step_size, steps, adversarial.share, has_random_start=True)
    return None


def make_averaging(config: Config) -> Averaging | SnapshotRule | None:
    """Make the rule by which a run averages its weights or takes snapshots of them; None where it does not."""
    averaging = config.averaging
    if isinstance(averaging, SnapshotsConfig):
        cycle_ends = averaging.cycle_ends(config.epochs)
        return SnapshotRule(cycle_ends, len(cycle_ends) if averaging.snapshots is None else averaging.snapshots)
    if isinstance(averaging, EMAConfig):
        return ExponentialAveraging(averaging.decay)
    return EqualAveraging(averaging.first_epoch(config.epochs)) if isinstance(averaging, SWAConfig) else None


def make_schedule(config: Config, steps_per_epoch: int) -> Schedule:
    """Make the learning-rate schedule of a run."""
    schedule, averaging = _make_base_schedule(config, steps_per_epoch), config.averaging
    if isinstance(averaging, SnapshotsConfig):
        return restarts(tuple(epoch * steps_per_epoch for epoch in averaging.cycle_ends(config.epochs)))
    if not isinstance(averaging, SWAConfig) or averaging.lr is None:
        return schedule
    start = (averaging.first_epoch(config.epochs) - 1) * steps_per_epoch
    return approach(schedule, start, averaging.anneal_epochs * steps_per_epoch, averaging.lr / config.optimizer.lr)


def _make_base_schedule(config: Config, steps_per_epoch: int) -> Schedule:
    """Make the learning-rate schedule of a run, as it is without averaging."""
    options = asdict(config.schedule)
    steps = config.epochs * steps_per_epoch
    name = options.pop("name")
    if name == "cosine":
        return cosine(steps, round(options["warmup_epochs"] * steps_per_epoch), options["final_fraction"])
    if name == "onecycle":
        return onecycle(steps, **options)
    if name == "step":
        return step(steps_per_epoch, **options)
    return Plateau(config.optimizer.lr, **options) if name == "plateau" else constant()
