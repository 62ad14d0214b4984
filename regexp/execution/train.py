"""The one entry point: compose, check, build, train, report.

`regexp` and `python -m regexp` come here through Hydra, notebooks through `regexp.api`.
"""

from collections.abc import Sequence
from pathlib import Path

import hydra
from hydra.core.hydra_config import HydraConfig
from omegaconf import DictConfig

from regexp.config.compose import CONF, HYDRA_VERSION
from regexp.config.job import Job, make_job
from regexp.errors import DIVERGED
from regexp.execution.terminal import Terminal
from regexp.runs.directories import claim_all, released
from regexp.runs.run import Run
from regexp.runs.sweep_record import Sweep
from regexp.utils.exit_codes import leave, raise_all, reported
from regexp.utils.signals import interruptible


@hydra.main(version_base=HYDRA_VERSION, config_path=str(CONF), config_name="config")
def command(cfg: DictConfig) -> None:
    """Train the run that the command line describes."""
    with reported():
        composed = HydraConfig.get()  # Hydra has composed groups, files and overrides
        job = make_job(cfg, composed.overrides.task, composed)
        [run] = train([job], Path(composed.runtime.output_dir), Terminal())
        if run.status == "diverged":
            leave(DIVERGED)


def train(jobs: Sequence[Job], outputs: Path, terminal: Terminal, sweep: Sweep | None = None) -> list[Run]:
    """Train jobs in as few cohorts as their `shared` fields and memory allow, and give their runs in order.

    A finished run of the same identity is shown, not trained again; an unfinished one goes on from its checkpoint.
    Where a run or a cohort fails, the others are trained all the same, and the errors are raised at the end.
    """
    claims = claim_all(jobs, outputs)
    unfinished = [claim for claim in dict.fromkeys(claims) if not claim.finished]
    errors: list[Exception] = []
    if sweep is not None:
        sweep.add(claims, outputs)
        terminal.count(claims)
    if unfinished:
        from regexp.execution import (  # torch takes seconds to import: not to show what is finished
            builders,
            execute,
            forecast,
        )

        with interruptible(terminal.announce_stop) as interruption, released(unfinished):
            groups = builders.groups(unfinished, None if sweep is None else sweep.max_runs)
            if sweep is not None:
                terminal.plan(forecast.forecasts(groups))
            errors = execute.train_all(groups, terminal, interruption)
    runs = [Run(claim.directory) for claim in claims]
    terminal.report(runs, [claim.finished for claim in claims])
    raise_all(errors, others=any(run.summary is not None for run in runs))
    return runs
