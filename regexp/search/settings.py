"""The settings of a search, read from Hydra's configuration and checked."""

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from regexp.config.hydra_config.search_keys import SEARCH_GROUPS, describe_search_problem, list_arguments
from regexp.errors import ConfigError
from regexp.utils.messages import format_value


@dataclass(frozen=True)
class SearchSettings:
    """The settings of a search.

    Attributes:
        sampler: the name of the sampler and its arguments.
        pruner: the name of the pruner and its arguments.
        objectives: the names of the metrics that are optimized; empty for the one that the runs monitor.
        directions: "minimize" or "maximize" for each objective; empty for what is better for each metric.
        num_trials: the number of trials of the study, those of earlier commands included.
        num_jobs: the number of trials that train at the same time; None for as many as fill the workers' cohorts.
        num_seeds: the number of runs of a trial.
        timeout: the time after which no further trial begins, in seconds; None for no limit.
        num_confirming_seeds: the number of new seeds that confirm the best configurations; 0 for no confirmation.
        study_name: the name of the study; None for one that is made from what is searched.
        params: the search space and fixed overrides beside those that were typed, as overrides.
    """

    sampler: Mapping[str, Any]
    pruner: Mapping[str, Any]
    objectives: tuple[str, ...]
    directions: tuple[str, ...]
    num_trials: int
    num_jobs: int | None
    num_seeds: int
    timeout: float | None
    num_confirming_seeds: int
    study_name: str | None
    params: tuple[str, ...]

    @property
    def prunes(self) -> bool:
        """Whether trials may end early."""
        return bool(self.pruner["name"] != "none")

    @property
    def learns(self) -> bool:
        """Whether what trials have achieved decides anything about later ones."""
        return self.prunes or self.sampler["name"] not in ("random", "grid")


def read_settings(sweeper: Mapping[str, Any]) -> SearchSettings:
    """Return the settings of a search.

    Args:
        sweeper: Hydra's configuration of hydra/sweeper=optuna, as plain containers.

    Raises:
        ConfigError: lists every value that does not fit.
    """
    sweeper = {**sweeper, **{group: _complete(group, sweeper[group]) for group in SEARCH_GROUPS}}
    problems = list(_find_problems(sweeper))
    if problems:
        raise ConfigError("\n".join(problems))
    jobs, timeout, name = (sweeper[key] for key in ("n_jobs", "timeout", "study_name"))
    return SearchSettings(
        sampler=dict(sweeper["sampler"]),
        pruner=dict(sweeper["pruner"]),
        objectives=_as_tuple(sweeper["objective"]),
        directions=_as_tuple(sweeper["direction"]),
        num_trials=int(sweeper["n_trials"]),
        num_jobs=None if jobs == "auto" else int(jobs),
        num_seeds=int(sweeper["n_seeds"]),
        timeout=None if timeout is None else float(timeout),
        num_confirming_seeds=int(sweeper["confirm"]),
        study_name=None if name is None else str(name),
        params=tuple(f"{key}={value}" for key, value in (sweeper["params"] or {}).items()),
    )


def _complete(group: str, node: Mapping[str, Any]) -> Mapping[str, Any]:
    """Return the name of a sampler or pruner and its arguments, where a file names it without choosing its option.

    Such a node still has the arguments of the default option, which this one may not have.

    Args:
        group: "sampler" or "pruner".
        node: the node of Hydra's configuration.
    """
    options = list_arguments(group)
    arguments, inherited = options.get(str(node["name"])), options[SEARCH_GROUPS[group]]
    if arguments is None or {"name", *arguments} >= set(node) >= set(arguments):
        return node
    chosen = {name: value for name, value in node.items() if name not in inherited or inherited[name] != value}
    return {**arguments, **chosen, "name": node["name"]}


def _find_problems(sweeper: Mapping[str, Any]) -> Iterator[str]:
    """Yield what is wrong with Hydra's configuration of the sweeper; see `read_settings`."""
    chosen = {group: str(sweeper[group]["name"]) for group in SEARCH_GROUPS}
    entries = {key: value for key, value in sweeper.items() if key not in ("_target_", "params", *SEARCH_GROUPS)}
    for group in SEARCH_GROUPS:
        if chosen[group] not in (options := list_arguments(group)):
            yield f"hydra.sweeper.{group}.name={chosen[group]}: must be one of {', '.join(options)}"
        entries |= {f"{group}.{name}": value for name, value in sweeper[group].items() if name != "name"}
    for name, value in entries.items():
        key, text = f"hydra.sweeper.{name}", format_value(value)
        yield from (f"{key}={text}: {problem}" for problem in describe_search_problem(key, text, chosen))


def _as_tuple(value: Any) -> tuple[str, ...]:
    """Return the names in a value: none, one, or a list of them."""
    if value is None:
        return ()
    return tuple(map(str, value)) if isinstance(value, Sequence) and not isinstance(value, str) else (str(value),)
