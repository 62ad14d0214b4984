"""From overrides to a checked configuration, before torch is imported."""

import difflib
import math
import re
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass, fields, is_dataclass
from pathlib import Path
from typing import Any

from hydra import compose, initialize_config_dir
from hydra.core.config_store import ConfigStore
from hydra.core.global_hydra import GlobalHydra
from hydra.errors import HydraException
from omegaconf import DictConfig, OmegaConf
from omegaconf.errors import OmegaConfBaseException
from yaml import YAMLError

from regexp.config import OPTIONS, Config
from regexp.errors import ConfigError
from regexp.fields import leaves
from regexp.steps import STEPS

_PACKAGE = Path(__file__).resolve().parent
# Beside the package in a checkout, inside it in a wheel.
CONF = next(path for path in (_PACKAGE / "conf", _PACKAGE.parent / "conf") if path.is_dir())

HYDRA_VERSION = "1.3"


@dataclass(frozen=True)
class Job:
    """One checked configuration.

    Attributes:
        overrides: what the user changed.
        documents: what goes into the run's .hydra folder: YAML by file name.
    """

    config: Config
    overrides: tuple[str, ...]
    documents: Mapping[str, str]


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
    if isinstance(overrides, str):
        raise ConfigError(f'{overrides!r}: overrides are a list of strings, such as ["seed=1"]')
    for override in overrides:
        if override.lstrip("+~").startswith("hydra"):
            raise ConfigError(f"{override}: only the command line reads Hydra's own keys")
    refuse_null_groups(overrides)
    register_schema()
    outer = GlobalHydra.instance().hydra  # the caller may be a Hydra program
    GlobalHydra.instance().clear()
    try:
        with initialize_config_dir(str(CONF), version_base=HYDRA_VERSION):
            return make_job(compose("config", overrides=list(overrides)), overrides)
    except (HydraException, OmegaConfBaseException, YAMLError) as error:
        raise ConfigError(explain(error)) from error
    finally:
        GlobalHydra.instance().hydra = outer


def refuse_null_groups(overrides: Sequence[str]) -> None:
    """Raises ConfigError for a group without an option, at which Hydra would only say that something is None."""
    for override in overrides:
        group, _, option = override.partition("=")
        options = sorted(file.stem for file in (CONF / group).glob("*.yaml")) if group.isidentifier() else []
        if options and option in ("null", "") and "=" in override and group != "experiment":
            raise ConfigError(f"{override}: choose one of {', '.join(options)}")


def make_job(cfg: DictConfig, overrides: Sequence[str], hydra: Any = None) -> Job:
    """The job of a composed configuration, and of Hydra's own where there is one. Raises ConfigError as `check`."""
    documents = {"config.yaml": OmegaConf.to_yaml(cfg), "overrides.yaml": OmegaConf.to_yaml(list(overrides))}
    if hydra is not None:
        documents["hydra.yaml"] = OmegaConf.to_yaml(OmegaConf.create({"hydra": hydra}))
    return Job(check(cfg), tuple(overrides), documents)


def explain(error: BaseException) -> str:
    """What Hydra or OmegaConf object to, without their internals."""
    lines = [str(error).strip()]
    cause = error.__cause__
    if cause is not None and str(cause).strip() not in lines[0]:
        lines.append(str(cause).strip())
    text = "\n".join(lines)
    return "\n".join(line for line in text.splitlines() if not re.match(r"\s*(full_key|\w+_type)[:=]", line))


def check(cfg: DictConfig) -> Config:
    """The typed configuration of a composed one, augmentation steps included.

    Raises ConfigError that lists every problem, one a line: key, value, rule, and what to type.
    """
    try:
        config = OmegaConf.to_object(cfg)
    except OmegaConfBaseException as error:
        raise ConfigError(explain(error)) from error
    assert isinstance(config, Config)
    problems = [f"{key}: there is no such key{did_you_mean(key)}" for key in unknown(cfg, config)]
    steps = {}
    for name, given in config.augmentation.items():
        if name not in STEPS:
            problems.append(f"augmentation.{name}: there is no such step; there are {', '.join(STEPS)}")
            continue
        try:
            if not isinstance(given, dict):
                raise ValueError(f"{show(given)} holds no keys; drop a step with ~augmentation.{name}")
            steps[name] = OmegaConf.to_object(OmegaConf.merge(STEPS[name], given))
        except (OmegaConfBaseException, ValueError) as error:
            problems.append(f"augmentation.{name}: {explain(error)}")
    config.augmentation = steps
    for key, value, rule in leaves(config):
        problems += [f"{key}={show(value)}: {why}; for example {example(key, rule)}" for why in broken(value, rule)]
    if not problems:
        problems += combinations(config)
    if problems:
        raise ConfigError("\n".join(problems))
    return config


def unknown(cfg: DictConfig, schema: Any, prefix: str = "") -> Iterator[str]:
    """Dotted keys that a configuration has and its schema has not: `+key=value` adds them unasked."""
    known = {item.name for item in fields(schema)}
    for name, value in ((str(name), value) for name, value in cfg.items()):
        if name not in known:
            yield f"{prefix}{name}"
        elif is_dataclass(getattr(schema, name)):
            yield from unknown(value, getattr(schema, name), f"{prefix}{name}.")


def did_you_mean(key: str) -> str:
    """The known key that looks most like this one, as the end of a message."""
    close = difflib.get_close_matches(key, [known for known, _, _ in leaves(Config())], n=1)
    return f"; did you mean {close[0]}?" if close else ""


_RULES: dict[str, tuple[Callable[[Any, Any], bool], str]] = {
    "at_least": (lambda value, bound: value >= bound, "must be at least"),
    "above": (lambda value, bound: value > bound, "must be above"),
    "at_most": (lambda value, bound: value <= bound, "must be at most"),
    "below": (lambda value, bound: value < bound, "must be below"),
    "choices": (lambda value, bound: value in bound, "must be one of"),
    "pattern": (lambda value, bound: re.fullmatch(bound, value) is not None, "must match"),
    "length": (lambda value, bound: len(value) == bound, "needs this many entries:"),
}


def broken(value: Any, rule: dict[str, Any]) -> Iterator[str]:
    """The rules in a field's metadata that a value breaks."""
    if value is None:
        return
    entries = value if isinstance(value, list) else [value]
    if isinstance(value, list) and any(isinstance(entry, list | dict) for entry in value):
        yield "must be a flat list"
        return
    if any(isinstance(entry, float) and not math.isfinite(entry) for entry in entries):
        yield "must be finite"
        return
    for name, bound in rule.items():
        each = name.startswith("each_")
        judge, words = _RULES.get(name.removeprefix("each_"), (None, ""))
        if judge is not None and not all(judge(entry, bound) for entry in (value if each else [value])):
            yield f"{'every entry ' if each else ''}{words} {show(bound)}"


def combinations(config: Config) -> Iterator[str]:
    """Problems that no single key has."""
    if config.batch_size == 1 and config.normalization.name == "batch":
        yield "batch_size=1 with normalization=batch: a batch of one has no variance; use batch_size=2 or more"
    if config.device.kind == "mps" and config.device.precision == "float64":
        yield "device=mps with device.precision=float64: mps has no float64; use device=cpu"
    for group in ("data", "normalization", "optimizer", "schedule"):
        node = getattr(config, group)
        if OPTIONS[group].get(node.name) is not type(node):
            yield f"{group}.name={node.name}: its keys are those of another option; choose it with {group}={node.name}"
    optimizer, schedule = config.optimizer, config.schedule
    if getattr(optimizer, "nesterov", False) and getattr(optimizer, "momentum", 0) == 0:
        yield "optimizer.nesterov=true with optimizer.momentum=0: needs a momentum; use optimizer.momentum=0.9"
    if getattr(schedule, "warmup_epochs", 0) >= config.epochs:
        yield f"schedule.warmup_epochs={show(schedule.warmup_epochs)}: must be below epochs={config.epochs}"  # type: ignore[attr-defined]
    affine = config.augmentation.get("affine")
    if affine is not None and affine.scale[0] > affine.scale[1]:
        yield f"augmentation.affine.scale={show(affine.scale)}: the smallest factor comes first"


def show(value: Any) -> str:
    """A value as one would type it in an override."""
    if isinstance(value, list | tuple):
        return f"[{','.join(show(entry) for entry in value)}]"
    if value is None or isinstance(value, bool):
        return {None: "null", True: "true", False: "false"}[value]
    return f"{value:.10g}" if isinstance(value, float) else str(value)


def example(key: str, rule: dict[str, Any]) -> str:
    """An override that would be accepted."""
    return f"{key}={show(rule['default'])}"
