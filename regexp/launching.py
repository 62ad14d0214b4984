"""What regexp's sweeper and launcher do in Hydra's multirun: combine values into jobs, and train the jobs together."""

import math
from collections.abc import Sequence
from pathlib import Path
from typing import Any

from hydra._internal.core_plugins.basic_launcher import BasicLauncher
from hydra.core.utils import JobReturn, JobStatus, setup_globals
from hydra.types import HydraContext, TaskFunction
from omegaconf import DictConfig

from regexp.composition import Composer, Job
from regexp.errors import DIVERGED
from regexp.exits import leave, reported
from regexp.runs import Run
from regexp.terminal import Terminal
from regexp.train import train


def launch(
    jobs: Sequence[Sequence[str]],
    first: int,
    config: DictConfig,
    context: HydraContext,
    task: TaskFunction,
    max_runs: int | None,
    dry_run: bool,
) -> Sequence[JobReturn]:
    """Run a batch of jobs, given by their overrides and numbered from `first`; a result for each, in order.

    Args:
        config: the sweep's own.
        max_runs: of a cohort; None: what the device and the model allow.
        dry_run: only say what would be done.

    Raises ConfigError that lists everything wrong with any of the jobs.
    """
    setup_globals()
    if task.__module__ != "regexp.train":  # someone else's program
        basic = BasicLauncher()
        basic.setup(hydra_context=context, task_function=task, config=config)
        results: Sequence[JobReturn] = basic.launch(jobs, first)
        return results
    composer = Composer(context.config_loader, config.hydra.job.config_name)
    hydras = list(config.hydra.overrides.hydra)
    composed = composer.all([[*hydras, *overrides] for overrides in jobs])
    runs = train(composed, Path(config.hydra.sweep.dir), Terminal(), max_runs, reported)
    if any(run.status == "diverged" for run in runs):
        leave(DIVERGED)
    return [_result(job, first + i, run) for i, (job, run) in enumerate(zip(composed, runs, strict=True))]


def _result(job: Job, number: int, run: Run) -> JobReturn:
    hydra = job.hydra.copy()
    hydra.job.id, hydra.job.num = str(number), number
    result = JobReturn(list(job.overrides), job.composed, DictConfig({"hydra": hydra}), str(Path.cwd()), "regexp")
    result.status, result.return_value = JobStatus.COMPLETED, objective(run)
    return result


def objective(run: Run) -> float:
    """What a sweeper that searches is told: the best monitored value, as it is; of a run without any, inf or 0."""
    summary: dict[str, Any] = run.summary or {}
    monitor = run.config["early_stopping.monitor"]
    best = (summary.get("best") or {}).get(monitor)
    return best if best is not None else (0.0 if monitor == "val_accuracy" else math.inf)
