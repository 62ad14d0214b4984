"""The study of a search: its file, its trials, and what is told of them."""

import warnings
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager, suppress
from pathlib import Path
from typing import Any

import optuna
from optuna.exceptions import ExperimentalWarning
from optuna.pruners import BasePruner
from optuna.trial import FrozenTrial, TrialState

from regexp.errors import ConfigError, RunError
from regexp.search.journal import open_storage
from regexp.search.objectives import SearchObjective
from regexp.search.outcomes import COMPLETE, PRUNED, Outcome
from regexp.search.space import SearchSpace

# The attributes of a trial: its overrides, the objectives of each seed, their standard errors, why it failed, the epoch
# after which it was pruned, and while it trains the monitored values of its seeds that have ended.
OVERRIDES, SEED_VALUES, STANDARD_ERROR = "overrides", "values_by_seed", "standard_error"
REASON, PRUNED_AFTER, ENDED_SEEDS = "reason", "pruned_after", "ended_seeds"
# The attribute of a study that tells it from others: the hash of what decides its trials.
IDENTITY = "identity"
_STATES = {COMPLETE: TrialState.COMPLETE, PRUNED: TrialState.PRUNED}
_ENDED = (TrialState.COMPLETE, TrialState.PRUNED, TrialState.FAIL)


@contextmanager
def quiet_optuna() -> Iterator[None]:
    """Keep Optuna from writing to the terminal, and from warning of what it calls experimental."""
    verbosity = optuna.logging.get_verbosity()
    optuna.logging.set_verbosity(optuna.logging.ERROR)
    try:
        with warnings.catch_warnings():
            warnings.simplefilter("ignore", ExperimentalWarning)
            warnings.filterwarnings("ignore", category=UserWarning, module="optuna")
            yield
    finally:
        optuna.logging.set_verbosity(verbosity)


def open_study(
    file: Path | None,
    name: str,
    objectives: Sequence[SearchObjective],
    pruner: BasePruner,
    facts: Mapping[str, Any],
) -> optuna.Study:
    """Return the study of a search, which is created if it does not exist.

    Args:
        file: its file; None for a study in memory.
        name: its name.
        objectives: what it optimizes.
        pruner: what ends trials early.
        facts: what a comparison needs to know of the search, kept as attributes of the study, and its IDENTITY.

    Raises:
        ConfigError: the file holds another search.
        RunError: the file is broken.
    """
    storage = None if file is None else open_storage(file)
    if storage is not None and any(study.study_name != name for study in storage.get_all_studies()):
        raise ConfigError(f"{file} holds a study of another name: rename it, or choose another study_name")
    directions: list[Any] = [objective.direction for objective in objectives]
    study = optuna.create_study(
        storage=storage, study_name=name, directions=directions, pruner=pruner, load_if_exists=True
    )
    if study.user_attrs.get(IDENTITY, facts.get(IDENTITY)) != facts.get(IDENTITY):
        raise ConfigError(
            f"hydra.sweeper.study_name={name}: {file} holds another search, with other keys, settings, data or code; "
            "choose another study_name, or leave it out"
        )
    study.set_metric_names([objective.name for objective in objectives])
    for key, value in facts.items():
        if study.user_attrs.get(key) != value:
            study.set_user_attr(key, value)
    return study


def load_study(file: Path) -> optuna.Study:
    """Return the study in a file, to look at.

    Raises:
        RunError: the file is gone or broken.
    """
    try:
        if not file.exists():
            raise RunError(f"{file} is gone: the study of the search cannot be shown")
        return optuna.load_study(study_name=None, storage=open_storage(file))
    except (ValueError, KeyError, OSError) as error:
        raise RunError(
            f"{file} is broken ({str(error)[:100]}). Type the command of the search again: it goes on with what "
            "can be read."
        ) from error


def ask_trials(study: optuna.Study, space: SearchSpace, count: int) -> list[FrozenTrial]:
    """Return new trials, with a value for each parameter of the space."""
    numbers = [study.ask(dict(space.parameters)).number for _ in range(count)]
    trials = study.get_trials(deepcopy=False)
    return [trials[number] for number in numbers]


def find_open_trials(study: optuna.Study, space: SearchSpace) -> list[FrozenTrial]:
    """Return the trials that an earlier command began and did not end.

    A trial that was begun without getting all its values is told as failed: it has trained nothing.
    """
    open_trials = study.get_trials(deepcopy=False, states=(TrialState.RUNNING,))
    for trial in open_trials:
        if trial.params.keys() != space.parameters.keys():
            study.tell(trial.number, state=TrialState.FAIL)
    return [trial for trial in open_trials if trial.params.keys() == space.parameters.keys()]


def count_ended(study: optuna.Study) -> int:
    """Return the number of trials that have ended, well or not."""
    return len(study.get_trials(deepcopy=False, states=_ENDED))


def tell_outcome(study: optuna.Study, trial: FrozenTrial, overrides: Sequence[str], outcome: Outcome) -> None:
    """Tell a study how a trial has ended, and keep the overrides and the values of its seeds as attributes.

    Args:
        study: the study.
        trial: the trial.
        overrides: what the trial has beside what all share.
        outcome: how it ended.
    """
    storage = study._storage  # Optuna's own Trial would draw its parameters again
    attributes: dict[str, Any] = {OVERRIDES: list(overrides)}
    if outcome.seed_values:
        attributes[SEED_VALUES] = {str(seed): list(values) for seed, values in outcome.seed_values.items()}
    if outcome.standard_errors:
        is_single = len(outcome.standard_errors) == 1
        attributes[STANDARD_ERROR] = outcome.standard_errors[0] if is_single else list(outcome.standard_errors)
    if outcome.reason:
        attributes[REASON] = outcome.reason
    for key, value in attributes.items():
        storage.set_trial_user_attr(trial._trial_id, key, value)
    state = _STATES.get(outcome.state, TrialState.FAIL)
    with suppress(RuntimeError):  # the grid sampler asks to stop what is not running: it has no values left
        study.tell(trial.number, list(outcome.values) if state == TrialState.COMPLETE else None, state)
