"""The sweep that an experiment file holds: its overrides, and where they would be ignored without a word."""

from collections.abc import Callable, Iterator, Sequence
from typing import Any

from regexp.config.keys import find_key
from regexp.config.schema import OPTIONS
from regexp.config.words.parsing import is_readable, parse_override
from regexp.errors import ConfigError


def list_params(hydra: Any) -> list[str]:
    """Return the overrides that the sweeper of Hydra's own configuration adds to those that were typed.

    Args:
        hydra: Hydra's own configuration.

    Raises:
        ConfigError: a value in a file cannot be read, or is a list of values in YAML.
    """
    params = [f"{key}={value}" for key, value in (hydra.sweeper.params or {}).items()]
    problems = [problem for text in params if (problem := _describe_param_problem(text))]
    if problems:
        raise ConfigError("\n".join(problems))
    return params


def warn_of_ignored_sweep(hydra: Any, words: Sequence[str]) -> tuple[str, ...]:
    """Return the caution for one run of a file that holds a sweep, or none.

    Args:
        hydra: Hydra's own configuration.
        words: the overrides of the run. Who types hydra.mode=RUN wants one run.
    """
    params = hydra.sweeper.get("params")
    if not params or "hydra.mode=RUN" in words:
        return ()
    entries = ", ".join(f"{key}={value}" for key, value in params.items())
    return (
        f"hydra.sweeper.params ({entries}) has no effect on a single run; type regexp -m for the sweep, or write "
        "hydra.mode: MULTIRUN into its file",
    )


def find_swept_experiments(words: Sequence[str], compose_hydra: Callable[[Sequence[str]], Any]) -> Iterator[str]:
    """Yield a problem for each word that names several experiments of which one holds a sweep.

    Each run would have the settings of one of them, and none the values of its sweep.

    Args:
        words: the overrides of a sweep.
        compose_hydra: returns Hydra's own configuration for overrides.
    """
    for word in words:
        override = parse_override(word)
        if override.key_or_group != "experiment" or not override.is_discrete_sweep():
            continue
        for name in override.sweep_string_iterator():
            try:
                holds_sweep = bool(compose_hydra([f"experiment={name}"]).sweeper.get("params"))
            except ConfigError:  # raised where the jobs are composed, with all other problems
                continue
            if holds_sweep:
                yield f"{word}: experiment={name} holds a sweep of its own; train these experiments one after the other"
                break


def _describe_param_problem(text: str) -> str:
    """Return what is wrong with an entry of hydra.sweeper.params, or "" if it can be part of a sweep."""
    if not is_readable(text):
        return f"{text}: cannot be read; see hydra.sweeper.params"
    override = parse_override(text)
    if override.is_sweep_override() or not isinstance(value := override.value(), list):
        return ""
    name = override.key_or_group
    key = find_key(name)
    takes_no_list = name in OPTIONS or (key is not None and not key.type_description.startswith(("a list", "any ")))
    if not takes_no_list:
        return ""
    values = ",".join(map(str, value))
    return f"{name}=[{values}]: several values have no brackets in hydra.sweeper.params; write {name}: {values}"
