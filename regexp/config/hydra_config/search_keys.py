"""The keys of hydra/sweeper=optuna: their defaults, and what is wrong with a value."""

import re
from collections.abc import Iterator, Mapping
from types import MappingProxyType
from typing import Any

from hydra.core.config_store import ConfigStore
from hydra.core.plugins import Plugins
from omegaconf import OmegaConf

from regexp.config.keys import closest_match
from regexp.utils.messages import did_you_mean

# The groups below hydra/sweeper of a search, and their default options.
SEARCH_GROUPS = {"sampler": "tpe", "pruner": "none"}

_POSITIVE = r"\+?0*[1-9]\d*"
_NUMBER = r"[+-]?(\d+\.?\d*|\.\d+)([eE][+-]?\d+)?"
_WAYS = r"(minimize|maximize)"
# The pattern of the values of each key, and its description.
_PATTERNS = {
    "n_trials": (_POSITIVE, "a whole number of at least 1; for example hydra.sweeper.n_trials=64"),
    "n_jobs": (rf"{_POSITIVE}|auto", "auto or a whole number of at least 1; for example hydra.sweeper.n_jobs=8"),
    "n_seeds": (_POSITIVE, "a whole number of at least 1; for example hydra.sweeper.n_seeds=3"),
    "timeout": (
        rf"null|(?=\+?[\d.]*[1-9]){_NUMBER}",
        "a number of seconds above 0, or null; for example hydra.sweeper.timeout=3600",
    ),
    "confirm": (
        r"0|\+?0*([2-9]|[1-9]\d+)",
        "0, or a number of seeds of at least 2, because a single one has no spread; for example "
        "hydra.sweeper.confirm=10",
    ),
    "direction": (
        rf"null|{_WAYS}|\[\s*{_WAYS}(\s*,\s*{_WAYS})*\s*\]",
        "minimize or maximize, or a list with one for each objective; for example hydra.sweeper.direction=maximize",
    ),
    "objective": (
        r"null|\w+|\[\s*\w+(\s*,\s*\w+)*\s*\]",
        "the name of a metric, or a list of them; for example hydra.sweeper.objective=val_accuracy",
    ),
    "study_name": (r"null|[\w.-]+", "a name of letters, digits, - and _; for example hydra.sweeper.study_name=first"),
}
SEARCH_KEYS = tuple(f"hydra.sweeper.{name}" for name in _PATTERNS)
# The keys of hydra/sweeper=grid that a search lacks.
_GRID_KEYS = ("until", "max_seeds", "margin")
# What fits an argument whose default has this type: of a sampler or a pruner.
_ARGUMENTS: Mapping[type, tuple[str, str]] = {
    bool: (r"(?i)true|false", "true or false"),
    int: (r"\+?\d+", "a whole number of at least 0"),
    float: (_NUMBER, "a number"),
    str: (rf"auto|{_POSITIVE}", "auto or a whole number of at least 1"),
    type(None): (rf"null|{_NUMBER}", "a number, or null"),
}


def list_arguments(group: str) -> dict[str, dict[str, Any]]:
    """Return the arguments of each sampler or pruner with their defaults, as the plugin has registered them.

    Args:
        group: "sampler" or "pruner".
    """
    Plugins.instance()  # has Hydra find its plugins
    options = ConfigStore.instance().repo["hydra"]["sweeper"][group]
    return {
        str(OmegaConf.select(entry.node, "name")): {
            str(name): value for name, value in entry.node.items() if name != "name"
        }
        for entry in options.values()
    }


def describe_search_problem(key: str, value: str, chosen: Mapping[str, str] = MappingProxyType({})) -> Iterator[str]:
    """Yield what is wrong with a key of hydra/sweeper=optuna, or with its value.

    Args:
        key: the dotted key, below hydra.sweeper.
        value: its value as text.
        chosen: the names of the sampler and of the pruner, by "sampler" and "pruner", where they are not the defaults.
    """
    name, _, argument = key.removeprefix("hydra.sweeper.").partition(".")
    if name in SEARCH_GROUPS:
        option = chosen.get(name, SEARCH_GROUPS[name])
        arguments = list_arguments(name).get(option)
        if not argument:
            yield f"is a group; type hydra/sweeper/{name}={value}"
        elif arguments is not None and argument not in (*arguments, "name"):
            listed = f"hydra/sweeper/{name}={option} has {', '.join(arguments) or 'no arguments'}"
            yield f"there is no such key; {listed}{_suggest(argument, list(arguments), f'hydra.sweeper.{name}.')}"
        elif arguments is not None and argument != "name":
            pattern, description = _ARGUMENTS[type(arguments[argument])]
            if not re.fullmatch(pattern, value):
                yield f"must be {description}"
    elif name in _GRID_KEYS and not argument:
        yield "belongs to a sweep of all combinations; leave hydra/sweeper=optuna out, or this key"
    elif name not in _PATTERNS or argument:
        names = [*_PATTERNS, "params"]
        yield f"there is no such key; hydra.sweeper has {', '.join(names)}{_suggest(name, names, 'hydra.sweeper.')}"
    elif not re.fullmatch(_PATTERNS[name][0], value):
        yield f"must be {_PATTERNS[name][1]}"


def _suggest(name: str, names: list[str], prefix: str) -> str:
    """Return the end of a message that suggests the name most like another one, with a prefix before it."""
    match = closest_match(name, names)
    return did_you_mean([prefix + match] if match else [])
