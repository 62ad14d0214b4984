"""What is to be measured of a run beyond what every run is measured by: all that any job asks for. Imports no torch.

The keys that ask for it are no part of a run's identity. So jobs of one command, or of commands that resume the run one
after the other, may be the same run and ask for different things.
"""

from collections.abc import Iterable, Mapping
from dataclasses import replace
from typing import Any

from regexp.config.job import Job
from regexp.config.schema import flatten
from regexp.config.words.parsing import parse_override

MEASURE_KEYS = ("predictions", "evaluation.corruptions")


def list_asked(flat_config: Mapping[str, Any]) -> list[str]:
    """Return the keys with which a flat configuration asks for more; one of an earlier version may lack some."""
    return [key for key in MEASURE_KEYS if flat_config.get(key) is True]


def ask_also(job: Job, keys: Iterable[str]) -> Job:
    """Return a job that asks for these things as well, or the same one if it does so already.

    Args:
        job: the checked configuration.
        keys: some of MEASURE_KEYS.
    """
    flat_config = flatten(job.config)
    added = tuple(f"{key}=true" for key in keys if not flat_config[key])
    if not added:
        return job
    values = (*job.values, *added)
    config = job.template.make_job([parse_override(value) for value in values], job.overrides).config
    return replace(job, config=config, values=values, added=(*job.added, *added))


def add_asked(record: Mapping[str, Any], job: Job) -> dict[str, Any]:
    """Return the entries of run.json that change where a job asks for more than the run has recorded.

    Args:
        record: the content of run.json.
        job: the job that resumes the run.
    """
    config = record["config"]
    new_keys = [key for key in list_asked(flatten(job.config)) if config.get(key) is not True]
    if not new_keys:
        return {}
    overrides = [word for word in record["overrides"] if str(word).partition("=")[0].lstrip("+") not in new_keys]
    return {
        "config": {**config, **dict.fromkeys(new_keys, True)},
        "overrides": [*overrides, *(f"{key}=true" for key in new_keys)],
    }
