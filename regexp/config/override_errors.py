"""What to say of overrides and files that Hydra can read but that do not fit: the key, the value, and what to type."""

import re
import shlex
from collections.abc import Iterator, Mapping, Sequence
from pathlib import Path
from typing import Any

from hydra.core.override_parser.types import Override
from omegaconf import DictConfig, OmegaConf
from omegaconf.errors import ConfigAttributeError, ConfigKeyError, ValidationError

from regexp.config.augmentation_schema import STEPS
from regexp.config.keys import closest, find, meant
from regexp.config.overrides import Groups
from regexp.config.validation import broken_rules, convert, did_you_mean, first_line, wrong_type

# Where Hydra keeps what it instantiates by name, beside plugins, which are found in their own namespace.
_HYDRAS_OWN = ("hydra._internal.core_plugins.", "hydra_plugins.")
_STREAMS = ("ext://sys.stdout", "ext://sys.stderr")


def sweep(override: Override) -> str:
    """Several values where there is one run."""
    text, key = str(override.input_line), override.key_or_group
    entry = find(key)
    single, kind, typed = "", "" if entry is None else entry.kind, _typed(override)
    if kind.startswith("a list") and "(" not in typed:
        single = f", or for one list {shlex.quote(f'{key}=[{typed}]')}"
    if kind.startswith("a number") and re.fullmatch(r"\d+,\d+", typed):
        single = f", or for one number {key}={typed.replace(',', '.')}"
    return f"{text}: several values are a sweep; type regexp -m {shlex.quote(text)}{single}"


def of_sweeps(words: Sequence[str], multirun: bool, launchers: Sequence[str]) -> dict[str, str]:
    """What is wrong with the overrides that sweeps are launched by, by override.

    Args:
        words: all overrides.
        multirun: whether they are a sweep's.
        launchers: that there are.
    """
    parts = [(text, *text.lstrip("+~").partition("=")[::2]) for text in words]
    multirun = multirun or any(key == "hydra.mode" and value == "MULTIRUN" for _, key, value in parts)
    chosen = next((value for _, key, value in reversed(parts) if key == "hydra/launcher"), "cohort")
    wrong = {}
    for text, key, value in parts:
        if not key.startswith(("hydra.launcher.", "hydra/launcher", "hydra.sweeper.", "hydra/sweeper")):
            continue
        if not multirun:
            wrong[text] = f"{text}: is for sweeps; type regexp -m {shlex.quote(text)}"
        elif key == "hydra/launcher" and value not in launchers:
            there = ", ".join(launchers)
            wrong[text] = f"{text}: is one of {there}; others come with packages (joblib: hydra-joblib-launcher)"
        elif key.startswith("hydra.launcher.") and chosen == "cohort" and not key.endswith("._target_"):
            name = key.removeprefix("hydra.launcher.")
            if name not in _OF_LAUNCHER:
                wrong[text] = f"{text}: there is no such key; hydra.launcher has {' and '.join(_OF_LAUNCHER)}"
            elif not re.fullmatch(_OF_LAUNCHER[name][0], value):
                wrong[text] = f"{text}: must be {_OF_LAUNCHER[name][1]}"
    return wrong


# The keys of hydra/launcher=cohort: what their values look like.
_OF_LAUNCHER = {
    "max_runs": (r"0*[1-9]\d*|null", "a whole number of at least 1, or null; for example hydra.launcher.max_runs=16"),
    "dry_run": (r"(?i)true|false", "true or false; for example hydra.launcher.dry_run=true"),
}


def choice(override: Override, groups: Groups) -> str | None:
    """What is wrong with the choice of a group's option; None if nothing is."""
    text, group, value = str(override.input_line), override.key_or_group, override.value()
    options = list(groups[group])
    if override.is_delete():
        instead = f"{group}=none" if "none" in options else f"one of its options, such as {group}={options[0]}"
        return f"{text}: a group is not dropped; choose {instead}"
    if override.is_add() or override.is_force_add():
        return f"{text}: the group is there already; type {text.lstrip('+')}"
    if value is None and group == "experiment":
        return None
    for option in value if isinstance(value, list) else [value]:
        if option is None or option == "":
            return f"{text}: choose one of {', '.join(options)}"
        if str(option) not in options:
            return f"{text}: {group} is one of {', '.join(options)}{_other_option(group, str(option), options)}"
    return None


def _other_option(group: str, option: str, options: list[str]) -> str:
    """What was meant by an option that is not there, as the end of a message."""
    if group == "data" and option.endswith(".npz"):
        return f"; for your own arrays type data=arrays data.path={option}"
    if group == "data" and (set(option) & set("./~") or Path(option).is_dir()):
        return f"; for your own pictures type data=image_folder data.root={option}"
    if group == "device" and (indexed := re.fullmatch(r"(cuda|mps):(\d+)", option)):
        return f"; did you mean device={indexed[1]} device.index={indexed[2]}?"
    if group == "augmentation" and option in STEPS:
        return f"; to add a step type '+augmentation.{option}={{}}'"
    close = closest(option, options)
    return did_you_mean([f"{group}={close}"] if close else [])


def elsewhere(overrides: Sequence[Override]) -> Iterator[str]:
    """What the schema alone says of values: unknown keys, and those of another type."""
    for override in overrides:
        key, entry = override.key_or_group, find(override.key_or_group)
        if override.is_delete() or key.partition(".")[0] == "augmentation":
            continue
        if entry is None:
            yield f"{override.input_line}: there is no such key{did_you_mean(meant(key), '=' + _typed(override))}"
        elif not isinstance(override.value(), dict) and "${" not in _typed(override):
            if not convert(override.value(), entry):
                yield wrong_type(key, override.value(), entry)
            else:
                yield from (f"{key}={_typed(override)}: {why}" for why in broken_rules(override.value(), entry.rule))


def value(override: Override, error: Exception, cfg: DictConfig, chosen: Mapping[str, str], groups: Groups) -> str:
    """Why a key does not take a value, where these options are `chosen`, by group."""
    text, key, cause = str(override.input_line), override.key_or_group, error.__cause__ or error
    entry = find(key)
    if override.is_delete():
        steps = ", ".join(cfg.augmentation) or "none"
        return f"{text}: there is no such step in augmentation={chosen.get('augmentation')}; its steps: {steps}"
    if "An item is already at" in str(error):
        return f"{text}: the key is there already; type {text.lstrip('+')}"
    if isinstance(cause, ValidationError) and entry is not None:
        return wrong_type(key, override.value(), entry)
    within = str(getattr(cause, "full_key", None) or key)
    if isinstance(override.value(), dict) and within != key:
        return f"{text}: {within} is not known or does not fit{did_you_mean(meant(within))}"
    if isinstance(cause, ConfigKeyError | ConfigAttributeError) or entry is None:
        return _missing(override, cfg, chosen, groups)
    return f"{text}: {first_line(cause)}"


def _missing(override: Override, cfg: DictConfig, chosen: Mapping[str, str], groups: Groups) -> str:
    """What to say of a key that is not there."""
    text, key = str(override.input_line), override.key_or_group
    typed = f"={_typed(override)}"
    group, _, rest = key.partition(".")
    option, entry = chosen.get(group), find(key)
    step = rest.partition(".")[0]
    if group == "augmentation" and step in STEPS and step not in cfg.augmentation and (entry or rest == step):
        return f"{text}: augmentation={option} has no step {step}; to add it type +{text.lstrip('+')}"
    if entry is not None and entry.options:
        having = " and ".join(f"{group}={name}" for name in entry.options)
        return f"{text}: {group}={option} has no such key; {having} {'has' if len(entry.options) == 1 else 'have'}"
    words = []
    candidates = meant(key, tuple(groups))
    for word in [word for word in candidates if _at_hand(word, chosen)] or candidates:
        if word in groups:
            close = closest(_typed(override), list(groups[word]))
            words.append(f"{word}={close or _typed(override)}")
        else:
            head, name, *_ = [*word.split("."), ""]
            absent = head == "augmentation" and name not in cfg.augmentation
            words.append(f"{'+' if absent else ''}{word}{typed}")
    return f"{text}: there is no such key{did_you_mean(words) or '; regexp --help lists all'}"


def _at_hand(name: str, chosen: Mapping[str, str]) -> bool:
    """Whether the options chosen have a key, or could have it by adding a step."""
    entry = find(name)
    return entry is None or not entry.options or chosen.get(name.partition(".")[0]) in entry.options


def _typed(override: Override) -> str:
    return str(override.input_line).partition("=")[2]


def code(hydra: Any, key: str = "hydra") -> Iterator[str]:
    """What of Hydra's own configuration would run code of someone else's: callbacks, factories, other targets."""
    container = OmegaConf.to_container(hydra, resolve=False) if isinstance(hydra, DictConfig) else hydra
    if isinstance(container, dict):
        for word, entry in container.items():
            here = f"{key}.{word!s}"
            if word == "callbacks" and key == "hydra" and entry:
                yield f"{here}: callbacks are code, and a configuration of regexp holds none; remove it"
            elif word in ("_target_", "()", "class") and not _allowed(here, str(entry)):
                yield f"{here}={entry}: names code that regexp does not run; remove it"
            else:
                yield from code(entry, here)
    elif isinstance(container, list):
        for i, entry in enumerate(container):
            yield from code(entry, f"{key}[{i}]")
    elif isinstance(container, str) and "ext://" in container and container not in _STREAMS:
        yield f"{key}={container}: names code that regexp does not run; remove it"


def _allowed(key: str, target: str) -> bool:
    if key.startswith(("hydra.hydra_logging.", "hydra.job_logging.")):
        return re.fullmatch(r"logging\.\w*(Handler|Formatter)|colorlog\.ColoredFormatter", target) is not None
    of_a_sampler = key.startswith("hydra.sweeper.") and target.startswith("optuna.samplers.")
    return of_a_sampler or target.startswith(_HYDRAS_OWN)
