"""Hydra's compositions, kept for later tests: one takes 0.1 s, and a command that is run in a test makes five."""

import copy
import os
from collections import OrderedDict
from collections.abc import Hashable, Iterator, Sequence
from contextlib import contextmanager

import pytest
from hydra import version
from hydra._internal.config_loader_impl import ConfigLoaderImpl
from hydra.core.singleton import Singleton
from hydra.core.utils import JobRuntime
from omegaconf import DictConfig

from regexp.config.hydra_config.search_path import CONF

MAX_COMPOSITIONS = 64
# Overrides with which a configuration depends on other files, or on the environment.
CHANGING_KEYS = ("searchpath", "env_copy")


def identify_composition(loader: ConfigLoaderImpl, overrides: Sequence[str]) -> Hashable | None:
    """Return what a composition depends on, or None where it depends on files or variables that may change."""
    sources = [(type(source), source.scheme(), source.path) for source in loader.repository.get_sources()]
    has_user_options = any(scheme == "file" and path != str(CONF) for _, scheme, path in sources)
    if has_user_options or any(word in text for text in overrides for word in CHANGING_KEYS):
        return None
    job_name = JobRuntime.instance().conf.get("name") if JobRuntime in Singleton._instances else None
    return (*overrides, *sources, job_name, version.getbase())


@contextmanager
def kept_compositions() -> Iterator[None]:
    """Have Hydra compose the same overrides once within the block, unless the user's options are among its sources."""
    compose = ConfigLoaderImpl._load_configuration_impl
    compositions: OrderedDict[Hashable, DictConfig] = OrderedDict()

    def compose_once(
        self: ConfigLoaderImpl, config_name: str | None, overrides: list[str], *modes: object, **named_modes: object
    ) -> DictConfig:
        identity = identify_composition(self, overrides)
        if identity is None:
            return compose(self, config_name, overrides, *modes, **named_modes)
        identity = (config_name, identity, modes, tuple(named_modes.items()))
        if identity not in compositions:
            compositions[identity] = compose(self, config_name, overrides, *modes, **named_modes)
        compositions.move_to_end(identity)
        while len(compositions) > MAX_COMPOSITIONS:
            compositions.popitem(last=False)
        composition = copy.deepcopy(compositions[identity])
        composition.hydra.runtime.cwd = os.getcwd()
        return composition

    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(ConfigLoaderImpl, "_load_configuration_impl", compose_once)
        yield
