"""The one entry point: compose, check, build, train, report.

`regexp` and `python -m regexp` come here through Hydra, notebooks through `regexp.interface`.
"""

from collections.abc import Sequence
from pathlib import Path

import hydra
from hydra.core.hydra_config import HydraConfig
from omegaconf import DictConfig

from regexp.claims import claim, recording_failure
from regexp.composition import CONF, HYDRA_VERSION, Job, make_job
from regexp.errors import DIVERGED, SIGNAL
from regexp.exits import leave, reported
from regexp.identity import identify
from regexp.interruption import interruptible
from regexp.runs import Run
from regexp.sources import locate
from regexp.terminal import Terminal


@hydra.main(version_base=HYDRA_VERSION, config_path=str(CONF), config_name="config")
def command(cfg: DictConfig) -> None:
    """Train the run that the command line describes."""
    with reported():
        composed = HydraConfig.get()  # Hydra has composed groups, files and overrides
        job = make_job(cfg, composed.overrides.task, composed)  # checked: everything wrong is said at once
        [run] = train([job], Path(composed.runtime.output_dir), Terminal())
        if run.status == "diverged":
            leave(DIVERGED)


def train(jobs: Sequence[Job], outputs: Path, terminal: Terminal) -> list[Run]:
    """Train jobs, as few cohorts as their `shared` fields allow, and give their runs in order.

    A finished run of the same identity is shown, not trained again; an unfinished one goes on from its checkpoint.
    """
    claims = []
    for job in jobs:
        source = locate(job.config.data.name, job.config.data.root)
        claims.append(claim(job, identify(job.config, source.fingerprint), outputs))
    unfinished = {c.directory: c for c in claims if not c.finished}
    if unfinished:
        from regexp import building, training  # torch takes seconds to import: not for showing what is finished

        with interruptible(terminal.announce_stop) as interruption, recording_failure(unfinished.values()):
            for cohort in building.build(list(unfinished.values())):
                with terminal.watching(cohort):
                    training.train(cohort, terminal, interruption)
                if interruption.requested:
                    terminal.interrupted(cohort)
                    raise SystemExit(SIGNAL + interruption.signal)
    runs = [Run(c.directory) for c in claims]
    for run in runs:
        terminal.report(run, trained=run.directory in unfinished)
    return runs
