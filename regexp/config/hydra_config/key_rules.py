"""What becomes of each of Hydra's own keys: it works as Hydra's manual says, or it is refused with a reason."""

import os
import re
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from hydra.core.override_parser.types import Override
from omegaconf import OmegaConf

from regexp.config.executor_registry import list_mapping_prefixes, list_patterns
from regexp.config.hydra_config.search_keys import SEARCH_KEYS, describe_search_problem
from regexp.config.keys import closest_match
from regexp.config.overrides import is_hydra_override
from regexp.config.words.hydra_words import read_element
from regexp.config.words.parsing import parse_override
from regexp.utils.messages import did_you_mean, format_value, quote_word


@dataclass(frozen=True)
class KeyRule:
    """What becomes of a key of Hydra's, and of all keys below it.

    Attributes:
        run: whether it has its effect on a single run.
        sweep: whether it has its effect on a sweep.
        reason: the end of the message where it has none; VALUE in it stands for what was typed.
    """

    run: bool = True
    sweep: bool = True
    reason: str = ""


_WORKS = KeyRule()
_SWEEPS_ONLY = KeyRule(run=False, reason="applies to sweeps only; type regexp -m KEY=VALUE")
_SET_BY_HYDRA = KeyRule(False, False, "Hydra sets this key; leave it out")
_HELP = KeyRule(False, False, "changes no help but that of --hydra-help, and trains nothing; leave it out")

# All keys of Hydra's configuration; tests/config/test_hydra_keys.py compares them with those that Hydra has.
KEY_RULES: Mapping[str, KeyRule] = {
    "hydra.defaults": KeyRule(False, False, "a defaults list belongs into a file; leave it out"),
    "hydra.mode": _WORKS,
    "hydra.searchpath": _WORKS,
    "hydra.run.dir": KeyRule(sweep=False, reason="is for single runs; type hydra.sweep.dir=VALUE"),
    "hydra.sweep.dir": KeyRule(run=False, reason="is for sweeps (-m); type hydra.run.dir=VALUE"),
    "hydra.sweep.subdir": KeyRule(
        False, False, "regexp names the folder of each run, to find it again; choose hydra.sweep.dir=DIR or name=NAME"
    ),
    "hydra.hydra_logging": _WORKS,
    "hydra.job_logging": _WORKS,
    "hydra.sweeper": _SWEEPS_ONLY,
    "hydra.launcher": _SWEEPS_ONLY,
    "hydra.callbacks": KeyRule(False, False, "callbacks run code, which a configuration must not do; leave it out"),
    "hydra.help": KeyRule(False, False, "regexp --help has a text of its own; leave it out"),
    "hydra.hydra_help": _HELP,
    "hydra.output_subdir": KeyRule(
        False, False, "regexp writes .hydra/ into the folder of each run, to resume it; leave it out"
    ),
    "hydra.overrides.hydra": _SET_BY_HYDRA,
    "hydra.overrides.task": _SET_BY_HYDRA,
    "hydra.job.name": _WORKS,
    "hydra.job.chdir": _WORKS,  # false works, and the composed configuration is checked for true
    "hydra.job.override_dirname": _SET_BY_HYDRA,
    "hydra.job.id": _SET_BY_HYDRA,
    "hydra.job.num": _SET_BY_HYDRA,
    "hydra.job.config_name": KeyRule(False, False, "type --config-name NAME instead"),
    "hydra.job.env_set": _WORKS,
    "hydra.job.env_copy": _WORKS,
    "hydra.job.config.override_dirname.kv_sep": _WORKS,
    "hydra.job.config.override_dirname.item_sep": _WORKS,
    "hydra.job.config.override_dirname.exclude_keys": _WORKS,
    "hydra.runtime.version": _SET_BY_HYDRA,
    "hydra.runtime.version_base": _SET_BY_HYDRA,
    "hydra.runtime.cwd": _SET_BY_HYDRA,
    "hydra.runtime.config_sources": _SET_BY_HYDRA,
    "hydra.runtime.output_dir": _SET_BY_HYDRA,
    "hydra.runtime.choices": _SET_BY_HYDRA,
    "hydra.verbose": _WORKS,
}

# The groups of Hydra's configuration, GROUP of hydra/GROUP=OPTION.
GROUP_RULES: Mapping[str, KeyRule] = {
    "output": KeyRule(False, False, "regexp has directories of its own; type hydra.run.dir=DIR"),
    "launcher": _SWEEPS_ONLY,
    "sweeper": _SWEEPS_ONLY,
    "sweeper/sampler": _SWEEPS_ONLY,
    "sweeper/pruner": _SWEEPS_ONLY,
    "help": KEY_RULES["hydra.help"],
    "hydra_help": _HELP,
    "hydra_logging": _WORKS,
    "job_logging": _WORKS,
    "callbacks": KEY_RULES["hydra.callbacks"],
    "env": _WORKS,
}

_COUNT = r"0*[1-9]\d*|null"
# The keys of hydra/launcher=cohort and hydra/sweeper=grid, and others: the pattern of values, and its description.
_PATTERNS = {
    "hydra.mode": (r"RUN|MULTIRUN", "RUN or MULTIRUN"),
    "hydra.launcher.max_runs": (
        _COUNT, "a whole number of at least 1, or null; for example hydra.launcher.max_runs=16",
    ),
    "hydra.launcher.workers": (
        r"0*[1-9]\d{0,3}|auto", "auto or a whole number of at least 1; for example hydra.launcher.workers=2",
    ),
    "hydra.launcher.dry_run": (r"(?i)true|false", "true or false; for example hydra.launcher.dry_run=true"),
    **list_patterns(),
    "hydra.sweeper.max_batch_size": (
        _COUNT, "a whole number of at least 1, or null; for example hydra.sweeper.max_batch_size=16",
    ),
    "hydra.sweeper.until": (r"decided|null", "decided or null; for example hydra.sweeper.until=decided"),
    "hydra.sweeper.max_seeds": (
        r"0*([1-9]\d{0,2}|1000)|null", "a whole number from 1 to 1000, or null; for example hydra.sweeper.max_seeds=20",
    ),
    "hydra.sweeper.margin": (
        r"(?=[\d.]*[1-9])(\d+\.?\d*|\.\d+)(e-?\d{1,2})?|null",
        "a number above 0, the difference that does not matter, or null; for example hydra.sweeper.margin=0.2",
    ),
    "hydra.sweeper.params": (r"null|\{.*\}", "a mapping of keys; for example '+hydra.sweeper.params={seed:\"0,1\"}'"),
}  # fmt: skip

# The keys within these are names of the user's.
_USER_MAPPINGS = ("hydra.sweeper.params.", *list_mapping_prefixes())

# What files must leave as it is, since regexp does not follow it.
_FIXED_VALUES = {"hydra.sweep.subdir": ".", "hydra.output_subdir": None, "hydra.job.id": "???", "hydra.job.num": "???"}


def find_hydra_problems(
    overrides: Sequence[str], multirun: bool, groups: Mapping[str, Sequence[str]]
) -> dict[str, str]:
    """Return the problems of the overrides that set Hydra's own configuration, by override.

    Args:
        overrides: all overrides of a command line.
        multirun: whether the command line has the flag --multirun.
        groups: the options of each group of Hydra's, such as "launcher".
    """
    chosen = {"launcher": "cohort", "sweeper": "grid"}
    is_sweep = multirun
    hydra_overrides = {text: parse_override(text) for text in overrides if is_hydra_override(text)}
    for text, override in hydra_overrides.items():
        value = text.partition("=")[2]
        if override.key_or_group == "hydra.mode" and value == "MULTIRUN":
            is_sweep = True
        if override.key_or_group.startswith("hydra/"):
            chosen[override.key_or_group.removeprefix("hydra/")] = value
    problems = {}
    for text, override in hydra_overrides.items():
        if multirun and text.endswith("hydra.mode=RUN"):
            problems[text] = f"{text}: -m asks for a sweep; leave one of the two out"
        elif problem := next(_describe_problems(text, override, is_sweep, chosen, groups), None):
            problems[text] = f"{text}: {problem}"
    return problems


def _describe_problems(
    text: str, override: Override, is_sweep: bool, chosen: Mapping[str, str], groups: Mapping[str, Sequence[str]]
) -> Iterator[str]:
    """Yield what is wrong with an override of Hydra's own configuration; see `find_hydra_problems`."""
    key, value = override.key_or_group, text.partition("=")[2]
    if key == "hydra":
        yield "set one key at a time, such as hydra.run.dir=DIR"
    elif key.startswith("hydra/"):
        yield from _describe_group_problems(override, value, is_sweep, groups)
        if key in ("hydra/sweeper/sampler", "hydra/sweeper/pruner") and is_sweep and chosen["sweeper"] != "optuna":
            yield "belongs to a search; add hydra/sweeper=optuna"
    else:
        yield from _describe_key_problems(override, value, is_sweep, chosen)


def _describe_group_problems(
    override: Override, value: str, is_sweep: bool, groups: Mapping[str, Sequence[str]]
) -> Iterator[str]:
    """Yield what is wrong with an override that chooses an option of Hydra's own; see `find_hydra_problems`."""
    group = override.key_or_group.removeprefix("hydra/")
    options = groups.get(group, ())
    if group not in GROUP_RULES and group not in groups:
        yield f"there is no such group{_suggest(group, list(GROUP_RULES), 'hydra/')}"
    elif reason := _find_reason(GROUP_RULES.get(group, _WORKS), is_sweep, f"hydra/{group}", value):
        yield reason
    elif override.is_sweep_override() or override.is_delete() or (value not in options and value not in ("null", "")):
        hint = "; others come with packages (joblib: hydra-joblib-launcher)" if group == "launcher" else ""
        yield f"must be one of {', '.join(options)}{hint or _suggest(value, options, f'hydra/{group}=')}"


def _describe_key_problems(override: Override, value: str, is_sweep: bool, chosen: Mapping[str, str]) -> Iterator[str]:
    """Yield what is wrong with an override that sets a key of Hydra's own; see `find_hydra_problems`."""
    key = override.key_or_group
    entries = None if override.is_sweep_override() else override.value()
    for name, text in _list_leaves(key, entries, value):
        rule_key = next((rule for rule in KEY_RULES if f"{name}.".startswith(f"{rule}.")), None)
        if rule_key is None and not any(rule.startswith(f"{name}.") for rule in KEY_RULES):
            yield f"there is no such key{_suggest(name, list(KEY_RULES)) or '; regexp --cfg hydra shows them'}"
        elif rule_key and (reason := _find_reason(KEY_RULES[rule_key], is_sweep, name, text)):
            yield reason
    if override.is_delete():
        yield "keys of Hydra's cannot be dropped; leave it out"
    if override.is_sweep_override() and not key.startswith(("hydra.launcher.", "hydra.sweeper.")):
        yield "Hydra's own keys have one value for all runs of a sweep; choose one"
    if key == "hydra.job.env_copy":
        names = override.value()
        missing = [name for name in names if name not in os.environ] if isinstance(names, list) else []
        if missing:
            yield f"there is no environment variable {missing[0]}"
    if key.startswith("hydra.sweeper.params") and chosen["sweeper"] == "basic":
        yield "Hydra's basic sweeper takes these from files only; leave hydra/sweeper=basic out"
    if key == "hydra.mode":
        yield from describe_value_problem(key, value)
    for group, plugin in (("launcher", "cohort"), ("sweeper", "grid")):
        is_own_key = key.startswith(f"hydra.{group}.") and not key.endswith("._target_")
        if is_own_key and chosen[group] == plugin:
            leaves = [(key, value)] if key in _PATTERNS else _list_leaves(key, entries, value)
            for name, text in leaves:
                if not name.startswith(_USER_MAPPINGS):
                    yield from describe_value_problem(name, text)
    if key.startswith("hydra.sweeper.") and chosen["sweeper"] == "optuna" and is_sweep:
        options = {name: chosen[f"sweeper/{name}"] for name in ("sampler", "pruner") if f"sweeper/{name}" in chosen}
        if not key.startswith(("hydra.sweeper.params", "hydra.sweeper._target_")):
            yield from describe_search_problem(key, value, options)


def describe_value_problem(key: str, value: str) -> Iterator[str]:
    """Yield what is wrong with a key of regexp's own launcher or sweeper, or its value as it was typed."""
    prefix = key.rpartition(".")[0] + "."
    if key in SEARCH_KEYS:
        yield "belongs to a search; type -m hydra/sweeper=optuna as well"
    elif key not in _PATTERNS:
        *names, last_name = [name.removeprefix(prefix) for name in _PATTERNS if name.startswith(prefix)]
        yield f"there is no such key; {prefix.rstrip('.')} has {', '.join(names)} and {last_name}"
    elif not re.fullmatch(_PATTERNS[key][0], _read_text(value)):
        yield f"must be {_PATTERNS[key][1]}"


def _find_reason(rule: KeyRule, is_sweep: bool, key: str, value: str) -> str:
    """Return why a key has no effect, or "" if it has one."""
    if rule.sweep if is_sweep else rule.run:
        return ""
    text = _read_text(value)
    return re.sub(r"(\S+)=VALUE", lambda match: quote_word(f"{match[1]}={text}"), rule.reason.replace("KEY", key))


def _read_text(value: str) -> str:
    """Return a value as it was typed, without Hydra's quotes."""
    reading = read_element(value)
    return reading if isinstance(reading, str) else value


def _list_leaves(key: str, value: Any, text: str) -> Iterator[tuple[str, str]]:
    """Yield the dotted keys that an override sets, one or those of a mapping, each with its value as text.

    Args:
        key: the key of the override.
        value: its value.
        text: its value as it was typed.
    """
    # The entries of these are names of the user's.
    if isinstance(value, dict) and value and key not in ("hydra.job.env_set", "hydra.sweeper.params"):
        for name, entry in value.items():
            yield from _list_leaves(f"{key}.{name!s}", entry, format_value(entry))
    else:
        yield key, text


def _suggest(name: str, names: Sequence[str], prefix: str = "") -> str:
    """Return the end of a message that suggests the name most like another one, with a prefix before it."""
    match = closest_match(name, list(names))
    return did_you_mean([prefix + match] if match else [])


def find_fixed_key_problems(hydra: Any) -> Iterator[str]:
    """Yield a problem for each key that a file has set and regexp does not follow.

    Args:
        hydra: Hydra's own configuration, as it was composed.
    """
    for key, fixed_value in _FIXED_VALUES.items():
        value: Any = OmegaConf.to_container(hydra, resolve=False)
        for name in key.split(".")[1:]:
            value = value[name]
        if value != fixed_value:
            reason = KEY_RULES[key].reason
            yield f"{key}={value}: {reason}"
