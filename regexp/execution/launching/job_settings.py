"""The settings that Hydra makes for a job: environment variables and logging, for all jobs of a sweep at once."""

from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

from hydra.core.utils import configure_log, env_override
from omegaconf import DictConfig, open_dict, read_write

from regexp.errors import ConfigError


@contextmanager
def job_settings(config: DictConfig, outputs: Path) -> Iterator[None]:
    """Set the variables of hydra.job.env_set and env_copy within the block, and log as hydra.job_logging says.

    Worker processes inherit the variables.

    Args:
        config: the configuration of the sweep.
        outputs: the directory that holds the runs, where a log file is written.
    """
    hydra = config.hydra
    with read_write(hydra.runtime), open_dict(hydra.runtime):
        hydra.runtime.output_dir = str(outputs.absolute())
    if logs_jobs(config):
        outputs.mkdir(parents=True, exist_ok=True)
    configure_log(hydra.job_logging, hydra.verbose)
    try:
        with env_override({str(name): str(value) for name, value in hydra.job.env_set.items()}):
            yield
    finally:
        configure_log(hydra.hydra_logging, hydra.verbose)


def choose_logging_workers(config: DictConfig, workers: int | None) -> int | None:
    """Return the number of workers of a sweep, which is 1 where its jobs log: only this process does.

    Args:
        config: the configuration of the sweep.
        workers: the number of workers that the user asks for; None for as many as are worth it.

    Raises:
        ConfigError: the user asks for logging and for several workers.
    """
    if not logs_jobs(config):
        return workers
    if workers is not None and workers > 1:
        raise ConfigError(
            f"hydra.launcher.workers={workers}: worker processes do not log as hydra.job_logging says; "
            "leave out one of the two"
        )
    return 1


def logs_jobs(config: DictConfig) -> bool:
    """Return whether the configuration of a sweep has its jobs log anything."""
    return bool(config.hydra.job_logging.get("handlers") or config.hydra.verbose)
