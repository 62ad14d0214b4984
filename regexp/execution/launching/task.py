"""The task that Hydra runs: one run, of a single command or of a sweep with another launcher than regexp's own."""

from contextlib import nullcontext
from pathlib import Path

import hydra
from hydra.core.hydra_config import HydraConfig
from hydra.types import RunMode
from omegaconf import DictConfig

from regexp.config.compose import HYDRA_VERSION
from regexp.config.hydra_config.search_path import CONF
from regexp.config.job import make_job
from regexp.errors import DIVERGED
from regexp.execution.launching.objective import Objective
from regexp.execution.terminal import Terminal
from regexp.execution.train import train
from regexp.runs.sweep_record import find_choice
from regexp.utils.exit_codes import record_status, report_errors


@hydra.main(version_base=HYDRA_VERSION, config_path=str(CONF), config_name="config")
def command(cfg: DictConfig) -> Objective | None:
    """Train the run that the command line, or a job of a sweep, describes, and return its objective."""
    hydra_config = HydraConfig.get()  # Hydra has composed `cfg` from groups, files and overrides
    # The errors of a sweep's job are reported where the sweep was started, which may be another process.
    with report_errors() if hydra_config.mode == RunMode.RUN else nullcontext():
        job = make_job(cfg, hydra_config.overrides.task, hydra_config)
        outputs = Path(hydra_config.runtime.output_dir)
        is_alone = hydra_config.mode == RunMode.RUN
        choice = None if is_alone else find_choice(outputs / job.config.name, job.overrides)
        [run] = train([job], outputs, Terminal(), choice=choice)
        if run.status == "diverged":
            record_status(DIVERGED)
        return Objective.of(run)
    return None
