"""Composing overrides into checked configurations before torch is imported, with all mistakes reported at once."""

from collections import Counter
from collections.abc import Sequence
from functools import cache, cached_property
from pathlib import Path

from hydra._internal.config_loader_impl import ConfigLoaderImpl
from hydra._internal.utils import create_config_search_path
from hydra.core.config_loader import ConfigLoader
from hydra.core.config_search_path import SearchPathQuery
from hydra.core.config_store import ConfigStore
from hydra.core.object_type import ObjectType
from hydra.core.override_parser.types import Override
from hydra.errors import HydraException
from hydra.types import RunMode
from omegaconf import OmegaConf, open_dict
from omegaconf.errors import OmegaConfBaseException
from yaml import YAMLError

from regexp.config import file_errors, override_errors
from regexp.config.job import Job, JobTemplate
from regexp.config.overrides import expand_grid, is_hydra_override, read_overrides
from regexp.config.schema import OPTIONS, Config
from regexp.config.words.as_typed import problems_as_typed
from regexp.config.words.homes import expand_home
from regexp.config.words.parsing import parse_override
from regexp.config.words.yaml_files import register_file_source
from regexp.errors import ConfigError
from regexp.utils.progress import track_progress

_PACKAGE = Path(__file__).resolve().parent.parent
# The directory is beside the package in a checkout, and inside the package in a wheel.
CONF = next(path for path in (_PACKAGE / "conf", _PACKAGE.parent / "conf") if path.is_dir())

HYDRA_VERSION = "1.3"


def register_schema() -> None:
    """Register the type of every key with Hydra; the files in conf/ refer to them as `schema/...`."""
    register_file_source()
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
    with problems_as_typed([override for overrides in runs for override in overrides]):
        return _default_composer().compose_jobs(runs)


@cache
def _default_composer() -> "Composer":
    return make_composer()


# The composers of command lines, by the name of their configuration, so that what they have composed to check the
# command line is not composed again when Hydra calls the launcher.
_command_composers: dict[str, "Composer"] = {}


def composer_for_loader(loader: ConfigLoader, config_name: str) -> "Composer":
    """Return the composer of the command line that has this configuration, or else a new one for Hydra's loader."""
    assert isinstance(loader, ConfigLoaderImpl)  # Hydra has no other
    return _command_composers.get(config_name) or Composer(loader, config_name)


def make_command_composer(config_dir: str | None, config_name: str) -> "Composer":
    """Return a new composer as `make_composer` does, and keep it for `composer_for_loader` to find."""
    composer = make_composer(config_dir, config_name)
    composer.reuse_jobs = True
    _command_composers[config_name] = composer
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
    search_path = create_config_search_path(str(CONF))
    if config_dir is not None:
        directory = expand_home(config_dir).absolute()
        if not directory.is_dir():
            raise ConfigError(f"--config-dir {config_dir}: there is no such directory")
        if yml_files := sorted(directory.rglob("*.yml")):
            raise ConfigError(f"{yml_files[0]}: Hydra reads .yaml files only; rename it to {yml_files[0].stem}.yaml")
        search_path.prepend("command-line", f"file://{directory}", SearchPathQuery(provider="schema"))
    return Composer(ConfigLoaderImpl(search_path), config_name)


class Composer:
    """A composer of configurations that gives the same results as Hydra, only faster.

    Hydra takes some 60 ms to compose a configuration. The composer keeps a template of each choice of options, which
    makes jobs by setting values with the function that Hydra uses.

    Attributes:
        reuse_jobs: whether composing the same overrides again returns the same Job.
    """

    def __init__(self, loader: ConfigLoaderImpl, config_name: str) -> None:
        """Make a composer from Hydra's loader, with our schema registered."""
        self.loader, self.config_name = loader, config_name
        paths = [Path(str(source.path).removeprefix("file://")) for source in loader.get_search_path().get_path()]
        self.config_directories = [CONF, *(path for path in paths if path != CONF and path.is_dir())]
        self.reuse_jobs = False
        self._templates: dict[tuple[str, ...], JobTemplate] = {}  # by the choice of options
        self._jobs: dict[tuple[str, ...], Job] = {}

    @cached_property
    def groups(self) -> dict[str, list[str]]:
        """The options of each group, the user's own included."""
        # The loader's own methods give the same, but copy all sources for each group.
        repository = self.loader.repository
        names = [name for name in repository.get_group_options("", ObjectType.GROUP) if name not in ("hydra", "schema")]
        return {name: repository.get_group_options(name, ObjectType.CONFIG) for name in names}

    def compose_job(self, words: Sequence[str], problems: Sequence[str] = ()) -> Job:
        """Return the job of the words of a command line, without flags, that trains one run.

        Raises:
            ConfigError: lists `problems`, which were found earlier, and every mistake in the words.
        """
        if tuple(words) in self._jobs and not problems:
            return self._jobs[tuple(words)]
        template, values, overrides, word_problems = self._compose_template(words, problems)
        job = template.make_job(values, overrides, word_problems)
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
            return self._compose_command_line(words, multirun)

    def _compose_command_line(self, words: Sequence[str], multirun: bool) -> list[Job]:
        """Return the jobs of a command line; see `compose_command_line`."""
        overrides, problems = read_overrides(words, self.groups, multirun)
        launchers = self.loader.get_group_options("hydra/launcher")
        sweep_problems = override_errors.find_sweep_problems(overrides, multirun, launchers)
        overrides = [text for text in overrides if text not in sweep_problems]
        problems += sweep_problems.values()
        if multirun:
            overrides = [*overrides, "hydra.mode=MULTIRUN"]
        shared_overrides = [text for text in overrides if not parse_override(text).is_sweep_override()]
        try:
            hydra = self._compose_template(shared_overrides)[0].hydra
        except ConfigError:  # the same problems are raised with all others
            return self.compose_jobs([shared_overrides if multirun else overrides], problems)
        if not multirun and hydra.mode != RunMode.MULTIRUN:
            return self.compose_jobs([overrides], problems)
        combinations = [shared_overrides]
        if hydra.sweeper._target_.endswith(("BasicSweeper", "GridSweeper")):
            sweeper_overrides = [f"{key}={value}" for key, value in (hydra.sweeper.params or {}).items()]
            try:
                combinations = expand_grid([*sweeper_overrides, *overrides], self.loader)
            except ConfigError as error:
                problems += str(error).splitlines()  # raised below, with all others
        return self.compose_jobs(combinations, problems)

    def compose_jobs(self, combinations: Sequence[Sequence[str]], problems: Sequence[str] = ()) -> list[Job]:
        """Return the jobs of many runs, each of which is given by its overrides.

        Args:
            combinations: the overrides of each run.
            problems: problems found earlier, to raise with those of the runs.

        Raises:
            ConfigError: lists `problems` and every mistake in any of the runs; a mistake that only some of the runs
                have is listed once, with their number.
        """
        jobs = []
        counts = Counter(problems)
        for words in track_progress(combinations, "checking"):
            try:
                jobs.append(self.compose_job(words, problems))
            except ConfigError as error:
                counts.update(str(error).splitlines())
        if counts:
            total = len(combinations)
            raise ConfigError(
                "\n".join(
                    problem if count == total or problem in problems else f"{problem} ({count} of {total} runs)"
                    for problem, count in counts.items()
                )
            )
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
        overrides, problems = read_overrides(words, self.groups)
        problems = [*earlier_problems, *problems]
        choices: dict[str, str] = {}
        values: list[Override] = []
        for text in overrides:
            override = parse_override(text)
            key = override.key_or_group
            if override.is_sweep_override():
                problems.append(override_errors.describe_unexpected_sweep(override))
            elif override.package is not None:
                correction = f"{key}={text.partition('=')[2]}"
                problems.append(f"{text}: Hydra's packages (@) cannot be chosen here; type {correction}")
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
            cfg = self.loader.load_configuration(self.config_name, list(choices), RunMode.RUN)
        except (HydraException, OmegaConfBaseException, YAMLError, OSError, ValueError, RecursionError) as error:
            message = file_errors.describe_file_error(error, choices, self.config_directories, self.groups)
            raise ConfigError(message) from error
        hydra = cfg.hydra
        problems = list(override_errors.find_foreign_code(hydra))
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
