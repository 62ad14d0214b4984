"""The settings and objectives of a search."""

from dataclasses import MISSING, fields
from typing import Any

import pytest
from hydra_plugins.regexp_search import OptunaSweeperConfig

from regexp.config.compose import make_composer
from regexp.config.hydra_config.key_rules import find_hydra_problems
from regexp.config.hydra_config.search_keys import list_arguments
from regexp.config.hydra_config.search_path import list_groups
from regexp.config.schema import Config, flatten
from regexp.errors import ConfigError
from regexp.search.objectives import MAXIMIZE, MINIMIZE, resolve_objectives
from regexp.search.samplers import make_pruner, make_sampler
from regexp.search.settings import read_settings

OPTIONS = flatten(Config())
SAMPLERS, PRUNERS = list_arguments("sampler"), list_arguments("pruner")
SEARCH_KEYS = {
    item.name: item.default
    for item in fields(OptunaSweeperConfig)
    if item.default is not MISSING and item.name[0] != "_"
}
GROUPS = list_groups(make_composer().loader, "hydra/")


def defaults(**changes: Any) -> dict[str, Any]:
    """Return Hydra's configuration of the sweeper, with changes."""
    options = {"sampler": {"name": "tpe", **SAMPLERS["tpe"]}, "pruner": {"name": "none"}, "params": {}}
    return {**SEARCH_KEYS, **options, **changes}


def test_every_default_is_a_value() -> None:
    for group, options in (("sampler", SAMPLERS), ("pruner", PRUNERS)):
        for name, arguments in options.items():
            assert getattr(read_settings(defaults(**{group: {"name": name, **arguments}})), group)["name"] == name


@pytest.mark.parametrize("name", [name for name in SAMPLERS if name != "grid"])
def test_a_sampler_takes_its_arguments_and_a_seed_of_its_own_for_each_batch(name: str) -> None:
    seeds = []
    for num_trials in (0, 0, 8):
        sampler: Any = make_sampler({"name": name, **SAMPLERS[name]}, None, num_trials)
        rng = getattr(sampler, "_rng", None) or sampler._cma_rng
        seeds.append(rng.rng.random() if hasattr(rng, "rng") else rng.random())
    assert seeds[0] == seeds[1] != seeds[2]


@pytest.mark.parametrize("name", PRUNERS)
def test_a_pruner_takes_its_arguments(name: str) -> None:
    pruner: Any = make_pruner({"name": name, **PRUNERS[name]}, 30)
    assert getattr(pruner, "_max_resource", 30) == 30


def test_a_file_may_name_a_sampler_and_pruner_without_choosing_their_options() -> None:
    sampler = {**SAMPLERS["tpe"], "name": "cmaes", "seed": 3}
    settings = read_settings(defaults(sampler=sampler, pruner={"name": "median", "n_warmup_steps": 4}))
    assert settings.sampler == {**SAMPLERS["cmaes"], "name": "cmaes", "seed": 3}
    assert settings.pruner == {**PRUNERS["median"], "name": "median", "n_warmup_steps": 4}
    whole = {**SAMPLERS["cmaes"], "name": "cmaes", "n_startup_trials": 10}  # which is also the default of another
    assert read_settings(defaults(sampler=whole)).sampler == whole
    for wrong, part in (("foo", "name=foo: must be one of tpe, random"), ("random", "sead=3: there is no such key")):
        with pytest.raises(ConfigError) as error:
            read_settings(defaults(sampler={**SAMPLERS["tpe"], "name": wrong, "sead": 3}))
        assert part in str(error.value)


def test_several_values_that_do_not_fit_are_told_at_once() -> None:
    sampler = {"name": "tpe", **SAMPLERS["tpe"], "multivariate": 3, "seed": -1}
    with pytest.raises(ConfigError) as error:
        read_settings(defaults(n_trials=0, confirm=1, direction="up", timeout=0, sampler=sampler))
    keys = [line.partition("=")[0].rpartition(".")[2] for line in str(error.value).splitlines()]
    assert sorted(keys) == ["confirm", "direction", "multivariate", "n_trials", "seed", "timeout"]


@pytest.mark.parametrize(
    ("word", "part"),
    [
        ("hydra.sweeper.n_trial=3", "did you mean hydra.sweeper.n_trials?"),
        ("hydra.sweeper.sampler.sead=3", "hydra/sweeper/sampler=tpe has seed,"),
        ("hydra.sweeper.pruner.n_warmup_steps=3", "hydra/sweeper/pruner=none has no arguments"),
        ("hydra.sweeper.sampler=gp", "is a group; type hydra/sweeper/sampler=gp"),
        ("hydra.sweeper.n_jobs=0", "must be auto or a whole number of at least 1"),
        ("hydra.sweeper.until=decided", "belongs to a sweep of all combinations; leave hydra/sweeper=optuna out"),
        ("hydra/sweeper/pruner=best", "must be one of halving, hyperband, median, none"),
    ],
)
def test_a_mistake_in_a_key_is_an_error_with_a_remedy(word: str, part: str) -> None:
    assert part in find_hydra_problems(["hydra/sweeper=optuna", "epochs=1,2", word], True, GROUPS)[word]


def test_groups_of_a_search_need_it() -> None:
    [problem] = find_hydra_problems(["hydra/sweeper/sampler=gp", "epochs=1"], True, GROUPS).values()
    assert problem.endswith("belongs to a search; add hydra/sweeper=optuna")


@pytest.mark.parametrize(
    ("names", "directions", "expected"),
    [
        ([], [], [("val_loss", MINIMIZE)]),
        (["val_accuracy"], [], [("val_accuracy", MAXIMIZE)]),
        (
            ["test_ece", "epochs", "seconds", "gap"],
            [],
            [(n, MINIMIZE) for n in ("test_ece", "epochs", "seconds", "gap")],
        ),
        (["epochs"], [MAXIMIZE], [("epochs", MAXIMIZE)]),
    ],
)
def test_an_objective_has_its_direction(names: list[str], directions: list[str], expected: Any) -> None:
    objectives = resolve_objectives(names, directions, OPTIONS, prunes=False)
    assert [(objective.name, objective.direction) for objective in objectives] == expected


@pytest.mark.parametrize(
    ("names", "directions", "prunes", "part"),
    [
        (["val_acuracy"], [], False, "did you mean val_accuracy?"),
        (["val_loss", "val_loss"], [], False, "names a metric twice"),
        (["val_loss"], [MINIMIZE, MAXIMIZE], False, "the number of directions"),
        (["val_loss", "epochs"], [], True, "only a single objective can be pruned by"),
        (["test_loss"], [], True, "a pruner reads a metric of every epoch; choose one of train_loss"),
    ],
)
def test_objectives_that_do_not_fit_are_refused(names: Any, directions: Any, prunes: bool, part: str) -> None:
    with pytest.raises(ConfigError) as error:
        resolve_objectives(names, directions, OPTIONS, prunes)
    assert part in str(error.value)
