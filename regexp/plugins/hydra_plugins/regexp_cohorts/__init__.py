"""The launcher and the sweeper of regexp, as plugins that Hydra finds.

Every Hydra program on the machine imports this module, so the work is done elsewhere and imported when it is needed.
"""

from collections.abc import Sequence
from dataclasses import dataclass, field
from typing import Any

from hydra.core.config_store import ConfigStore
from hydra.core.utils import JobReturn
from hydra.plugins.launcher import Launcher
from hydra.plugins.sweeper import Sweeper
from hydra.types import HydraContext, TaskFunction
from omegaconf import DictConfig


@dataclass
class CohortLauncherConfig:
    """The schema of hydra/launcher=cohort.

    Attributes:
        max_runs: the largest number of runs in a cohort; null: as many as fit into memory.
        workers: the number of processes that train cohorts at the same time; auto: as many as are worth it.
        dry_run: whether to print only what would be trained, and what it would take.
    """

    _target_: str = "hydra_plugins.regexp_cohorts.CohortLauncher"
    max_runs: int | None = None
    workers: Any = "auto"
    dry_run: bool = False


@dataclass
class GridSweeperConfig:
    """The schema of hydra/sweeper=grid: Hydra's basic sweeper, for jobs that have been checked already.

    Attributes:
        max_batch_size: the largest number of jobs to launch at once; null: all.
        params: overrides to sweep over, beside those that were typed.
    """

    _target_: str = "hydra_plugins.regexp_cohorts.GridSweeper"
    max_batch_size: int | None = None
    params: dict[str, str] = field(default_factory=dict)


ConfigStore.instance().store(group="hydra/launcher", name="cohort", node=CohortLauncherConfig, provider="regexp")
ConfigStore.instance().store(group="hydra/sweeper", name="grid", node=GridSweeperConfig, provider="regexp")


class CohortLauncher(Launcher):
    """A launcher that trains the jobs of a batch together; it runs tasks of other programs one by one."""

    def __init__(self, max_runs: int | None = None, workers: int | str = "auto", dry_run: bool = False) -> None:
        self.max_runs, self.dry_run = max_runs, dry_run
        self.workers = None if isinstance(workers, str) else workers

    def setup(self, *, hydra_context: HydraContext, task_function: TaskFunction, config: DictConfig) -> None:
        """Store the arguments for `launch`."""
        self.hydra_context, self.task_function, self.config = hydra_context, task_function, config

    def launch(self, job_overrides: Sequence[Sequence[str]], initial_job_idx: int) -> Sequence[JobReturn]:
        """Run a batch of jobs and return their results in order.

        Args:
            job_overrides: the overrides of each job.
            initial_job_idx: the number of the first job within the sweep.
        """
        assert self.hydra_context is not None
        assert self.config is not None
        if getattr(self.task_function, "__module__", "") != "regexp.execution.launching.task":
            from hydra._internal.core_plugins.basic_launcher import BasicLauncher

            launcher = BasicLauncher()
            launcher.setup(hydra_context=self.hydra_context, task_function=self.task_function, config=self.config)
            results: Sequence[JobReturn] = launcher.launch(job_overrides, initial_job_idx)
            return results
        from regexp.execution.launcher import launch

        loader = self.hydra_context.config_loader
        return launch(job_overrides, initial_job_idx, self.config, loader, self.max_runs, self.workers, self.dry_run)


class GridSweeper(Sweeper):
    """A sweeper that launches all combinations of the given values, in one batch or in several."""

    def __init__(self, max_batch_size: int | None = None, params: dict[str, str] | None = None) -> None:
        self.max_batch_size, self.params = max_batch_size, params or {}

    def setup(self, *, hydra_context: HydraContext, task_function: TaskFunction, config: DictConfig) -> None:
        """Make the launcher, and store the configuration loader, for `sweep`."""
        from hydra.core.plugins import Plugins

        self.config_loader, self.config_name = hydra_context.config_loader, config.hydra.job.config_name
        self.cohort_launcher = Plugins.instance().instantiate_launcher(
            hydra_context=hydra_context, task_function=task_function, config=config
        )

    def sweep(self, arguments: list[str]) -> Any:
        """Launch all combinations of values, and return the results of each batch.

        Args:
            arguments: the overrides that were typed, some with several values.
        """
        from regexp.config.compose import composer_for_loader
        from regexp.config.overrides import expand_grid

        swept_params = [f"{key}={value}" for key, value in self.params.items()]
        options = composer_for_loader(self.config_loader, self.config_name).options
        jobs = expand_grid([*swept_params, *arguments], options.loader)
        batch_size = self.max_batch_size or len(jobs)
        batches = [
            self.cohort_launcher.launch(jobs[first : first + batch_size], first)
            for first in range(0, len(jobs), batch_size)
        ]
        for batch in batches:
            for result in batch:
                _ = result.return_value  # raises the error that ended the job
        return batches
