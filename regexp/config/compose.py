"""From overrides to checked configurations, before torch is imported: everything that is wrong is said at once."""

import copy
from collections import Counter
from collections.abc import Sequence
from functools import cache, cached_property
from itertools import islice
from pathlib import Path

from hydra._internal.config_loader_impl import ConfigLoaderImpl
from hydra._internal.core_plugins.basic_sweeper import BasicSweeper
from hydra._internal.utils import create_config_search_path
from hydra.core.config_loader import ConfigLoader
from hydra.core.config_search_path import SearchPathQuery
from hydra.core.config_store import ConfigStore
from hydra.core.override_parser.overrides_parser import OverridesParser
from hydra.core.override_parser.types import Override
from hydra.errors import HydraException
from hydra.types import RunMode
from omegaconf import DictConfig, open_dict
from omegaconf.errors import OmegaConfBaseException
from yaml import YAMLError

from regexp.config import file_errors, override_errors
from regexp.config.job import Job, make_job
from regexp.config.overrides import parse, read
from regexp.config.schema import OPTIONS, Config
from regexp.errors import ConfigError
from regexp.utils.progress import progress

_PACKAGE = Path(__file__).resolve().parent.parent
# Beside the package in a checkout, inside it in a wheel.
CONF = next(path for path in (_PACKAGE / "conf", _PACKAGE.parent / "conf") if path.is_dir())

HYDRA_VERSION = "1.3"
# More than this in one sweep is a slip of the finger.
MAX_RUNS = 100_000


def register_schema() -> None:
    """Tell Hydra the types of every key; conf/ refers to them as `schema/...`."""
    store = ConfigStore.instance()
    store.store(group="schema", name="config", node=Config, package="_global_")
    for group, options in OPTIONS.items():
        for option, schema in options.items():
            store.store(group=f"schema/{group}", name=option, node=schema)


def compose_job(overrides: Sequence[str]) -> Job:
    """The job that the command line `regexp OVERRIDES...` would run.

    Raises ConfigError if an override does not fit the configuration.
    """
    return compose_jobs([overrides])[0]


def compose_jobs(runs: Sequence[Sequence[str]]) -> list[Job]:
    """The jobs of several runs, each given by its overrides. Raises ConfigError with all that is wrong in any."""
    for overrides in runs:
        if isinstance(overrides, str):
            raise ConfigError(f'{overrides!r}: overrides are a list of strings, such as ["seed=1"]')
        for override in overrides:
            if override.lstrip("+~").startswith("hydra"):
                raise ConfigError(f"{override}: only the command line reads Hydra's own keys")
    return _composer().all(runs)


@cache
def _composer() -> "Composer":
    return composer()


# The command line's, by the name of its configuration: what it has composed is not composed again for Hydra.
_of_command: dict[str, "Composer"] = {}


def composer_of(loader: ConfigLoader, config_name: str) -> "Composer":
    """That of the command line, or else one for Hydra's loader."""
    return _of_command.get(config_name) or Composer(loader, config_name)


def command_composer(config_dir: str | None, config_name: str) -> "Composer":
    """For a command line; `composer_of` finds it later. Raises as `composer`."""
    _of_command[config_name] = made = composer(config_dir, config_name)
    made.remembers = True
    return made


def composer(config_dir: str | None = None, config_name: str = "config") -> "Composer":
    """For our configuration, with options of the user's from a folder. Raises ConfigError if it is not there."""
    register_schema()
    search_path = create_config_search_path(str(CONF))
    if config_dir is not None:
        folder = Path(config_dir).absolute()
        if not folder.is_dir():
            raise ConfigError(f"--config-dir {config_dir}: there is no such folder")
        if unread := sorted(folder.rglob("*.yml")):
            raise ConfigError(f"{unread[0]}: is not read; rename it to {unread[0].stem}.yaml")
        search_path.prepend("command-line", f"file://{folder}", SearchPathQuery(provider="schema"))
    return Composer(ConfigLoaderImpl(search_path), config_name)


class Composer:
    """Composes configurations as Hydra does.

    Hydra takes some 60 ms for each. Here what it makes of a choice of groups is kept, and values are set on copies of
    that by the same function that Hydra uses, in some 2 ms.
    """

    def __init__(self, loader: ConfigLoader, config_name: str) -> None:
        """`loader`: Hydra's, with our schema registered."""
        self.loader, self.config_name = loader, config_name
        paths = [Path(str(source.path).removeprefix("file://")) for source in loader.get_search_path().get_path()]
        self.folders = [CONF, *(path for path in paths if path != CONF and path.is_dir())]
        self._composed: dict[tuple[str, ...], tuple[DictConfig, DictConfig]] = {}
        self.remembers = False  # whether a job asked for again is the same object
        self._jobs: dict[tuple[str, ...], Job] = {}

    @cached_property
    def groups(self) -> dict[str, list[str]]:
        """Each group's options, the user's own included."""
        names = [name for name in self.loader.list_groups("") if name not in ("hydra", "schema")]
        return {name: self.loader.get_group_options(name) for name in names}

    def job(self, words: Sequence[str]) -> Job:
        """The job of one command line's overrides. Raises ConfigError with all that is wrong."""
        if tuple(words) in self._jobs:
            return self._jobs[tuple(words)]
        cfg, hydra, problems = self.compose(words)
        try:
            job = make_job(cfg, [word for word in words if not _is_hydras(word)], hydra)
        except ConfigError as error:
            problems += str(error).splitlines()
        if problems:
            raise ConfigError("\n".join(dict.fromkeys(problems)))
        if self.remembers:
            self._jobs[tuple(words)] = job
        return job

    def jobs(self, words: Sequence[str], multirun: bool) -> list[Job]:
        """The jobs of a command line: one, or those of a sweep.

        A sweep's jobs are composed as Hydra will: it adds the mode to its own overrides.

        A sweep of another sweeper than Hydra's basic one cannot be foreseen: then only what all jobs share is checked.

        Raises ConfigError with all that is wrong in any of them.
        """
        overrides, problems = read(words, self.groups)
        wrong = override_errors.of_sweeps(overrides, multirun, self.loader.get_group_options("hydra/launcher"))
        overrides, problems = [text for text in overrides if text not in wrong], [*problems, *wrong.values()]
        if multirun:
            overrides = [*overrides, "hydra.mode=MULTIRUN"]
        fixed = [text for text in overrides if not parse(text).is_sweep_override()]
        try:
            hydra = self.compose(fixed)[1]
        except ConfigError:
            # Says the same, and what else is wrong.
            return self.all(
                [fixed if multirun else [word for word in words if word not in wrong]], problems if wrong else ()
            )
        if not multirun and hydra.mode != RunMode.MULTIRUN:
            return self.all([[word for word in words if word not in wrong]], list(wrong.values()))
        combinations = [fixed]
        if hydra.sweeper._target_.endswith(("BasicSweeper", "GridSweeper")):
            swept = [f"{key}={value}" for key, value in (hydra.sweeper.params or {}).items()]
            try:
                combinations = grid([*swept, *overrides], self.loader)
            except ConfigError as error:
                problems += str(error).splitlines()  # and what else is wrong is said with it
        return self.all(combinations, problems)

    def all(self, combinations: Sequence[Sequence[str]], problems: Sequence[str] = ()) -> list[Job]:
        """The jobs of many overrides. Raises ConfigError with all that is wrong in any of them, and with `problems`."""
        jobs, found = [], Counter(problems)
        for words in progress(combinations, "checking"):
            try:
                jobs.append(self.job(words))
            except ConfigError as error:
                found.update(str(error).splitlines())
        if found:
            total = len(combinations)
            raise ConfigError(
                "\n".join(
                    problem if count == total or problem in problems else f"{problem} ({count} of {total} runs)"
                    for problem, count in found.items()
                )
            )
        return jobs

    def compose(self, words: Sequence[str]) -> tuple[DictConfig, DictConfig, list[str]]:
        """What Hydra composes of the overrides that fit, its own node, and a problem for each other override.

        Raises ConfigError where not even the choice of groups can be composed.
        """
        overrides, problems = read(words, self.groups)
        choices: dict[str, str] = {}
        values: list[Override] = []
        for text in overrides:
            override = parse(text)
            key = override.key_or_group
            if override.is_sweep_override():
                problems.append(override_errors.sweep(override))
            elif override.package is not None:
                problems.append(f"{text}: packages are not used here; type {key}={text.partition('=')[2]}")
            elif key in self.groups and not isinstance(override.value(), dict):
                if (problem := override_errors.choice(override, self.groups)) is not None:
                    problems.append(problem)
                else:
                    choices[key] = text
            elif _is_hydras(text):
                choices[text] = text
            else:
                values.append(override)
        try:
            whole, hydra = self._of_groups(tuple(choices.values()))
        except ConfigError as error:
            # What does not depend on the files that cannot be composed is said all the same.
            problems += [*str(error).splitlines(), *override_errors.elsewhere(values)]
            raise ConfigError("\n".join(problems)) from error
        cfg = copy.deepcopy(whole)
        for override in values:
            if override.is_delete() and not override.key_or_group.startswith("augmentation."):
                problems.append(f"{override.input_line}: only steps of an augmentation can be dropped")
                continue
            try:
                ConfigLoaderImpl._apply_overrides_to_config([override], cfg)
            except (HydraException, OmegaConfBaseException, ValueError, TypeError, AttributeError) as error:
                problems.append(override_errors.value(override, error, cfg, hydra.runtime.choices, self.groups))
        return cfg, hydra, problems

    def _of_groups(self, chosen: tuple[str, ...]) -> tuple[DictConfig, DictConfig]:
        """What Hydra composes of a choice of groups, and its own node, which no value changes. Raises ConfigError."""
        if chosen not in self._composed:
            try:
                cfg = self.loader.load_configuration(self.config_name, list(chosen), RunMode.RUN)
            except (HydraException, OmegaConfBaseException, YAMLError, OSError, ValueError, RecursionError) as error:
                raise ConfigError(file_errors.explain_file_error(error, chosen, self.folders, self.groups)) from error
            refused = list(override_errors.code(cfg.hydra))
            if cfg.hydra.job.chdir:
                refused.append("hydra.job.chdir=true: paths are what you typed, from where you are; leave it out")
            if refused:
                raise ConfigError("\n".join(refused))
            hydra = cfg.hydra
            with open_dict(cfg):
                del cfg["hydra"]
            self._composed[chosen] = cfg, hydra
        return self._composed[chosen]


def _is_hydras(word: str) -> bool:
    return word.lstrip("+~").startswith(("hydra.", "hydra/", "hydra=", "hydra@"))


def _values(override: Override) -> int:
    """How many values a sweep tries; so many are counted that they are too many."""
    try:
        return sum(1 for _ in islice(override.sweep_iterator(), MAX_RUNS + 1))
    except ValueError:  # a range whose steps are 0
        return 0


def grid(words: Sequence[str], loader: ConfigLoader) -> list[list[str]]:
    """The overrides of each job of a sweep, as Hydra's basic sweeper combines them.

    Raises ConfigError for what cannot be combined.
    """
    parser = OverridesParser.create(config_loader=loader)
    hydras, overrides, problems, count = [], [], [], 1
    for word in words:
        [override] = parser.parse_overrides([word])
        if _is_hydras(word):
            hydras.append(word)
        elif override.is_sweep_override() and not override.is_discrete_sweep():
            key = override.key_or_group
            problems.append(f"{word}: the basic sweeper takes no intervals; list values, such as {key}=1,2")
        else:
            overrides.append(override)
            if override.is_sweep_override():
                own = _values(override)
                if own == 0:
                    problems.append(f"{word}: makes no runs, since it has no values")
                count *= own or 1
            if count > MAX_RUNS:
                problems.append(f"{word}: makes more than {MAX_RUNS:,} runs; sweep over less at once")
                break
    if problems:
        raise ConfigError("\n".join(problems))
    [combinations] = BasicSweeper.split_arguments(overrides, max_batch_size=None)
    return [[*hydras, *combination] for combination in combinations]
