"""Hydra's way to regexp's launcher and sweeper. Every Hydra program imports this: the work is elsewhere."""

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

from hydra.core.config_store import ConfigStore
from hydra.core.utils import JobReturn
from hydra.plugins.launcher import Launcher
from hydra.plugins.sweeper import Sweeper
from hydra.types import HydraContext, TaskFunction
from omegaconf import DictConfig


@dataclass
class CohortLauncherConf:
    """hydra/launcher=cohort.

    Attributes:
        max_runs: of a cohort; null: as many as find room in memory.
        dry_run: only say what would be trained, and what it would take.
    """

    _target_: str = "hydra_plugins.regexp_cohorts.CohortLauncher"
    max_runs: int | None = None
    dry_run: bool = False


@dataclass
class GridSweeperConf:
    """hydra/sweeper=grid: Hydra's basic sweeper, whose jobs were checked before."""

    _target_: str = "hydra_plugins.regexp_cohorts.GridSweeper"
    max_batch_size: int | None = None
    params: dict[str, str] | None = None


ConfigStore.instance().store(group="hydra/launcher", name="cohort", node=CohortLauncherConf, provider="regexp")
ConfigStore.instance().store(group="hydra/sweeper", name="grid", node=GridSweeperConf, provider="regexp")


class CohortLauncher(Launcher):
    """Trains the jobs of a batch together; a task that is not regexp's runs job by job."""

    def __init__(self, max_runs: int | None = None, dry_run: bool = False) -> None:
        self.max_runs, self.dry_run = max_runs, dry_run

    def setup(self, *, hydra_context: HydraContext, task_function: TaskFunction, config: DictConfig) -> None:
        """See Launcher."""
        self.hydra_context, self.task_function, self.config = hydra_context, task_function, config

    def launch(self, job_overrides: Sequence[Sequence[str]], initial_job_idx: int) -> Sequence[JobReturn]:
        """See Launcher."""
        assert self.hydra_context is not None
        assert self.config is not None
        if getattr(self.task_function, "__module__", "") != "regexp.execution.train":
            from hydra._internal.core_plugins.basic_launcher import BasicLauncher

            basic = BasicLauncher()
            basic.setup(hydra_context=self.hydra_context, task_function=self.task_function, config=self.config)
            one_by_one: Sequence[JobReturn] = basic.launch(job_overrides, initial_job_idx)
            return one_by_one
        from regexp.execution.launch import launch

        loader = self.hydra_context.config_loader
        return launch(job_overrides, initial_job_idx, self.config, loader, self.max_runs, self.dry_run)


class GridSweeper(Sweeper):
    """All combinations of the values given, in one batch or in several."""

    def __init__(self, max_batch_size: int | None = None, params: dict[str, str] | None = None) -> None:
        self.max_batch_size, self.params = max_batch_size, params or {}

    def setup(self, *, hydra_context: HydraContext, task_function: TaskFunction, config: DictConfig) -> None:
        """See Sweeper."""
        from hydra.core.plugins import Plugins

        self.context = hydra_context
        self.cohorts = Plugins.instance().instantiate_launcher(
            hydra_context=hydra_context, task_function=task_function, config=config
        )

    def sweep(self, arguments: list[str]) -> Any:
        """See Sweeper."""
        from regexp.config.compose import grid

        swept = [f"{key}={value}" for key, value in self.params.items()]
        jobs = grid([*swept, *arguments], self.context.config_loader)
        size = self.max_batch_size or len(jobs)
        returned = [self.cohorts.launch(jobs[first : first + size], first) for first in range(0, len(jobs), size)]
        for result in (result for batch in returned for result in batch):
            _ = result.return_value  # raises what the job raised
        return returned
