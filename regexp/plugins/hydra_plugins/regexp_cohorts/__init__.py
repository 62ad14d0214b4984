"""The launcher and the sweeper of regexp, as plugins that Hydra finds.

Every Hydra program on the machine imports this module, so the work is done elsewhere and imported when it is needed.
"""

from collections.abc import Sequence
from copy import deepcopy
from dataclasses import dataclass, field, make_dataclass
from functools import partial
from typing import TYPE_CHECKING, Any

from hydra.core.config_store import ConfigStore
from hydra.core.utils import JobReturn
from hydra.plugins.launcher import Launcher
from hydra.plugins.sweeper import Sweeper
from hydra.types import HydraContext, TaskFunction
from omegaconf import DictConfig, OmegaConf

from regexp.config.executor_registry import list_default_options

if TYPE_CHECKING:
    from regexp.execution.launching.settings import LauncherSettings


@dataclass
class CohortLauncherBase:
    """The schema of hydra/launcher=cohort, but for the options of executors, each of which has a mapping of its name.

    Attributes:
        max_runs: the largest number of runs in a cohort; null: as many as fit into memory.
        workers: the number of processes that train cohorts at the same time; auto: as many as are worth it.
        dry_run: whether to print only what would be trained, and what it would take.
        executor: the name of what trains the cohorts: auto is this process, or worker processes on this machine.
    """

    _target_: str = "hydra_plugins.regexp_cohorts.CohortLauncher"
    max_runs: int | None = None
    workers: Any = "auto"
    dry_run: bool = False
    executor: str = "auto"


def _make_launcher_config() -> type[Any]:
    """Return the schema of hydra/launcher=cohort, with the options of all executors."""
    options = [
        (name, dict[str, Any], field(default_factory=partial(deepcopy, defaults)))
        for name, defaults in list_default_options().items()
    ]
    return make_dataclass("CohortLauncherConfig", options, bases=(CohortLauncherBase,))


@dataclass
class GridSweeperConfig:
    """The schema of hydra/sweeper=grid: Hydra's basic sweeper, for jobs that have been checked already.

    Attributes:
        max_batch_size: the largest number of jobs to launch at once; null: all.
        params: overrides to sweep over, beside those that were typed.
        until: decided: add seeds until every verdict is decided or given up; null: train what was typed.
        max_seeds: the most seeds of a configuration, with until=decided; null: 20.
        margin: the difference that does not matter, in the unit of the tables, with until=decided; null: none.
    """

    _target_: str = "hydra_plugins.regexp_cohorts.GridSweeper"
    max_batch_size: int | None = None
    params: dict[str, str] = field(default_factory=dict)
    until: str | None = None
    max_seeds: int | None = None
    margin: float | None = None


ConfigStore.instance().store(group="hydra/launcher", name="cohort", node=_make_launcher_config(), provider="regexp")
ConfigStore.instance().store(group="hydra/sweeper", name="grid", node=GridSweeperConfig, provider="regexp")


class CohortLauncher(Launcher):
    """A launcher that trains the jobs of a batch together; it runs tasks of other programs one by one."""

    def __init__(
        self,
        max_runs: int | None = None,
        workers: int | str = "auto",
        dry_run: bool = False,
        executor: str = "auto",
        **executor_options: DictConfig,
    ) -> None:
        """Store the keys of hydra.launcher.

        Args:
            max_runs: the largest number of runs in a cohort; None for as many as fit into memory.
            workers: the number of processes that train cohorts at the same time; "auto" for as many as are worth it.
            dry_run: whether to print only what would be trained, and what it would take.
            executor: the name of what trains the cohorts.
            **executor_options: the options of each executor, by its name.
        """
        self.max_runs, self.dry_run, self.executor = max_runs, dry_run, executor
        self.workers = None if isinstance(workers, str) else workers
        self.executor_options = executor_options
        self.seed_plan: Any = None  # a sweeper that adds seeds sets it

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

        settings, loader = self.read_settings(), self.hydra_context.config_loader
        return launch(job_overrides, initial_job_idx, self.config, loader, settings, self.seed_plan)

    def read_settings(self) -> "LauncherSettings":
        """Return what the sweep was asked to be trained with, checked."""
        from regexp.execution.launching.settings import LauncherSettings

        options: dict[str, Any] = {
            name: OmegaConf.to_container(values) if isinstance(values, DictConfig) else values
            for name, values in self.executor_options.items()
        }
        settings = LauncherSettings.read(self.max_runs, self.workers, self.dry_run, self.executor, options)
        settings.check(self.config)
        return settings


class GridSweeper(Sweeper):
    """A sweeper that launches all combinations of the given values, in one batch or in several.

    It can add seeds until the verdicts on them are decided.
    """

    def __init__(
        self,
        max_batch_size: int | None = None,
        params: dict[str, str] | None = None,
        until: str | None = None,
        max_seeds: int | None = None,
        margin: float | None = None,
    ) -> None:
        self.max_batch_size, self.params = max_batch_size, params or {}
        self.until, self.max_seeds, self.margin = until, max_seeds, margin

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
        from regexp.execution.launching.seed_planning import plan_seeds

        open_sweep = plan_seeds(jobs, self.until, self.max_seeds, self.margin)
        if open_sweep is None:
            batches = self._launch(jobs, 0)
            for batch in batches:
                for result in batch:
                    _ = result.return_value  # raises the error that ended the job
            return batches
        from regexp.execution.launching.rounds import sweep_until_decided

        return sweep_until_decided(open_sweep, self.cohort_launcher, self._launch)

    def _launch(self, jobs: Sequence[Sequence[str]], initial_job_idx: int) -> list[Any]:
        """Launch jobs, and return the results of each batch.

        Args:
            jobs: the overrides of each job.
            initial_job_idx: the number of the first one within the sweep.
        """
        batch_size = self.max_batch_size or len(jobs)
        return [
            self.cohort_launcher.launch(jobs[first : first + batch_size], initial_job_idx + first)
            for first in range(0, len(jobs), batch_size)
        ]
