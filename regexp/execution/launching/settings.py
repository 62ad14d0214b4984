"""The settings of hydra/launcher=cohort."""

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any, Self

from omegaconf import DictConfig

from regexp.config.executor_registry import ExecutorSettings, find_idle_options, read_settings
from regexp.config.hydra_config.sweepers import is_search, trains_trials
from regexp.errors import ConfigError
from regexp.execution.launching.job_settings import choose_logging_workers, logs_jobs


@dataclass(frozen=True)
class LauncherSettings:
    """What a sweep was asked to be trained with.

    Attributes:
        max_runs: the largest number of runs in a cohort; None for as many as fit in memory.
        workers: the number of cohorts that train at the same time; None for as many as the machines and the work allow.
        dry_run: whether only to print what would be trained, and what it would take.
        executor: what trains the cohorts.
        warnings: what the user should know about the settings.
    """

    max_runs: int | None
    workers: int | None
    dry_run: bool
    executor: ExecutorSettings
    warnings: tuple[str, ...]

    @classmethod
    def read(
        cls,
        max_runs: int | None,
        workers: int | None,
        dry_run: bool,
        executor: str,
        options: Mapping[str, Mapping[str, Any]],
    ) -> Self:
        """Return the settings of a sweep.

        Args:
            max_runs: the largest number of runs in a cohort.
            workers: the number of cohorts that train at the same time.
            dry_run: whether only to print what would be trained.
            executor: the name of the executor.
            options: the options of each executor, by its name.

        Raises:
            ConfigError: there is no such executor or option, or a value does not suit an option.
        """
        warnings = tuple(find_idle_options(executor, options))
        return cls(max_runs, workers, dry_run, read_settings(executor, options), warnings)

    def check(self, config: DictConfig) -> None:
        """Raise an error if a sweep cannot be trained with these settings.

        Args:
            config: the configuration of the sweep.

        Raises:
            ConfigError: the jobs are to log, or a search is not to wait for its runs, or to prune them where it cannot.
            SetupError: the executor is not installed.
        """
        name = self.executor.name
        if name != "auto" and logs_jobs(config):
            raise ConfigError(
                f"hydra.launcher.executor={name}: other processes do not log as hydra.job_logging says; leave out one "
                "of the two"
            )
        if is_search(config.hydra) and not self.executor.options.get("wait", True):
            raise ConfigError(
                f"hydra.launcher.{name}.wait=false: a search needs the results of its runs to choose the next ones; "
                "leave it out"
            )
        if (
            trains_trials(config.hydra)
            and config.hydra.sweeper.pruner.name != "none"
            and self.executor.options.get("fetch")
        ):
            raise ConfigError(
                f"hydra.launcher.{name}.fetch=true: a pruner reads the file of the study where the runs train, which "
                "takes a folder that all machines share; leave out hydra/sweeper/pruner, or fetch"
            )
        self.executor.refuse_if_missing()

    def choose_workers(self, config: DictConfig) -> int | None:
        """Return the number of workers, which is 1 where the jobs of a sweep log; see `choose_logging_workers`."""
        return choose_logging_workers(config, self.workers)
