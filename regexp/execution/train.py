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
from regexp.runs.directories import plan_runs, reservations_released
from regexp.runs.run import Run
from regexp.runs.sweep_record import SweepRecord
from regexp.utils.exit_codes import errors_reported, raise_all, set_status
from regexp.utils.signals import interruptible


@hydra.main(version_base=HYDRA_VERSION, config_path=str(CONF), config_name="config")
def command(cfg: DictConfig) -> None:
    """Train the run that the command line describes."""
    with errors_reported():
        composed = HydraConfig.get()  # Hydra has composed groups, files and overrides
        job = make_job(cfg, composed.overrides.task, composed)
        [run] = train([job], Path(composed.runtime.output_dir), Terminal())
        if run.status == "diverged":
            set_status(DIVERGED)


def train(jobs: Sequence[Job], outputs: Path, terminal: Terminal, sweep: SweepRecord | None = None) -> list[Run]:
    """Train jobs in as few cohorts as their `shared` fields and memory allow, and give their runs in order.

    A finished run of the same identity is shown, not trained again; an unfinished one goes on from its checkpoint.
    Where a run or a cohort fails, the others are trained all the same, and the errors are raised at the end.
    """
    planned_runs = plan_runs(jobs, outputs)
    unfinished = [planned for planned in dict.fromkeys(planned_runs) if not planned.finished]
    errors: list[Exception] = []
    if sweep is not None:
        sweep.add(planned_runs, outputs)
        terminal.print_counts(planned_runs)
    if unfinished:
        # torch takes seconds to import: not to show what is finished
        from regexp.execution import builders, execute, forecast

        with interruptible(terminal.announce_stop) as interruption, reservations_released(unfinished):
            groups = builders.group_into_cohorts(unfinished, None if sweep is None else sweep.max_runs)
            if sweep is not None:
                terminal.print_plan(forecast.forecast_cohorts(groups))
            errors = execute.train_cohorts(groups, terminal, interruption)
    runs = [Run(planned.directory) for planned in planned_runs]
    terminal.report(runs, [planned.finished for planned in planned_runs])
    raise_all(errors, others=any(run.summary is not None for run in runs))
    return runs
