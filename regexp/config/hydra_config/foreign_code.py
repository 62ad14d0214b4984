"""Keys of Hydra's own configuration that would run code from outside Hydra."""

import re
from collections.abc import Iterator
from typing import Any

from omegaconf import DictConfig, OmegaConf

# Modules whose classes Hydra may instantiate by name: its own, and plugins, which Hydra finds in their own namespace.
_HYDRA_MODULES = ("hydra._internal.core_plugins.", "hydra_plugins.")
_ALLOWED_STREAMS = ("ext://sys.stdout", "ext://sys.stderr")


def find_foreign_code(hydra: Any, key: str = "hydra") -> Iterator[str]:
    """Yield a problem for each key of Hydra's own configuration that would run code from outside Hydra.

    Such keys hold callbacks, factories and other targets. The message says to remove them.

    Args:
        hydra: Hydra's own configuration, or a node of it.
        key: the dotted key of that node.
    """
    container = OmegaConf.to_container(hydra, resolve=False) if isinstance(hydra, DictConfig) else hydra
    if isinstance(container, dict):
        for name, entry in container.items():
            entry_key = f"{key}.{name!s}"
            if name == "callbacks" and key == "hydra" and entry:
                yield f"{entry_key}: callbacks run code, which a configuration must not do; remove them"
            elif name in ("_target_", "()", "class") and not _is_allowed_target(entry_key, str(entry)):
                yield f"{entry_key}={entry}: names code that regexp does not run; remove it"
            else:
                yield from find_foreign_code(entry, entry_key)
    elif isinstance(container, list):
        for i, entry in enumerate(container):
            yield from find_foreign_code(entry, f"{key}[{i}]")
    elif isinstance(container, str) and "ext://" in container and container not in _ALLOWED_STREAMS:
        yield f"{key}={container}: names code that regexp does not run; remove it"


def _is_allowed_target(key: str, target: str) -> bool:
    """Return whether Hydra may instantiate a target at a key of its own configuration."""
    if key.startswith(("hydra.hydra_logging.", "hydra.job_logging.")):
        return re.fullmatch(r"logging\.\w*(Handler|Formatter)|colorlog\.ColoredFormatter", target) is not None
    is_optuna_sampler = key.startswith("hydra.sweeper.") and target.startswith("optuna.samplers.")
    return is_optuna_sampler or target.startswith(_HYDRA_MODULES)
