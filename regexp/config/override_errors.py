"""Messages about overrides that Hydra can read but that do not fit: the key, the value, and what to type instead."""

import re
from collections.abc import Iterator, Mapping, Sequence
from pathlib import Path
from typing import Any

from hydra.core.override_parser.types import Override
from omegaconf import DictConfig, OmegaConf
from omegaconf.errors import ConfigAttributeError, ConfigKeyError, ValidationError

from regexp.config.augmentation_schema import STEPS
from regexp.config.constraints import can_convert, describe_wrong_type, find_violations
from regexp.config.keys import closest_match, find_key, suggest_keys
from regexp.config.overrides import Groups
from regexp.utils.messages import did_you_mean, first_line, quote_word

# Modules whose classes Hydra may instantiate by name: its own, and plugins, which Hydra finds in their own namespace.
_HYDRA_MODULES = ("hydra._internal.core_plugins.", "hydra_plugins.")
_ALLOWED_STREAMS = ("ext://sys.stdout", "ext://sys.stderr")


def describe_unexpected_sweep(override: Override) -> str:
    """Return the message for an override with several values on a command line that trains one run."""
    text, name, typed_value = str(override.input_line), override.key_or_group, _typed_value(override)
    key = find_key(name)
    type_description = "" if key is None else key.type_description
    alternative = ""
    if type_description.startswith("a list") and "(" not in typed_value:
        alternative = f", or for one list {quote_word(f'{name}=[{typed_value}]')}"
    if type_description.startswith("a number") and re.fullmatch(r"\d+,\d+", typed_value):
        alternative = f", or for one number {name}={typed_value.replace(',', '.')}"
    return f"{text}: several values make a sweep; type regexp -m {quote_word(text)}{alternative}"


def find_sweep_problems(overrides: Sequence[str], multirun: bool, launchers: Sequence[str]) -> dict[str, str]:
    """Return the problems of the overrides that set Hydra's launcher and sweeper, by override.

    Args:
        overrides: all overrides of a command line.
        multirun: whether the command line has the flag --multirun.
        launchers: the launchers that are installed.
    """
    launcher = "cohort"
    for text in overrides:
        key, _, value = text.lstrip("+~").partition("=")
        if key == "hydra.mode" and value == "MULTIRUN":
            multirun = True
        if key == "hydra/launcher":
            launcher = value
    problems = {}
    for text in overrides:
        key, _, value = text.lstrip("+~").partition("=")
        if not key.startswith(("hydra.launcher.", "hydra/launcher", "hydra.sweeper.", "hydra/sweeper")):
            continue
        if not multirun:
            problems[text] = f"{text}: applies to sweeps only; type regexp -m {quote_word(text)}"
        elif key == "hydra/launcher" and value not in launchers:
            installed = ", ".join(launchers)
            problems[text] = (
                f"{text}: must be one of {installed}; others come with packages (joblib: hydra-joblib-launcher)"
            )
        elif key.startswith("hydra.launcher.") and launcher == "cohort" and not key.endswith("._target_"):
            name = key.removeprefix("hydra.launcher.")
            if name not in _LAUNCHER_KEYS:
                key_names = f"{', '.join(list(_LAUNCHER_KEYS)[:-1])} and {list(_LAUNCHER_KEYS)[-1]}"
                problems[text] = f"{text}: there is no such key; hydra.launcher has {key_names}"
            elif not re.fullmatch(_LAUNCHER_KEYS[name][0], value):
                problems[text] = f"{text}: must be {_LAUNCHER_KEYS[name][1]}"
    return problems


# The keys of hydra/launcher=cohort: the pattern of their values, and its description in messages.
_LAUNCHER_KEYS = {
    "max_runs": (r"0*[1-9]\d*|null", "a whole number of at least 1, or null; for example hydra.launcher.max_runs=16"),
    "workers": (r"0*[1-9]\d{0,3}|auto", "auto or a whole number of at least 1; for example hydra.launcher.workers=2"),
    "dry_run": (r"(?i)true|false", "true or false; for example hydra.launcher.dry_run=true"),
}


def describe_choice_problem(override: Override, groups: Groups) -> str | None:
    """Return the problem of an override that chooses a group's option, or None if there is none.

    Args:
        override: the override, whose key is a group.
        groups: the options of each group.
    """
    text, group, value = str(override.input_line), override.key_or_group, override.value()
    options = list(groups[group])
    if override.is_delete():
        remedy = f"{group}=none" if "none" in options else f"one of its options, such as {group}={options[0]}"
        return f"{text}: a group cannot be dropped; choose {remedy}"
    if override.is_add() or override.is_force_add():
        return f"{text}: the group is already there; type {text.lstrip('+')}"
    if value is None and group == "experiment":
        return None
    for option in value if isinstance(value, list) else [value]:
        if option is None or option == "":
            return f"{text}: choose one of {', '.join(options)}"
        if str(option) not in options:
            suggestion = _suggest_option(group, str(option), options)
            return f"{text}: {group} must be one of {', '.join(options)}{suggestion}"
    return None


def _suggest_option(group: str, option: str, options: list[str]) -> str:
    """Return the end of a message that suggests what to type instead of an option that does not exist."""
    if group == "data" and option.endswith(".npz"):
        return f"; for your own arrays type data=arrays {quote_word(f'data.path={option}')}"
    if group == "data" and (set(option) & set("./~") or Path(option).is_dir()):
        return f"; for your own pictures type data=image_folder {quote_word(f'data.root={option}')}"
    if group == "device" and (indexed := re.fullmatch(r"(cuda|mps):(\d+)", option)):
        return did_you_mean([f"device={indexed[1]} device.index={indexed[2]}"])
    if group == "augmentation" and option in STEPS:
        return f"; to add a step type '+augmentation.{option}={{}}'"
    match = closest_match(option, options)
    return did_you_mean([f"{group}={match}"] if match else [])


def find_schema_problems(overrides: Sequence[Override]) -> Iterator[str]:
    """Yield the problems that the schema alone shows: unknown keys, wrong types and broken constraints."""
    for override in overrides:
        name, typed_value = override.key_or_group, _typed_value(override)
        if override.is_delete() or name.partition(".")[0] == "augmentation":
            continue
        key = find_key(name)
        if key is None:
            suggestion = did_you_mean(suggest_keys(name), "=" + typed_value)
            yield f"{override.input_line}: there is no such key{suggestion}"
        elif not isinstance(override.value(), dict) and "${" not in typed_value and typed_value != "???":
            if not can_convert(override.value(), key):
                yield describe_wrong_type(name, override.value(), key)
            else:
                for violation in find_violations(override.value(), key.metadata):
                    yield f"{name}={typed_value}: {violation}"


def describe_value_problem(
    override: Override, error: Exception, cfg: DictConfig, choices: Mapping[str, str], groups: Groups
) -> str:
    """Return the message for an override whose value Hydra could not set.

    Args:
        override: the override.
        error: the error that Hydra or OmegaConf raised.
        cfg: the configuration in which the value was to be set.
        choices: the chosen option of each group.
        groups: the options of each group.
    """
    text, name, cause = str(override.input_line), override.key_or_group, error.__cause__ or error
    key = find_key(name)
    if override.is_delete():
        steps = ", ".join(cfg.augmentation) or "none"
        return f"{text}: there is no such step in augmentation={choices.get('augmentation')}; its steps: {steps}"
    if "An item is already at" in str(error):
        return f"{text}: the key is already there; type {text.lstrip('+')}"
    if isinstance(cause, ValidationError) and key is not None:
        return describe_wrong_type(name, override.value(), key)
    rejected_key = str(getattr(cause, "full_key", None) or name)
    if isinstance(override.value(), dict) and rejected_key != name:
        suggestion = did_you_mean(suggest_keys(rejected_key))
        return f"{text}: {rejected_key} does not exist or does not take this value{suggestion}"
    if isinstance(cause, ConfigKeyError | ConfigAttributeError) or key is None:
        return _describe_missing_key(override, cfg, choices, groups)
    return f"{text}: {first_line(cause)}"


def _describe_missing_key(override: Override, cfg: DictConfig, choices: Mapping[str, str], groups: Groups) -> str:
    """Return the message for an override whose key does not exist; see `describe_value_problem`."""
    text, name, typed_value = str(override.input_line), override.key_or_group, _typed_value(override)
    group, _, rest = name.partition(".")
    option, key = choices.get(group), find_key(name)
    step = rest.partition(".")[0]
    if group == "augmentation" and step in STEPS and step not in cfg.augmentation and (key or rest == step):
        return f"{text}: augmentation={option} has no step {step}; to add it type +{text.lstrip('+')}"
    if key is not None and key.options:
        options_with_key = " and ".join(f"{group}={candidate}" for candidate in key.options)
        verb = "has" if len(key.options) == 1 else "have"
        return f"{text}: {group}={option} has no such key; {options_with_key} {verb} it"
    suggestions = suggest_keys(name, tuple(groups))
    # Suggest keys that the chosen options have, if there are any among them.
    suggestions = [suggestion for suggestion in suggestions if _is_available(suggestion, choices)] or suggestions
    corrected_overrides = []
    for suggestion in suggestions:
        if suggestion in groups:
            match = closest_match(typed_value, list(groups[suggestion]))
            corrected_overrides.append(f"{suggestion}={match or typed_value}")
        else:
            suggested_group, _, suggested_rest = suggestion.partition(".")
            suggested_step = suggested_rest.partition(".")[0]
            is_missing_step = suggested_group == "augmentation" and suggested_step not in cfg.augmentation
            corrected_overrides.append(f"{'+' if is_missing_step else ''}{suggestion}={typed_value}")
    return f"{text}: there is no such key{did_you_mean(corrected_overrides) or '; regexp --help lists all keys'}"


def _is_available(name: str, choices: Mapping[str, str]) -> bool:
    """Return whether the chosen options have a key, or would have it with one more augmentation step."""
    key = find_key(name)
    return key is None or not key.options or choices.get(name.partition(".")[0]) in key.options


def _typed_value(override: Override) -> str:
    return str(override.input_line).partition("=")[2]


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
