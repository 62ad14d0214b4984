"""Messages about configuration files that Hydra cannot compose: the file, the line or key, and what to type instead."""

import re
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from pathlib import Path
from typing import Any

from hydra.core.override_parser.types import Override
from hydra.errors import HydraException
from omegaconf import DictConfig, ListConfig, OmegaConf
from omegaconf.errors import OmegaConfBaseException
from yaml import MarkedYAMLError, YAMLError

from regexp.config.constraints import can_convert, describe_wrong_type
from regexp.config.fields import iterate_fields
from regexp.config.hydra_config.key_rules import describe_value_problem
from regexp.config.keys import closest_match, find_key, suggest_keys
from regexp.config.overrides import Groups
from regexp.config.schema import OPTIONS, make_hydra_schema
from regexp.errors import ConfigError
from regexp.utils.atomic_io import read_text
from regexp.utils.messages import did_you_mean, first_line, format_value, say_where_keys_are

# The keys that an option has without a defaults list.
_BASE_KEYS = {key for key, _, _ in iterate_fields(make_hydra_schema())}
_NOT_A_MAPPING = "does not contain a mapping of keys"


def describe_file_error(
    error: BaseException, choices: Sequence[str], directories: Sequence[Path], groups: Groups
) -> str:
    """Return the message for a choice of groups that Hydra cannot compose.

    Args:
        error: the error that Hydra raised.
        choices: the overrides that choose options, each GROUP=OPTION.
        directories: the directories that hold options: regexp's own, then the user's.
        groups: the options of each group.
    """
    causes = list(_iterate_causes(error))
    for cause in causes:
        if isinstance(cause, MarkedYAMLError) and cause.problem_mark is not None:
            mark = cause.problem_mark
            return f"{mark.name}, line {mark.line + 1}: broken YAML ({cause.problem or cause.context})"
        if isinstance(cause, UnicodeError):
            return str(cause)
        if isinstance(cause, OSError) and not isinstance(cause, HydraException) and cause.filename is not None:
            return f"{cause.filename} cannot be read: {cause.strerror}"
    if not isinstance(error, HydraException):
        for choice in choices:
            file = _find_option_file(choice.replace("=", "/"), directories)
            if file is not None and (problem := _describe_unreadable_file(file)) is not None:
                return f"{file} {problem}"
    text = "\n".join(str(cause) for cause in causes).partition("Config search path:")[0]
    option_name = re.search(r"In '([^']+)'", text)
    file = None if option_name is None else _find_option_file(option_name[1], directories)
    is_users_file = file is not None and not file.is_relative_to(directories[0])
    if file is not None and is_users_file and (problems := list(_find_file_problems(file))):
        return "\n".join(f"{file}: {problem}" for problem in problems)
    if file is not None and is_users_file and (problem := _describe_hydra_problem(file, text)) is not None:
        return f"{file}: {problem}"
    place = f"{file}" if is_users_file else " ".join(choices)
    if "Cannot find primary config" in text:
        return "--config-name: there is no such file in the directory that --config-dir names; leave the flag out"
    if (missing_option := re.search(r"Could not find '(\w+)/([^']+)'", text)) and missing_option[1] in groups:
        group, option = missing_option.groups()
        match = closest_match(option, list(groups[group]))
        suggestion = did_you_mean([match] if match else [])
        return f"{place}: {group}: {option} is not one of {', '.join(groups[group])}{suggestion}"
    if missing_group := re.search(r"Could not override '/?(\w+)'. No match", text):
        match = closest_match(missing_group[1], list(groups))
        suggestion = did_you_mean([match] if match else [])
        return f"{place}: override /{missing_group[1]}: there is no such group{suggestion}"
    if option_name is not None and (problem := _describe_lacking_key(text, choices)) is not None:
        return f"{file if is_users_file else option_name[1].replace('/', '=')}: {problem}"
    lines = dict.fromkeys(line.strip().replace("\t", " ") for line in text.splitlines() if line.strip())
    return " ".join(line for line in lines if not re.match(r"(full_key|\w+_type)[:=]", line)) or type(error).__name__


def _describe_hydra_problem(file: Path, text: str) -> str | None:
    """Return the message for a file that sets a key of Hydra's own which does not exist, or to what it cannot be.

    Args:
        file: the file.
        text: what Hydra says.

    Returns:
        None for other errors.
    """
    match = re.search(r"full_key: (hydra\.[\w.]+)", text)
    if match is None:
        return None
    key = match[1]
    if key == "hydra.sweeper.params":
        return f"{key}: must be a mapping of keys, each with its values, such as seed: 0,1"
    value = format_value(dict(_list_file_values(file)).get(key))
    problem = next(describe_value_problem(key, value), None) if key.count(".") <= 2 else None
    return None if problem is None else f"{key}={value}: {problem}"


def _describe_lacking_key(text: str, choices: Sequence[str]) -> str | None:
    """Return the message for a file that sets a key which the chosen option of a group lacks; None for other errors.

    Args:
        text: what Hydra says.
        choices: the overrides that choose options, each GROUP=OPTION.
    """
    match = re.search(r"Key '(\w+)' not in '(\w+)'", text)
    if match is None:
        return None
    key, schema_name = match.groups()
    for group, options in OPTIONS.items():
        owners = [f"{group}={option}" for option, schema in options.items() if schema.__name__ == schema_name]
        if owners:
            choice = next((choice for choice in choices if choice in owners), owners[0])
            return f"sets {group}.{key}, and {choice} has no such key; leave one of the two out"
    return None


def _iterate_causes(error: BaseException | None) -> Iterator[BaseException]:
    """Yield an error and the errors that caused it, up to one of regexp's own."""
    while error is not None and not isinstance(error, ConfigError):
        yield error
        error = error.__cause__ or error.__context__


def _find_option_file(name: str, directories: Sequence[Path]) -> Path | None:
    """Return the file of an option GROUP/OPTION, the user's rather than regexp's own, or None."""
    files = (directory / f"{name}.yaml" for directory in reversed(directories))
    return next((file for file in files if file.exists()), None)


def _describe_unreadable_file(file: Path) -> str | None:
    """Return why a file cannot be read as a configuration, or None if it can."""
    try:
        content = OmegaConf.load(file)
    except (OSError, ValueError, RecursionError, YAMLError, OmegaConfBaseException) as error:
        return f"cannot be read: {first_line(error)}"
    return None if isinstance(content, DictConfig) else _NOT_A_MAPPING


def _find_file_problems(file: Path) -> Iterator[str]:
    """Yield a problem for each unknown key and each value of a wrong type in a file."""
    content = OmegaConf.to_container(OmegaConf.load(file), resolve=False)
    if not isinstance(content, dict):
        yield _NOT_A_MAPPING
        return
    is_in_group = not _is_global(file)
    for name, value in _list_file_values(file):
        if name.startswith(("hydra.", "augmentation.")) or name.endswith((".name", ".kind")):
            continue  # checked once the whole configuration is composed
        key = find_key(name)
        assignment = f"{name}={format_value(value)}"
        if key is None:
            remedy = did_you_mean(suggest_keys(name)) or say_where_keys_are()
            yield f"{assignment}: there is no such key{remedy}"
        elif name not in _BASE_KEYS and is_in_group and "defaults" not in content:
            option = (key.options or tuple(OPTIONS[file.parent.name]))[0]
            yield f"{assignment}: begin the file with defaults: [{option}, _self_], an option that has this key"
        elif not (isinstance(value, str) and "${" in value) and not can_convert(value, key):
            yield describe_wrong_type(name, value, key)


def _list_file_values(file: Path) -> Iterator[tuple[str, Any]]:
    """Yield the dotted key, within the whole configuration, and the value of every entry of a file."""
    content = OmegaConf.to_container(OmegaConf.load(file), resolve=False)
    if isinstance(content, dict):
        node = {str(name): value for name, value in content.items() if name != "defaults"}
        yield from _flatten_mapping(node, "" if _is_global(file) else f"{file.parent.name}.")


def _is_global(file: Path) -> bool:
    """Return whether the keys of a file are those of the whole configuration, as in an experiment."""
    return re.search(r"^#\s*@package\s+_global_", read_text(file), re.MULTILINE) is not None


def _flatten_mapping(node: dict[Any, Any], prefix: str) -> Iterator[tuple[str, Any]]:
    """Yield the dotted key and value of every entry of a nested mapping that is not itself a mapping."""
    for name, value in node.items():
        if isinstance(value, dict):
            yield from _flatten_mapping(value, f"{prefix}{name}.")
        else:
            yield f"{prefix}{name}", value


@contextmanager
def problems_with_files(
    overrides: Sequence[Override], choices: Mapping[str, Any], directories: Sequence[Path]
) -> Iterator[None]:
    """Put the user's file that sets a key before each problem of a ConfigError that ends the block.

    Args:
        overrides: the overrides that set values; a problem of one of their keys has no file.
        choices: the chosen options of each group.
        directories: the directories that hold options: regexp's own, then the user's.
    """
    try:
        yield
    except ConfigError as error:
        keys_by_file = _list_keys_of_files(choices, directories)
        typed_keys = [override.key_or_group for override in overrides]
        problems = [_name_file(problem, typed_keys, keys_by_file) for problem in str(error).splitlines()]
        raise ConfigError("\n".join(problems)) from error


def _list_keys_of_files(choices: Mapping[str, Any], directories: Sequence[Path]) -> dict[Path, set[str]]:
    """Return the keys that each of the user's files sets; see `problems_with_files`."""
    keys_by_file: dict[Path, set[str]] = {}
    for group in sorted(choices, key=lambda group: group != "experiment"):  # whose values win over all others
        options = choices[group] if isinstance(choices[group], list | ListConfig) else [choices[group]]
        for option in options:
            file = _find_option_file(f"{group}/{option}", directories)
            if file is not None and not file.is_relative_to(directories[0]):
                keys_by_file[file] = {key for key, _ in _list_file_values(file)}
    return keys_by_file


def _name_file(problem: str, typed_keys: Sequence[str], keys_by_file: Mapping[Path, set[str]]) -> str:
    """Return a problem, with the file that sets its key in front unless the key was typed."""
    key = re.split(r"[=:]", problem, maxsplit=1)[0]
    if any(f"{key}.".startswith(f"{typed_key}.") for typed_key in typed_keys):
        return problem
    for file, keys in keys_by_file.items():
        if any(f"{name}.".startswith(f"{key}.") for name in keys):
            return f"{file}: {problem}"
    return problem
