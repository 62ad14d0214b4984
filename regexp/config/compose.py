"""Composing overrides into checked configurations before torch is imported, with all mistakes reported at once."""

from collections import Counter
from collections.abc import Sequence
from functools import cached_property
from pathlib import Path

from hydra._internal.config_loader_impl import ConfigLoaderImpl
from hydra.core.config_loader import ConfigLoader
from hydra.core.config_store import ConfigStore
from hydra.core.override_parser.types import Override
from hydra.errors import HydraException
from hydra.types import RunMode
from omegaconf import OmegaConf, open_dict
from omegaconf.errors import OmegaConfBaseException
from yaml import YAMLError

from regexp.config import file_errors, override_errors
from regexp.config.hydra_config import search_path
from regexp.config.hydra_config.foreign_code import find_foreign_code
from regexp.config.hydra_config.key_rules import find_fixed_key_problems, find_hydra_problems
from regexp.config.hydra_config.null_option import replace_null_option
from regexp.config.job import Job, JobTemplate
from regexp.config.overrides import expand_grid, is_hydra_override, read_overrides
from regexp.config.schema import OPTIONS, Config
from regexp.config.words.as_typed import problems_as_typed
from regexp.config.words.parsing import parse_override
from regexp.config.words.yaml_files import typed_files
from regexp.errors import ConfigError
from regexp.utils.messages import quote_word
from regexp.utils.progress import track_progress

_PACKAGE = Path(__file__).resolve().parent.parent
# The directory is beside the package in a checkout, and inside the package in a wheel.
CONF = next(path for path in (_PACKAGE / "conf", _PACKAGE.parent / "conf") if path.is_dir())

HYDRA_VERSION = "1.3"


# The composers of command lines, by the name of their configuration, so that what they have composed to check the
# command line is not composed again when Hydra calls the launcher; and that of Python's calls, which has no name.
_composers: dict[str, "Composer"] = {}
_DEFAULT = ""


def register_schema() -> None:
    """Register the type of every key with Hydra; the files in conf/ refer to them as `schema/...`."""
    store = ConfigStore.instance()
    store.store(group="schema", name="config", node=Config, package="_global_")
    for group, options in OPTIONS.items():
        for option, schema in options.items():
            store.store(group=f"schema/{group}", name=option, node=schema)


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
                raise ConfigError(f"{override}: only the command line accepts Hydra's own keys")
    if _DEFAULT not in _composers:
        extend_options()
    with problems_as_typed([override for overrides in runs for override in overrides]):
        return _composers[_DEFAULT].compose_jobs(runs)


def extend_options(config_dir: str | None = None, config_name: str = "config") -> None:
    """Make `compose_job` and `compose_jobs` know the user's own options from now on; see `make_composer`."""
    _composers[_DEFAULT] = make_composer(config_dir, config_name)


def composer_for_loader(loader: ConfigLoader, config_name: str) -> "Composer":
    """Return the composer of the command line that has this configuration, or else a new one for Hydra's loader."""
    assert isinstance(loader, ConfigLoaderImpl)  # Hydra has no other
    return _composers.get(config_name) or Composer(loader, config_name)


def make_command_composer(config_dir: str | None, config_name: str) -> "Composer":
    """Return a new composer as `make_composer` does, and keep it for `composer_for_loader` to find."""
    composer = make_composer(config_dir, config_name)
    composer.reuse_jobs = True
    _composers[config_name] = composer
    return composer


def make_composer(config_dir: str | None = None, config_name: str = "config") -> "Composer":
    """Return a new composer for regexp's configuration, extended with the user's own options.

    Args:
        config_dir: the directory that holds the user's own options, or None.
        config_name: the name of the primary configuration.

    Raises:
        ConfigError: if the directory does not exist or holds .yml files, which Hydra does not read.
    """
    register_schema()
    return Composer(search_path.make_loader(CONF, config_dir), config_name)


class Composer:
    """A composer of configurations that gives the same results as Hydra, only faster.

    Hydra takes some 60 ms to compose a configuration. The composer keeps a template of each choice of options, which
    makes jobs by setting values with the function that Hydra uses.

    Attributes:
        loader: Hydra's loader, which composes.
        option_loader: the loader that also lists the options below hydra.searchpath.
        reuse_jobs: whether composing the same overrides again returns the same Job.
    """

    def __init__(self, loader: ConfigLoaderImpl, config_name: str) -> None:
        """Make a composer from Hydra's loader, with our schema registered."""
        self.loader, self.option_loader, self.config_name = loader, loader, config_name
        self.reuse_jobs = False
        self._templates: dict[tuple[str, ...], JobTemplate] = {}  # by the choice of options
        self._jobs: dict[tuple[str, ...], Job] = {}

    @cached_property
    def groups(self) -> dict[str, list[str]]:
        """The options of each group, the user's own included."""
        groups = search_path.list_groups(self.option_loader).items()
        return {name: options for name, options in groups if name not in ("hydra", "schema")}

    @property
    def config_directories(self) -> list[Path]:
        """The directories that hold options: regexp's own, then the user's."""
        return search_path.list_directories(self.option_loader, CONF)

    def compose_job(self, words: Sequence[str], problems: Sequence[str] = ()) -> Job:
        """Return the job of the words of a command line, without flags, that trains one run.

        Raises:
            ConfigError: lists `problems`, which were found earlier, and every mistake in the words.
        """
        words = replace_null_option(words)
        if tuple(words) in self._jobs and not problems:
            return self._jobs[tuple(words)]
        parts = self._compose_template(words, problems)
        with file_errors.problems_with_files(parts[1], parts[0].hydra.runtime.choices, self.config_directories):
            job = JobTemplate.make_job(*parts)
        if self.reuse_jobs:
            self._jobs[tuple(words)] = job
        return job

    def compose_command_line(self, words: Sequence[str], multirun: bool) -> list[Job]:
        """Return the jobs of a command line: one, or those of a sweep.

        A sweep's jobs are composed as Hydra will compose them: it adds the mode to its own overrides. Which jobs a
        sweeper other than Hydra's basic one will launch cannot be foreseen, so only what they share is checked.

        Args:
            words: the words of the command line, without flags.
            multirun: whether the command line has the flag --multirun.

        Raises:
            ConfigError: lists every mistake in any of the jobs.
        """
        with problems_as_typed(words, multirun):
            return self._compose_command_line(replace_null_option(words), multirun)

    def _compose_command_line(self, words: Sequence[str], multirun: bool) -> list[Job]:
        """Return the jobs of a command line; see `compose_command_line`."""
        self.option_loader = search_path.extend_loader(self.loader, self.config_name, words)
        overrides, problems = read_overrides(words, self.groups, multirun)
        hydra_problems = find_hydra_problems(overrides, multirun, search_path.list_groups(self.option_loader, "hydra/"))
        overrides = [text for text in overrides if text not in hydra_problems]
        problems += hydra_problems.values()
        if multirun:
            overrides = [*overrides, "hydra.mode=MULTIRUN"]
        shared_overrides = [text for text in overrides if not parse_override(text).is_sweep_override()]
        try:
            hydra = self._compose_template(shared_overrides)[0].hydra
        except ConfigError:  # the same problems are raised with all others
            return self.compose_jobs([shared_overrides if multirun else overrides], problems)
        if not multirun and hydra.mode != RunMode.MULTIRUN:
            return self.compose_jobs([overrides], problems)
        combinations, sweeps = [shared_overrides], []
        if hydra.sweeper._target_.endswith(("BasicSweeper", "GridSweeper")):
            sweeper_overrides = [f"{key}={value}" for key, value in (hydra.sweeper.params or {}).items()]
            try:
                combinations = expand_grid([*sweeper_overrides, *overrides], self.option_loader)
                sweeps = [parse_override(text) for text in overrides if text not in shared_overrides]
            except ConfigError as error:
                problems += str(error).splitlines()  # raised below, with all others
        return self.compose_jobs(combinations, problems, sweeps)

    def compose_jobs(
        self, combinations: Sequence[Sequence[str]], problems: Sequence[str] = (), sweeps: Sequence[Override] = ()
    ) -> list[Job]:
        """Return the jobs of many runs, each of which is given by its overrides.

        Args:
            combinations: the overrides of each run.
            problems: problems found earlier, to raise with those of the runs.
            sweeps: the overrides with several values that the runs were made from.

        Raises:
            ConfigError: lists `problems` and every mistake in any of the runs; a mistake that only some of the runs
                have is listed once, with their number, and one that all values of an override have is listed once.
        """
        jobs = []
        counts = Counter(problems)
        for words in track_progress(combinations, "checking"):
            try:
                jobs.append(self.compose_job(words, problems))
            except ConfigError as error:
                counts.update(str(error).splitlines())
        if counts:
            counts = override_errors.merge_swept_problems(counts, sweeps)
            raise ConfigError("\n".join(override_errors.count_runs(counts, len(combinations), problems)))
        return jobs

    def _compose_template(
        self, words: Sequence[str], earlier_problems: Sequence[str] = ()
    ) -> tuple[JobTemplate, list[Override], list[str], list[str]]:
        """Return what a job is made from.

        Args:
            words: the words of a command line that trains one run.
            earlier_problems: problems found earlier.

        Returns:
            The template of the chosen options; the overrides that set values; all overrides, without those of Hydra's
            own keys; and all problems, the earlier ones and those of the words.

        Raises:
            ConfigError: if the chosen options cannot be composed.
        """
        overrides, word_problems = read_overrides(words, self.groups)
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
            elif key in self.groups and not isinstance(override.value(), dict):
                problem = override_errors.describe_choice_problem(override, self.groups)
                if problem is not None:
                    problems.append(problem)
                else:
                    choices[key] = text
            elif is_hydra_override(text):
                choices[text] = text
            else:
                values.append(override)
        try:
            template = self._compose_choices(tuple(choices.values()))
        except ConfigError as error:
            # Problems that do not depend on the files that cannot be composed are raised as well.
            problems += [*str(error).splitlines(), *override_errors.find_schema_problems(values)]
            raise ConfigError("\n".join(problems)) from error
        return template, values, [text for text in overrides if not is_hydra_override(text)], problems

    def _compose_choices(self, choices: tuple[str, ...]) -> JobTemplate:
        """Return the configuration of a choice of options.

        Raises:
            ConfigError: if the options cannot be composed, or would run code from outside.
        """
        if choices in self._templates:
            return self._templates[choices]
        try:
            with typed_files():
                cfg = self.loader.load_configuration(self.config_name, list(choices), RunMode.RUN)
        except (HydraException, OmegaConfBaseException, YAMLError, OSError, ValueError, RecursionError) as error:
            message = file_errors.describe_file_error(error, choices, self.config_directories, self.groups)
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
        self._templates[choices] = JobTemplate(cfg, hydra, self.groups)
        return self._templates[choices]
