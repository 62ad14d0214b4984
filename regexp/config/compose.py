"""Composing overrides into checked configurations before torch is imported, with all mistakes reported at once."""

from collections.abc import Sequence
from dataclasses import fields, is_dataclass
from typing import Any

from hydra._internal.config_loader_impl import ConfigLoaderImpl
from hydra.core.config_loader import ConfigLoader
from hydra.core.config_store import ConfigStore
from omegaconf import DictConfig, OmegaConf

from regexp.config.composing.composer import Composer
from regexp.config.hydra_config.search_path import make_loader
from regexp.config.job import Job
from regexp.config.schema import OPTIONS, make_hydra_schema
from regexp.config.words.as_typed import problems_as_typed
from regexp.errors import ConfigError

HYDRA_VERSION = "1.3"

# The composers of command lines, by the name of their configuration, so that what they have composed to check the
# command line is not composed again when Hydra calls the launcher; and that of Python's calls, which has no name.
_composers: dict[str, Composer] = {}
_DEFAULT = ""
_SCHEMA = "schema"  # the group that holds the type of every option


def register_schema() -> None:
    """Register the type of every key with Hydra; the files in conf/ refer to them as `schema/...`."""
    store = ConfigStore.instance()
    if _SCHEMA in store.repo:  # it takes 40 ms
        return
    store.store(group=_SCHEMA, name="config", node=_make_node(make_hydra_schema()), package="_global_")
    for group, options in OPTIONS.items():
        for option, option_schema in options.items():
            store.store(group=f"{_SCHEMA}/{group}", name=option, node=_make_node(option_schema()))


def _make_node(schema: Any) -> DictConfig:
    """Return the node of an instance of a schema class; the keys of its open mappings need no +."""
    node = OmegaConf.structured(schema)
    for item in fields(schema):
        if is_dataclass(value := getattr(schema, item.name)):
            node[item.name] = _make_node(value)
        elif item.metadata.get("is_open", False):
            OmegaConf.set_struct(node[item.name], False)
    assert isinstance(node, DictConfig)
    return node


def compose_job(overrides: Sequence[str]) -> Job:
    """Return the job that the command line `regexp OVERRIDES...` would run.

    Raises:
        ConfigError: lists every mistake in the overrides.
    """
    return compose_jobs([overrides])[0]


def compose_jobs(runs: Sequence[Sequence[str]]) -> list[Job]:
    """Return the jobs of several runs, each of which is given by its overrides.

    Raises:
        ConfigError: lists every mistake in any of the runs.
    """
    for overrides in runs:
        if isinstance(overrides, str):
            raise ConfigError(f'{overrides!r}: overrides must be a list of strings, such as ["seed=1"]')
        for override in overrides:
            if override.lstrip("+~").startswith("hydra"):
                remedy = "; set workers of sweep" if override.startswith("hydra.launcher.workers=") else ""
                raise ConfigError(f"{override}: only the command line accepts Hydra's own keys{remedy}")
    with problems_as_typed([override for overrides in runs for override in overrides]):
        return _default_composer().compose_jobs(runs)


def expand_experiments(runs: Sequence[Sequence[str]]) -> list[list[str]]:
    """Return the overrides of all runs of a sweep, with all those of a sweep that an experiment file holds.

    Args:
        runs: the overrides of each run.
    """
    return [words for overrides in runs for words in _default_composer().expand_experiment(overrides)]


def extend_options(config_dir: str | None = None, config_name: str = "config") -> None:
    """Make `compose_job` and `compose_jobs` know the user's own options from now on; see `make_composer`."""
    _composers[_DEFAULT] = make_composer(config_dir, config_name)


def _default_composer() -> Composer:
    """Return the composer of Python's calls."""
    if _DEFAULT not in _composers:
        extend_options()
    return _composers[_DEFAULT]


def composer_for_loader(loader: ConfigLoader, config_name: str) -> Composer:
    """Return the composer of the command line that has this configuration, or else a new one for Hydra's loader."""
    assert isinstance(loader, ConfigLoaderImpl)  # Hydra has no other
    return _composers.get(config_name) or Composer(loader, config_name)


def make_command_composer(config_dir: str | None, config_name: str) -> Composer:
    """Return a new composer as `make_composer` does, and keep it for `composer_for_loader` to find."""
    composer = make_composer(config_dir, config_name)
    composer.reuse_jobs = True
    _composers[config_name] = composer
    return composer


def make_composer(config_dir: str | None = None, config_name: str = "config") -> Composer:
    """Return a new composer for regexp's configuration, extended with the user's own options.

    Args:
        config_dir: the directory that holds the user's own options, or None.
        config_name: the name of the primary configuration.

    Raises:
        ConfigError: if the directory does not exist or holds .yml files, which Hydra does not read.
    """
    register_schema()
    return Composer(make_loader(config_dir), config_name)
