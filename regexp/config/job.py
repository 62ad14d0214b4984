"""A job: a checked configuration, and the files that record it in the run's .hydra directory."""

import copy
import textwrap
from collections.abc import Iterable, Sequence
from dataclasses import dataclass, replace
from functools import cached_property, lru_cache
from pathlib import Path
from types import MappingProxyType
from typing import Any

from hydra._internal.config_loader_impl import ConfigLoaderImpl
from hydra.core.override_parser.types import Override
from hydra.core.utils import setup_globals
from hydra.errors import HydraException
from hydra.types import RunMode
from omegaconf import DictConfig, OmegaConf, open_dict
from omegaconf.errors import OmegaConfBaseException

from regexp.config import override_errors
from regexp.config.cautions import find_cautions
from regexp.config.overrides import Groups
from regexp.config.schema import Config
from regexp.config.validation import convert, find_combination_problems, validate
from regexp.config.words.consequences import drop_consequences
from regexp.config.words.parsing import parse_override
from regexp.errors import ConfigError

# The errors that setting a value can raise.
_SETTING_ERRORS = (HydraException, OmegaConfBaseException, ValueError, TypeError, AttributeError)
# What a value that refers to another one contains.
_REFERENCE = "${"
# Stands for a section with a value that does not fit.
_UNFIT: Any = object()
# The number of sections that a template remembers, so that a long search does not fill the memory.
_MAX_SECTIONS = 20_000


@dataclass(frozen=True, eq=False)
class Job:
    """A checked configuration that is ready to train.

    The jobs of a sweep share the objects that they have in common, and nobody may change those.

    Attributes:
        config: the configuration as typed objects.
        overrides: the overrides, without those of Hydra's own keys.
        warnings: the cautions about the configuration.
        template: the configuration as Hydra composed it, without `values`.
        values: the overrides that set values in the template, those that were added included.
        added: overrides of other jobs that are the same run and ask for more.
    """

    config: Config
    overrides: tuple[str, ...]
    warnings: tuple[str, ...]
    template: "JobTemplate"
    values: tuple[str, ...]
    added: tuple[str, ...] = ()

    @property
    def composed_config(self) -> DictConfig:
        """The configuration as Hydra composes it, made anew each time: 10,000 of them would fill the memory."""
        return self.template.compose(self.values)

    @property
    def recorded_overrides(self) -> tuple[str, ...]:
        """The overrides from which `config` is composed again."""
        added = {word.partition("=")[0]: word for word in self.added}
        return (*(word for word in self.overrides if word.partition("=")[0].lstrip("+") not in added), *added.values())

    @property
    def hydra(self) -> Any:
        """Hydra's own configuration."""
        return self.template.hydra

    def output_directory(self) -> Path:
        """Return the directory that holds the runs: hydra.run.dir, or for a sweep hydra.sweep.dir."""
        setup_globals()  # so that the directory may be named after the time
        hydra = OmegaConf.create({"hydra": self.hydra}).hydra
        return Path(hydra.sweep.dir if hydra.mode == RunMode.MULTIRUN else hydra.run.dir)

    def hydra_files(self) -> dict[str, str]:
        """Return the contents of the files in the run's .hydra directory, as YAML by file name."""
        overrides = OmegaConf.to_yaml(list(self.recorded_overrides))
        task = f"task:\n{textwrap.indent(overrides, '    ')}" if overrides != "[]\n" else "task: []\n"
        config, hydra = self.template.format_yaml(self.values), self.template.hydra_yaml.replace("task: []\n", task)
        return {"config.yaml": config, "overrides.yaml": overrides, "hydra.yaml": hydra}


def make_job(cfg: DictConfig, overrides: Sequence[str], hydra: Any) -> Job:
    """Return the job of a configuration that Hydra composed.

    Args:
        cfg: the composed configuration, without Hydra's own.
        overrides: the overrides, without those of Hydra's own keys.
        hydra: Hydra's own configuration.

    Raises:
        ConfigError: lists every problem of the configuration.
    """
    return JobTemplate(cfg, hydra).make_job((), overrides)


class JobTemplate:
    """The configuration of a choice of options, from which jobs are made by setting values.

    Values that are set in one section (a group such as `optimizer`, or a single key such as `seed`) change no other,
    unless values refer to each other (`${...}`). So each section is converted and checked once for every set of values
    that it is given, and jobs are put together from sections. This takes 0.1 ms a job, a whole configuration 5 ms; and
    jobs share the memory of their sections.

    Attributes:
        cfg: the configuration, without Hydra's own; callers must not change it.
        hydra: Hydra's own configuration; callers must not change it.
        groups: the options of each group, for messages.
    """

    def __init__(self, cfg: DictConfig, hydra: Any, groups: Groups = MappingProxyType({})) -> None:
        self.cfg, self.hydra, self.groups = cfg, hydra, groups
        self._bare_configs: dict[str, DictConfig] = {}
        self._convert_section_once = lru_cache(_MAX_SECTIONS)(self._convert_section)
        self._format_section_once = lru_cache(_MAX_SECTIONS)(self._format_section)

    def __reduce__(self) -> tuple[Any, ...]:
        """Leave out what is remembered, so that a job can be sent to another process, and the types of plugins.

        The other process then imports no plugin. Hydra may have loaded one twice, and then its types cannot be sent.
        """
        hydra = copy.copy(self.hydra)
        with open_dict(hydra):
            for name in ("launcher", "sweeper"):
                hydra[name] = OmegaConf.to_container(hydra[name], resolve=False)
        return JobTemplate, (self.cfg, hydra, dict(self.groups))

    def make_job(self, values: Sequence[Override], overrides: Sequence[str], problems: Sequence[str] = ()) -> Job:
        """Return the job with these values.

        Args:
            values: the overrides that set values.
            overrides: all overrides, without those of Hydra's own keys.
            problems: problems found earlier, to raise with those of the values.

        Raises:
            ConfigError: lists `problems` and every problem of the configuration.
        """
        config = None if problems else self._join_sections(values)
        if config is None:
            config = self._convert_whole(values, list(problems))
        elif combination_problems := list(find_combination_problems(config)):
            raise ConfigError("\n".join(dict.fromkeys(combination_problems)))
        warnings = tuple(find_cautions(config, self.hydra.runtime.choices.get("experiment"), overrides))
        return Job(config, tuple(overrides), warnings, self, tuple(str(override.input_line) for override in values))

    def compose(self, values: Sequence[str]) -> DictConfig:
        """Return a new configuration with these values.

        Args:
            values: overrides that are known to fit.
        """
        cfg = copy.deepcopy(self.cfg)
        for text in values:
            _set_value(cfg, parse_override(text))
        return cfg

    def format_yaml(self, values: Sequence[str]) -> str:
        """Return the configuration with these values as YAML.

        Args:
            values: overrides that are known to fit.
        """
        texts_by_section = _group_by_section(map(parse_override, values))
        if not texts_by_section:
            return OmegaConf.to_yaml(self.compose(values))
        format_once = self._format_section_once
        return "".join(format_once(section, texts_by_section.get(section, ())) for section in self._sections)

    @cached_property
    def hydra_yaml(self) -> str:
        """Hydra's own configuration as YAML, without overrides of the task."""
        node = copy.deepcopy(self.hydra)
        OmegaConf.set_readonly(node, False)
        node.overrides.task = []
        return OmegaConf.to_yaml(OmegaConf.create({"hydra": node}))

    def _join_sections(self, values: Sequence[Override]) -> Config | None:
        """Return the configuration with these values, or None where one does not fit or may refer to another."""
        config, texts_by_section = self._base, _group_by_section(values)
        if config is None or texts_by_section is None:
            return None
        sections = {section: self._convert_section_once(section, texts) for section, texts in texts_by_section.items()}
        return None if _UNFIT in sections.values() else replace(config, **sections)

    @cached_property
    def _base(self) -> Config | None:
        """The configuration without values; None where something is wrong with it, or values refer to others."""
        has_references = _REFERENCE in str(OmegaConf.to_container(self.cfg, resolve=False))
        return None if has_references else _convert(self.cfg)

    @cached_property
    def _sections(self) -> list[str]:
        return [str(section) for section in self.cfg]

    def _convert_section(self, section: str, texts: Sequence[str]) -> Any:
        """Return a section with values as a typed object, or _UNFIT where a value does not fit.

        Args:
            section: the top-level key of the section.
            texts: the overrides that set values in it.
        """
        if section not in self.cfg:
            return _UNFIT
        try:
            config = _convert(self._compose_section(section, texts))
        except _SETTING_ERRORS:
            return _UNFIT
        return _UNFIT if config is None else getattr(config, section)

    def _format_section(self, section: str, texts: Sequence[str]) -> str:
        """Return a section with values as YAML; see `_convert_section`."""
        cfg = self._compose_section(section, texts) if texts else OmegaConf.masked_copy(self.cfg, section)
        return OmegaConf.to_yaml(cfg)

    def _compose_section(self, section: str, texts: Sequence[str]) -> DictConfig:
        """Return a new configuration that has one section only, with values.

        Args:
            section: the top-level key of the section.
            texts: the overrides that set values in it.

        Raises:
            one of _SETTING_ERRORS: a value does not fit.
        """
        if section not in self._bare_configs:
            bare_config = copy.deepcopy(self.cfg)
            with open_dict(bare_config):
                for other_section in self._sections:
                    if other_section != section:
                        del bare_config[other_section]
            self._bare_configs[section] = bare_config
        cfg = copy.deepcopy(self._bare_configs[section])
        for text in texts:
            _set_value(cfg, parse_override(text))
        return cfg

    def _convert_whole(self, values: Sequence[Override], problems: list[str]) -> Config:
        """Return the configuration with these values, set and checked all together; see `make_job`."""
        cfg, choices = copy.deepcopy(self.cfg), self.hydra.runtime.choices
        value_problems = []
        for override in values:
            if _drops_key(override):
                value_problems.append(f"{override.input_line}: only augmentation steps can be dropped")
                continue
            try:
                _set_value(cfg, override)
            except _SETTING_ERRORS as error:
                problem = override_errors.describe_value_problem(override, error, cfg, choices, self.groups)
                value_problems.append(problem)
        problems += drop_consequences(value_problems, problems)
        try:
            config = validate(cfg)
        except ConfigError as error:
            problems += drop_consequences(str(error).splitlines(), problems)
        if problems:
            raise ConfigError("\n".join(dict.fromkeys(problems)))
        return config


def _set_value(cfg: DictConfig, override: Override) -> None:
    """Set, add or drop what an override says, as Hydra does.

    Raises:
        one of _SETTING_ERRORS: the override does not fit.
    """
    ConfigLoaderImpl._apply_overrides_to_config([override], cfg)


def _group_by_section(values: Iterable[Override]) -> dict[str, tuple[str, ...]] | None:
    """Return the overrides that set values, by section; None where a section cannot be composed by itself."""
    texts_by_section: dict[str, tuple[str, ...]] = {}
    for override in values:
        section, text = override.key_or_group.partition(".")[0], str(override.input_line)
        if _REFERENCE in text or _drops_key(override):
            return None
        texts_by_section[section] = (*texts_by_section.get(section, ()), text)
    return texts_by_section


def _drops_key(override: Override) -> bool:
    """Return whether an override drops a key other than an augmentation step."""
    return override.is_delete() and not override.key_or_group.startswith("augmentation.")


def _convert(cfg: DictConfig) -> Config | None:
    """Return a configuration as typed objects, or None where something is wrong with any of its values."""
    try:
        config, problems, _ = convert(cfg)
    except ConfigError:
        return None
    return None if problems else config
