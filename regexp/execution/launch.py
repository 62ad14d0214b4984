"""What regexp's launcher does in Hydra's multirun: it trains the jobs of a sweep together."""

import math
from collections.abc import Sequence
from pathlib import Path
from typing import Any

from hydra.core.config_loader import ConfigLoader
from hydra.core.utils import JobReturn, JobStatus, setup_globals
from omegaconf import DictConfig

from regexp.config.compose import composer_of
from regexp.config.job import Job
from regexp.errors import DIVERGED
from regexp.execution.terminal import Terminal
from regexp.execution.train import train
from regexp.runs.directories import plan_runs
from regexp.runs.run import Run
from regexp.runs.sweep_record import SweepRecord
from regexp.utils.exit_codes import set_status

# A sweeper may launch in several batches: they are one sweep.
_sweep = SweepRecord()


def launch(
    jobs: Sequence[Sequence[str]],
    first: int,
    config: DictConfig,
    loader: ConfigLoader,
    max_runs: int | None,
    dry_run: bool,
) -> list[JobReturn]:
    """Train a batch of jobs, given by their overrides and numbered from `first`; a result for each, in order.

    Args:
        config: the sweep's own.
        loader: Hydra's.
        max_runs: of a cohort; None: as many as find room.
        dry_run: only say what would be trained.

    Raises ConfigError that lists everything wrong with any of the jobs.
    """
    setup_globals()
    hydras = list(config.hydra.overrides.hydra)
    composed = composer_of(loader, config.hydra.job.config_name).all([[*hydras, *overrides] for overrides in jobs])
    outputs, terminal = Path(config.hydra.sweep.dir), Terminal()
    if dry_run:
        print_forecast(composed, outputs, terminal, max_runs)
        return [_result(job, first + i, None) for i, job in enumerate(composed)]
    _sweep.max_runs = max_runs
    runs = train(composed, outputs, terminal, _sweep)
    if any(run.status == "diverged" for run in runs):
        set_status(DIVERGED)
    return [_result(job, first + i, objective(run)) for i, (job, run) in enumerate(zip(composed, runs, strict=True))]


def print_forecast(jobs: Sequence[Job], outputs: Path, terminal: Terminal, max_runs: int | None) -> None:
    """Say what training these jobs would take. Nothing is written."""
    claims = plan_runs(jobs, outputs, dry_run=True)
    terminal.print_counts(claims)
    if unfinished := [claim for claim in dict.fromkeys(claims) if not claim.finished]:
        from regexp.execution import builders, forecast

        terminal.print_plan(forecast.forecast_cohorts(builders.group_into_cohorts(unfinished, max_runs)))


def _result(job: Job, number: int, value: float | None) -> JobReturn:
    hydra = job.hydra.copy()
    hydra.job.id, hydra.job.num = str(number), number
    result = JobReturn(list(job.overrides), job.composed, DictConfig({"hydra": hydra}), str(Path.cwd()), "regexp")
    result.status, result.return_value = JobStatus.COMPLETED, value
    return result


def objective(run: Run) -> float:
    """What a sweeper that searches is told: the best monitored value, as it is; of a run without any, inf or 0."""
    summary: dict[str, Any] = run.summary or {}
    monitor = run.config["early_stopping.monitor"]
    best = (summary.get("best") or {}).get(monitor)
    return best if best is not None else (0.0 if monitor == "val_accuracy" else math.inf)
