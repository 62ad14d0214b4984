"""The templates of jobs: the configuration of a choice of options, composed by Hydra once and kept."""

from collections.abc import Sequence
from typing import NamedTuple

from hydra._internal.config_loader_impl import ConfigLoaderImpl
from hydra.core.override_parser.types import Override
from hydra.errors import HydraException
from hydra.types import RunMode
from omegaconf import OmegaConf, open_dict
from omegaconf.errors import OmegaConfBaseException
from yaml import YAMLError

from regexp.config import override_errors
from regexp.config.hydra_config import file_errors
from regexp.config.hydra_config.foreign_code import find_foreign_code
from regexp.config.hydra_config.key_rules import find_fixed_key_problems
from regexp.config.hydra_config.search_path import Options
from regexp.config.job import JobTemplate
from regexp.config.overrides import is_hydra_override, read_overrides
from regexp.config.words.parsing import parse_override
from regexp.config.words.yaml_files import typed_files
from regexp.errors import ConfigError
from regexp.utils.messages import quote_word

# The errors with which Hydra refuses configuration files and choices.
COMPOSING_ERRORS = (HydraException, OmegaConfBaseException, YAMLError, OSError, ValueError, RecursionError)


class JobParts(NamedTuple):
    """What a job is made from.

    Attributes:
        template: the configuration of the chosen options.
        values: the overrides that set values in it.
        overrides: all overrides, without those of Hydra's own keys.
        problems: all that is wrong with the overrides.
    """

    template: JobTemplate
    values: list[Override]
    overrides: list[str]
    problems: list[str]


class TemplateComposer:
    """A composer of the choices among the words of a command line, which composes each choice once.

    Hydra takes some 60 ms to compose a configuration; setting values in one takes a fraction of that.

    Attributes:
        loader: Hydra's loader, which composes.
        config_name: the name of the primary configuration.
    """

    def __init__(self, loader: ConfigLoaderImpl, config_name: str) -> None:
        self.loader, self.config_name = loader, config_name
        self._templates: dict[tuple[str, ...], JobTemplate] = {}  # by the choice of options

    def compose_parts(self, words: Sequence[str], options: Options, earlier_problems: Sequence[str] = ()) -> JobParts:
        """Return what a job is made from.

        Args:
            words: the words of a command line that trains one run.
            options: the options that can be chosen.
            earlier_problems: problems found earlier, which are listed with those of the words.

        Raises:
            ConfigError: if the chosen options cannot be composed.
        """
        overrides, word_problems = read_overrides(words, options.groups)
        problems = [*earlier_problems, *word_problems]
        choices: dict[str, str] = {}
        values: list[Override] = []
        for text in overrides:
            override = parse_override(text)
            key = override.key_or_group
            if override.is_sweep_override():
                problems.append(override_errors.describe_unexpected_sweep(override))
            elif override.package is not None:
                correction = f"{key}={text.partition('=')[2]}"
                problems.append(f"{text}: Hydra's packages (@) cannot be chosen here; type {quote_word(correction)}")
            elif key in options.groups and not isinstance(override.value(), dict):
                problem = override_errors.describe_choice_problem(override, options.groups)
                if problem is not None:
                    problems.append(problem)
                else:
                    choices[key] = text
            elif is_hydra_override(text):
                choices[text] = text
            else:
                values.append(override)
        try:
            template = self._compose_choices(tuple(choices.values()), options)
        except ConfigError as error:
            # Problems that do not depend on the files that cannot be composed are raised as well.
            problems += [*str(error).splitlines(), *override_errors.find_schema_problems(values)]
            raise ConfigError("\n".join(problems)) from error
        return JobParts(template, values, [text for text in overrides if not is_hydra_override(text)], problems)

    def _compose_choices(self, choices: tuple[str, ...], options: Options) -> JobTemplate:
        """Return the configuration of a choice of options.

        Raises:
            ConfigError: if the options cannot be composed, or would run code from outside.
        """
        if choices in self._templates:
            return self._templates[choices]
        try:
            with typed_files():
                cfg = self.loader.load_configuration(self.config_name, list(choices), RunMode.RUN)
        except COMPOSING_ERRORS as error:
            message = file_errors.describe_file_error(error, choices, options.directories, options.groups)
            raise ConfigError(message) from error
        hydra = cfg.hydra
        problems = [*find_foreign_code(hydra), *find_fixed_key_problems(hydra)]
        if OmegaConf.is_interpolation(hydra.job, "chdir") or hydra.job.chdir:
            problems.append(
                "hydra.job.chdir=true: paths are relative to the directory in which you type the command; leave it out"
            )
        if problems:
            raise ConfigError("\n".join(problems))
        with open_dict(cfg):
            del cfg["hydra"]
        self._templates[choices] = JobTemplate(cfg, hydra, options.groups)
        return self._templates[choices]
