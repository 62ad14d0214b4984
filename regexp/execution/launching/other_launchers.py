"""Sweeps with launchers other than regexp's own, which run each job by itself, perhaps in another process.

Such a launcher knows nothing of regexp. What a sweep needs beside its runs is done here, in the process that asked for
them: the record of the sweep, the table at its end, and the exit status.
"""

import math
from collections.abc import Sequence
from dataclasses import replace
from pathlib import Path
from typing import Any

from hydra.core.plugins import Plugins
from hydra.core.utils import JobReturn, JobStatus
from hydra.plugins.launcher import Launcher
from hydra.types import HydraContext, TaskFunction
from omegaconf import DictConfig

from regexp.config.compose import composer_for_loader
from regexp.config.hydra_config.sweepers import list_swept_keys
from regexp.errors import DIVERGED
from regexp.execution.launching.objective import Objective
from regexp.execution.terminal import Terminal
from regexp.runs.reserving.plan import drop_failures_of_rounds, plan_runs, read_runs
from regexp.runs.seed_plan import SeedPlan
from regexp.runs.sweep_record import SweepRecord
from regexp.utils.exit_codes import raise_failures, record_status


def follow_other_launchers() -> None:
    """Make Hydra wrap each launcher other than regexp's own in a RecordingLauncher, from now on."""
    plugins = Plugins.instance()

    def instantiate_launcher(hydra_context: HydraContext, task_function: TaskFunction, config: DictConfig) -> Launcher:
        launcher = Plugins.instantiate_launcher(
            plugins, hydra_context=hydra_context, task_function=task_function, config=config
        )
        if str(config.hydra.launcher._target_).endswith(".CohortLauncher"):
            return launcher
        return RecordingLauncher(launcher, hydra_context, config)

    plugins.instantiate_launcher = instantiate_launcher  # type: ignore[method-assign]


class RecordingLauncher(Launcher):
    """A launcher that lets another one run the jobs, and records the sweep and how its runs ended."""

    def __init__(self, launcher: Launcher, hydra_context: HydraContext, config: DictConfig) -> None:
        """Wrap a launcher that has been set up.

        Args:
            launcher: the launcher.
            hydra_context: Hydra's objects, among them its configuration loader.
            config: the configuration of the sweep.
        """
        self.launcher, self.config = launcher, config
        self.composer = composer_for_loader(hydra_context.config_loader, config.hydra.job.config_name)
        self.sweep_record = SweepRecord()
        self.sweep_record.swept_keys = list_swept_keys(config.hydra)
        self.seed_plan: SeedPlan | None = None  # a sweeper that adds seeds sets it

    def setup(self, **arguments: Any) -> None:
        """Pass Hydra's arguments on."""
        self.launcher.setup(**arguments)

    def launch(self, job_overrides: Sequence[Sequence[str]], initial_job_idx: int) -> Sequence[JobReturn]:
        """Run a batch of jobs and return their results in order; each has the objective of its run.

        Args:
            job_overrides: the overrides of each job.
            initial_job_idx: the number of the first job within the sweep.

        Raises:
            Exception: a run failed; the others have ended.
        """
        hydra_overrides = list(self.config.hydra.overrides.hydra)
        jobs = self.composer.compose_jobs([[*hydra_overrides, *overrides] for overrides in job_overrides])
        outputs, terminal = Path(self.config.hydra.sweep.dir), Terminal()
        earlier_runs = dict(self.sweep_record.planned_runs)
        self.sweep_record.seed_plan = self.seed_plan
        planned_runs = plan_runs(jobs, outputs, sweep=self.sweep_record)
        self.sweep_record.add(planned_runs, outputs)
        terminal.print_counts(planned_runs)
        results: Sequence[JobReturn] = self.launcher.launch(job_overrides, initial_job_idx)
        # A job may have trained in another directory than the one that was free before.
        ended_runs = [
            replace(planned, directory=result._return_value.directory)
            for planned, result in zip(planned_runs, results, strict=True)
            if isinstance(result._return_value, Objective)
        ]
        failed_runs = [
            planned for planned, result in zip(planned_runs, results, strict=True) if result.status == JobStatus.FAILED
        ]
        by_directory = {planned.directory.absolute(): planned for planned in [*ended_runs, *failed_runs]}
        members = list(by_directory.values())
        self.sweep_record.planned_runs = earlier_runs | dict.fromkeys(members)
        self.sweep_record.add([], outputs)
        errors = [result._return_value for result in results if result.status == JobStatus.FAILED]
        if errors and not (errors := drop_failures_of_rounds(errors, members, self.sweep_record)):
            for planned, result in zip(planned_runs, results, strict=True):
                if result.status == JobStatus.FAILED:
                    result.status = JobStatus.COMPLETED
                    result.return_value = Objective(math.inf, planned.directory.absolute())
        runs = read_runs(members, some_failed=bool(errors))
        if len(runs) > 1 and self.seed_plan is None:  # a single one has printed its report
            terminal.report(runs, finished_before=all(planned.finished for planned in members))
        if any(run.status == "diverged" for run in runs):
            record_status(DIVERGED)
        raise_failures(errors, others_finished=any(run.summary is not None for run in runs))
        return results
