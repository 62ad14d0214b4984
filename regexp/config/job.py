"""A checked configuration, and what of it goes into the run's .hydra folder."""

import copy
import textwrap
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

from omegaconf import DictConfig, OmegaConf

from regexp.config.cautions import cautions
from regexp.config.schema import Config
from regexp.config.validation import validate


@dataclass(frozen=True, eq=False)
class Job:
    """One checked configuration.

    Attributes:
        overrides: what the user changed.
        warnings: what is possible but hardly meant.
        composed: the configuration as Hydra composed it, and `hydra`, Hydra's own.
    """

    config: Config
    overrides: tuple[str, ...]
    warnings: tuple[str, ...]
    composed: DictConfig
    hydra: Any

    def documents(self) -> dict[str, str]:
        """What goes into the run's .hydra folder: YAML by file name."""
        overrides = OmegaConf.to_yaml(list(self.overrides))
        own = f"task:\n{textwrap.indent(overrides, '    ')}" if self.overrides else "task: []\n"
        return {
            "config.yaml": OmegaConf.to_yaml(self.composed),
            "overrides.yaml": overrides,
            "hydra.yaml": _hydra_yaml(self.hydra).replace("task: []\n", own),
        }


# By the node's id, and the node, so that no other can get its id.
_hydra_yamls: dict[int, tuple[Any, str]] = {}


def _hydra_yaml(hydra: Any) -> str:
    """Hydra's own node, which the jobs of a sweep share, as YAML with an empty list of overrides."""
    if id(hydra) not in _hydra_yamls:
        node = copy.deepcopy(hydra)
        OmegaConf.set_readonly(node, False)
        node.overrides.task = []
        _hydra_yamls[id(hydra)] = hydra, OmegaConf.to_yaml(OmegaConf.create({"hydra": node}))
    return _hydra_yamls[id(hydra)][1]


def make_job(cfg: DictConfig, overrides: Sequence[str], hydra: Any) -> Job:
    """The job of a configuration that Hydra composed. Raises ConfigError as `check`."""
    config = validate(cfg)
    experiment = hydra.runtime.choices.get("experiment")
    return Job(config, tuple(overrides), tuple(cautions(config, experiment)), cfg, hydra)
