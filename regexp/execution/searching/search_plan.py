"""The plan of a search: its settings, space and objectives, checked, and the jobs that its trials consist of."""

import hashlib
import json
import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Self

from hydra.core.config_loader import ConfigLoader
from omegaconf import DictConfig
from optuna.distributions import distribution_to_json

from regexp.config.compose import composer_for_loader
from regexp.config.composing.composer import Composer
from regexp.config.job import Job
from regexp.config.schema import flatten, source_arguments
from regexp.config.words.as_typed import problems_as_typed
from regexp.config.words.hydra_words import make_hydra_word
from regexp.data.sources import locate
from regexp.errors import ConfigError
from regexp.runs.identity import identify
from regexp.search.checking import check_space
from regexp.search.objectives import SearchObjective, resolve_objectives
from regexp.search.settings import SearchSettings
from regexp.search.space import SearchSpace, read_space


@dataclass(frozen=True)
class SearchPlan:
    """The plan of a search.

    Attributes:
        settings: its settings.
        space: its space.
        objectives: what it optimizes.
        config: the configuration of the sweep.
        composer: composes jobs.
        example: a job of it.
        grid: all values of each parameter, for a sampler that tries all; None for others.
    """

    settings: SearchSettings
    space: SearchSpace
    objectives: Sequence[SearchObjective]
    config: DictConfig
    composer: Composer
    example: Job
    grid: Mapping[str, Sequence[Any]] | None

    @classmethod
    def make(cls, settings: SearchSettings, words: Sequence[str], config: DictConfig, loader: ConfigLoader) -> Self:
        """Return the plan of a search.

        Args:
            settings: its settings.
            words: the overrides that were typed.
            config: the configuration of the sweep.
            loader: Hydra's configuration loader.

        Raises:
            ConfigError: lists every mistake in the space and the objectives.
        """
        composer = composer_for_loader(loader, config.hydra.job.config_name)
        hydra_overrides = list(config.hydra.overrides.hydra)

        def compose(overrides: Sequence[str]) -> Job:
            return composer.compose_job([*hydra_overrides, *overrides])

        typed_words = [*settings.params, *words]
        with problems_as_typed(typed_words, multirun=True):
            space = read_space([make_hydra_word(word, multirun=True) for word in typed_words], loader)
            grid = space.list_grid() if settings.sampler["name"] == "grid" else None
            example = compose(space.make_overrides(check_space(space, compose)))
        options = flatten(example.config)
        objectives = resolve_objectives(settings.objectives, settings.directions, options, settings.prunes)
        return cls(settings, space, objectives, config, composer, example, grid)

    @property
    def outputs(self) -> Path:
        """The directory that holds outputs/NAME."""
        return Path(self.config.hydra.sweep.dir)

    @property
    def experiment(self) -> Path:
        """The directory outputs/NAME."""
        return self.outputs / self.example.config.name

    @property
    def num_trials(self) -> int:
        """The number of trials of the study: a grid has no more than its combinations."""
        combinations = math.inf if self.grid is None else math.prod(map(len, self.grid.values()))
        return int(min(self.settings.num_trials, combinations))

    @property
    def max_epochs(self) -> int:
        """The largest number of epochs of a run."""
        return max(int(epochs) for epochs in self.space.list_probes().get("epochs", [self.example.config.epochs]))

    def identify_study(self) -> str:
        """Return the hash of what decides the trials of the search, but for their number."""
        fingerprint = locate(*source_arguments(self.example.config)).fingerprint
        identity = identify(self.example.config, fingerprint)
        parts = [
            [identity.config, identity.data, identity.code],
            {name: distribution_to_json(distribution) for name, distribution in self.space.parameters.items()},
            [[objective.name, objective.direction] for objective in self.objectives],
            dict(self.settings.sampler),
            dict(self.settings.pruner),
            [self.settings.num_seeds, self.space.first_seed],
        ]
        return hashlib.sha256(json.dumps(parts, sort_keys=True).encode()).hexdigest()[:16]

    def compose_trial(self, overrides: Sequence[str], seeds: Sequence[int]) -> tuple[list[Job], str]:
        """Return the jobs of a trial, one for each seed, and "", or none and what is wrong with it.

        Args:
            overrides: the overrides of the trial, without its seed.
            seeds: the seeds of its runs.
        """
        words = [*self.config.hydra.overrides.hydra, *overrides]
        try:
            return [self.composer.compose_job([*words, f"seed={seed}"]) for seed in seeds], ""
        except ConfigError as error:
            return [], str(error).splitlines()[0]

    @property
    def seeds(self) -> range:
        """The seeds of the runs of a trial."""
        return range(self.space.first_seed, self.space.first_seed + self.settings.num_seeds)
