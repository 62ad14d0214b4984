"""What regexp's launcher does in Hydra's multirun: it trains the jobs of a sweep together."""

import math
from collections.abc import Sequence
from pathlib import Path
from typing import Any

from hydra.core.config_loader import ConfigLoader
from hydra.core.utils import JobReturn, JobStatus, setup_globals
from omegaconf import DictConfig

from regexp.composition import Composer, Job
from regexp.errors import DIVERGED
from regexp.exits import leave
from regexp.runs import Run
from regexp.terminal import Terminal
from regexp.train import train


def launch(
    jobs: Sequence[Sequence[str]], first: int, config: DictConfig, loader: ConfigLoader, max_runs: int | None
) -> list[JobReturn]:
    """Train a batch of jobs, given by their overrides and numbered from `first`; a result for each, in order.

    Args:
        config: the sweep's own.
        loader: Hydra's.
        max_runs: of a cohort; None: as many as there are.

    Raises ConfigError that lists everything wrong with any of the jobs.
    """
    setup_globals()
    composer, hydras = Composer(loader, config.hydra.job.config_name), list(config.hydra.overrides.hydra)
    composed = composer.all([[*hydras, *overrides] for overrides in jobs])
    runs = train(composed, Path(config.hydra.sweep.dir), Terminal(), max_runs)
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
