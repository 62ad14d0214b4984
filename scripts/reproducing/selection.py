"""The runs of an experiment: those on disk whose configuration is exactly that of one of its commands' jobs."""

from collections.abc import Mapping, Sequence
from functools import cache
from pathlib import Path
from typing import NamedTuple

from regexp import Run, Runs, load_runs
from regexp.config.compose import make_composer
from regexp.config.composing.composer import Composer
from regexp.config.job import Job
from regexp.config.words.parsing import parse_override
from regexp.errors import RunError
from regexp.runs.identity import hash_configuration
from reproducing.experiment import Experiment, Values


class Selection(NamedTuple):
    """The runs of an experiment that have ended, and what its commands ask for.

    Attributes:
        runs: the runs that have ended, in the order of the commands.
        values: the values of the swept keys, without the seed, of each of these runs.
        job_count: how many runs the commands ask for.
    """

    runs: Runs
    values: list[Values]
    job_count: int

    @property
    def is_complete(self) -> bool:
        """Whether all runs that the commands ask for have ended."""
        return len(self.runs) == self.job_count


def select_runs(experiment: Experiment, outputs: Path, small: bool = False) -> Selection:
    """Return the runs of an experiment below a directory.

    A run counts whatever the version of the code that trained it; of several, the one that ended last. Runs of other
    configurations, such as those of an earlier version of the experiment's file, do not count.

    Args:
        experiment: the experiment.
        outputs: the directory below which it was trained.
        small: whether it was trained at the scale of seconds.
    """
    jobs = [job for words in experiment.list_commands(small) for job in _list_jobs(words)]
    runs_by_configuration = _index_runs(sorted({outputs / job.config.name for job in jobs}))
    runs, values = Runs(), []
    for job in jobs:
        if (run := runs_by_configuration.get(hash_configuration(job.config))) is not None:
            runs.append(run)
            values.append(_list_values(job))
    return Selection(runs, _keep_varied(values), len(jobs))


def needs_mnist(words: Sequence[str]) -> bool:
    """Return whether a command trains on MNIST, which has to be on disk or is downloaded.

    Args:
        words: the words after `regexp`.
    """
    return any(job.config.data.name == "mnist" for job in _list_jobs(words))


def _list_jobs(words: Sequence[str]) -> list[Job]:
    """Return the jobs of a command."""
    return _get_composer().compose_command_line(words, multirun=False)


@cache
def _get_composer() -> Composer:
    """Return a composer; it keeps what it has composed."""
    return make_composer()


def _keep_varied(values_of_runs: Sequence[Mapping[str, str]]) -> list[Values]:
    """Return the values of runs without those of keys that all runs agree in."""
    keys = dict.fromkeys(key for values in values_of_runs for key in values)
    varied = {key for key in keys if len({values.get(key) for values in values_of_runs}) > 1}
    return [{key: value for key, value in values.items() if key in varied} for values in values_of_runs]


def _index_runs(directories: Sequence[Path]) -> dict[str, Run]:
    """Return the runs below directories that have ended, by the hash of their configuration."""
    ended: dict[str, Run] = {}
    for directory in directories:
        try:
            runs = load_runs(directory)
        except RunError:  # nothing has been trained
            continue
        for run in sorted((run for run in runs if run.summary is not None), key=_read_end):
            ended[run.record["identity"]["config"]] = run
    return ended


def _read_end(run: Run) -> str:
    return str((run.summary or {}).get("finished"))


def _list_values(job: Job) -> dict[str, str]:
    """Return the values of a job's overrides, as they were written, without experiment and seed."""
    overrides = [parse_override(text) for text in job.overrides]
    values = {override.key_or_group: override.get_value_element_as_str() for override in overrides}
    return {key: value for key, value in values.items() if key not in ("experiment", "seed")}
