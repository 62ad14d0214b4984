"""Optuna's samplers and pruners, made from their names and arguments."""

import hashlib
from collections.abc import Mapping, Sequence
from typing import Any

from optuna import pruners, samplers
from optuna.pruners import BasePruner
from optuna.samplers import BaseSampler

from regexp.errors import ConfigError

_SAMPLERS = {
    "tpe": samplers.TPESampler,
    "random": samplers.RandomSampler,
    "cmaes": samplers.CmaEsSampler,
    "gp": samplers.GPSampler,
    "nsgaii": samplers.NSGAIISampler,
}
_PRUNERS = {
    "none": pruners.NopPruner,
    "median": pruners.MedianPruner,
    "halving": pruners.SuccessiveHalvingPruner,
    "hyperband": pruners.HyperbandPruner,
}


def make_sampler(settings: Mapping[str, Any], grid: Mapping[str, Sequence[Any]] | None, num_trials: int) -> BaseSampler:
    """Return a sampler for the next trials of a study.

    Its seed depends on the number of trials so far. So a study that is interrupted goes on with the draws that it would
    have made, and does not begin with those of its first trials again.

    Args:
        settings: the name of the sampler and its arguments.
        grid: all values of each parameter, for the sampler "grid" only.
        num_trials: the number of trials that the study has.

    Raises:
        ConfigError: the arguments do not go together.
    """
    arguments = {name: value for name, value in settings.items() if name not in ("name", "seed")}
    if settings["name"] == "grid":
        assert grid is not None
        return samplers.GridSampler(grid, seed=settings["seed"])  # its order of the grid must stay
    digest = hashlib.sha256(f"{settings['seed']} {num_trials}".encode()).digest()
    try:
        sampler: BaseSampler = _SAMPLERS[settings["name"]](seed=int.from_bytes(digest[:4], "big"), **arguments)
    except ValueError as error:
        raise ConfigError(f"hydra/sweeper/sampler={settings['name']}: {error}") from error
    return sampler


def make_pruner(settings: Mapping[str, Any], max_epochs: int) -> BasePruner:
    """Return a pruner.

    Args:
        settings: the name of the pruner and its arguments.
        max_epochs: the largest number of epochs of a trial, which is Hyperband's max_resource=auto.

    Raises:
        ConfigError: the arguments do not go together.
    """
    arguments = {name: value for name, value in settings.items() if name != "name"}
    if settings["name"] == "hyperband" and arguments["max_resource"] == "auto":
        arguments["max_resource"] = max_epochs
    try:
        pruner: BasePruner = _PRUNERS[settings["name"]](**arguments)
    except ValueError as error:
        raise ConfigError(f"hydra/sweeper/pruner={settings['name']}: {error}") from error
    return pruner
