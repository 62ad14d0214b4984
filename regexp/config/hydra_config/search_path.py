"""The directories in which options are searched for: regexp's own, --config-dir, and hydra.searchpath."""

import copy
from collections.abc import Sequence
from functools import cached_property
from pathlib import Path
from typing import Any

from hydra._internal.config_loader_impl import ConfigLoaderImpl
from hydra._internal.utils import create_config_search_path
from hydra.core.config_search_path import SearchPathQuery
from hydra.core.object_type import ObjectType
from omegaconf import OmegaConf

from regexp.config.words.homes import expand_home
from regexp.config.words.hydra_words import make_hydra_word
from regexp.config.words.parsing import is_readable, parse_override
from regexp.config.words.yaml_files import typed_files
from regexp.errors import ConfigError

_PACKAGE = Path(__file__).resolve().parents[2]
# The directory is beside the package in a checkout, and inside the package in a wheel.
CONF = next(path for path in (_PACKAGE / "conf", _PACKAGE.parent / "conf") if path.is_dir())

_SEARCH_PATH = "hydra.searchpath"


class Options:
    """The options that can be chosen, and the directories that hold them.

    Attributes:
        loader: Hydra's loader, which finds them.
    """

    def __init__(self, loader: ConfigLoaderImpl) -> None:
        self.loader = loader

    @cached_property
    def groups(self) -> dict[str, list[str]]:
        """The options of each group, the user's own included."""
        groups = list_groups(self.loader).items()
        return {name: options for name, options in groups if name not in ("hydra", "schema")}

    @cached_property
    def hydra_groups(self) -> dict[str, list[str]]:
        """The options of each of Hydra's own groups, such as launcher."""
        return list_groups(self.loader, "hydra/")

    @cached_property
    def directories(self) -> list[Path]:
        """The directories that hold options: regexp's own, then the user's."""
        return [CONF, *(path for path in self._search_path() if path != CONF and path.is_dir())]

    def find_file(self, group: str, option: str) -> Path | None:
        """Return the file of an option; None where it is inside a Python package."""
        files = [path / group / f"{option}.yaml" for path in self._search_path()]
        return next((file for file in files if file.is_file()), None)

    def _search_path(self) -> list[Path]:
        """Return where Hydra looks for options, in its order: the first that has an option is taken."""
        return [Path(str(source.path).removeprefix("file://")) for source in self.loader.get_search_path().get_path()]


def make_loader(config_dir: str | None) -> ConfigLoaderImpl:
    """Return Hydra's loader for regexp's configuration, extended with the user's own options.

    Args:
        config_dir: the directory that holds the user's own options, or None.

    Raises:
        ConfigError: the directory does not exist or holds .yml files, which Hydra does not read.
    """
    search_path = create_config_search_path(str(CONF))
    if config_dir is not None:
        directory = expand_home(config_dir).absolute()
        check_options_directory(directory, f"--config-dir {config_dir}")
        search_path.prepend("command-line", f"file://{directory}", SearchPathQuery(provider="schema"))
    with typed_files():
        return ConfigLoaderImpl(search_path)


def check_options_directory(directory: Path, typed: str) -> None:
    """Raise ConfigError if a directory of options does not exist, or holds .yml files, which Hydra does not read."""
    if not directory.is_dir():
        raise ConfigError(f"{typed}: there is no such directory")
    if yml_files := sorted(directory.rglob("*.yml")):
        raise ConfigError(f"{yml_files[0]}: Hydra reads .yaml files only; rename it to {yml_files[0].stem}.yaml")


def list_groups(loader: ConfigLoaderImpl, parent: str = "") -> dict[str, list[str]]:
    """Return the options of each group by its name.

    Args:
        loader: Hydra's loader.
        parent: "" for all groups at the top, or "hydra/" for Hydra's own.
    """
    # The loader's methods give the same, but copy all sources for each group.
    repository = loader.repository
    names = list(repository.get_group_options(parent.rstrip("/"), ObjectType.GROUP))
    if parent:  # Hydra's own groups may hold others, such as hydra/sweeper/sampler
        names += [
            f"{name}/{inner}"
            for name in names
            for inner in repository.get_group_options(f"{parent}{name}", ObjectType.GROUP)
        ]
    return {name: repository.get_group_options(parent + name, ObjectType.CONFIG) for name in names}


def _find_typed_value(words: Sequence[str]) -> Any:
    """Return the value of hydra.searchpath among the words of a command line, or None."""
    for word in words:  # Hydra takes the first
        if word.lstrip("+").startswith(f"{_SEARCH_PATH}=") and is_readable(text := make_hydra_word(word)):
            return parse_override(text).value()
    return None


def extend_loader(loader: ConfigLoaderImpl, config_name: str, words: Sequence[str]) -> ConfigLoaderImpl:
    """Return a loader that also knows the options below hydra.searchpath, or the same loader where that is empty.

    Hydra itself extends the search path for each configuration that it composes, but not for what it lists.

    Args:
        loader: Hydra's loader.
        config_name: the primary configuration, which may set hydra.searchpath.
        words: the words of the command line, which may set it too.

    Raises:
        ConfigError: the value is not a list of directories that exist.
    """
    paths = _find_typed_value(words)
    if paths is None:
        primary_config = loader.repository.load_config(config_name)
        if primary_config is None:
            return loader
        paths = OmegaConf.select(primary_config.config, _SEARCH_PATH)
        if paths and any(str(path).startswith("pkg://") for path in paths):
            raise ConfigError(f"{_SEARCH_PATH}: a file must not import packages; type {_SEARCH_PATH}=... yourself")
    if not paths:
        return loader
    if isinstance(paths, str) or not all(isinstance(path, str) for path in paths):
        example = paths if isinstance(paths, str) else "DIR"
        raise ConfigError(f"{_SEARCH_PATH}={paths}: must be a list of directories; type {_SEARCH_PATH}=[{example}]")
    search_path = copy.deepcopy(loader.get_search_path())
    schema = search_path.get_path().pop()
    for path in paths:
        search_path.append("hydra.searchpath", path)
    search_path.get_path().append(schema)
    with typed_files():
        extended_loader = ConfigLoaderImpl(search_path)
    _check_sources(extended_loader, paths)
    return extended_loader


def _check_sources(loader: ConfigLoaderImpl, paths: Sequence[str]) -> None:
    """Raise ConfigError if a path of hydra.searchpath cannot be read."""
    for path in paths:
        if "://" not in path or path.startswith("file://"):
            check_options_directory(Path(path.removeprefix("file://")).absolute(), f"{_SEARCH_PATH}=[{path}]")
    for source in loader.get_sources():
        if source.provider == "hydra.searchpath" and not source.available():
            location = f"{source.scheme()}://{source.path}"
            raise ConfigError(f"{_SEARCH_PATH}=[{location}]: cannot be found; DIR, file://DIR and pkg://PACKAGE can")
