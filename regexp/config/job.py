"""A job: a checked configuration, and the files that record it in the run's .hydra directory."""

import copy
import textwrap
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

from omegaconf import DictConfig, OmegaConf

from regexp.config.cautions import find_cautions
from regexp.config.schema import Config
from regexp.config.validation import validate


@dataclass(frozen=True, eq=False)
class Job:
    """A checked configuration that is ready to train.

    Attributes:
        config: the configuration as typed objects.
        overrides: the overrides, without those of Hydra's own keys.
        warnings: the cautions about the configuration.
        composed_config: the configuration as Hydra composed it.
        hydra: Hydra's own configuration.
    """

    config: Config
    overrides: tuple[str, ...]
    warnings: tuple[str, ...]
    composed_config: DictConfig
    hydra: Any

    def hydra_files(self) -> dict[str, str]:
        """Return the contents of the files in the run's .hydra directory, as YAML by file name."""
        overrides = OmegaConf.to_yaml(list(self.overrides))
        task_overrides = f"task:\n{textwrap.indent(overrides, '    ')}" if self.overrides else "task: []\n"
        return {
            "config.yaml": OmegaConf.to_yaml(self.composed_config),
            "overrides.yaml": overrides,
            "hydra.yaml": _hydra_yaml(self.hydra).replace("task: []\n", task_overrides),
        }


# Hydra's own configuration as YAML, by the configuration's id. The configuration is kept as well, so that no other
# object can get its id.
_hydra_yamls: dict[int, tuple[Any, str]] = {}


def _hydra_yaml(hydra: Any) -> str:
    """Return Hydra's own configuration as YAML, without task overrides, so that the jobs of a sweep can share it."""
    if id(hydra) not in _hydra_yamls:
        node = copy.deepcopy(hydra)
        OmegaConf.set_readonly(node, False)
        node.overrides.task = []
        _hydra_yamls[id(hydra)] = hydra, OmegaConf.to_yaml(OmegaConf.create({"hydra": node}))
    return _hydra_yamls[id(hydra)][1]


def make_job(cfg: DictConfig, overrides: Sequence[str], hydra: Any) -> Job:
    """Return the job of a configuration that Hydra composed.

    Args:
        cfg: the composed configuration, without Hydra's own.
        overrides: the overrides, without those of Hydra's own keys.
        hydra: Hydra's own configuration.

    Raises:
        ConfigError: lists every problem of the configuration.
    """
    config = validate(cfg)
    experiment = hydra.runtime.choices.get("experiment")
    return Job(config, tuple(overrides), tuple(find_cautions(config, experiment)), cfg, hydra)
