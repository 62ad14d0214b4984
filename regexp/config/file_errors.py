"""What to say of configuration files that Hydra cannot compose: the file, the line or the key, and what to type."""

import re
from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import Any

from hydra.errors import HydraException
from omegaconf import DictConfig, OmegaConf
from omegaconf.errors import OmegaConfBaseException
from yaml import MarkedYAMLError, YAMLError

from regexp.config.keys import closest, find, meant
from regexp.config.overrides import Groups
from regexp.config.validation import convert, did_you_mean, first_line, format_value, wrong_type
from regexp.errors import ConfigError


def explain_file_error(error: BaseException, chosen: Sequence[str], folders: Sequence[Path], groups: Groups) -> str:
    """Why a choice of groups cannot be composed.

    Args:
        error: Hydra's.
        chosen: the overrides that choose, GROUP=OPTION.
        folders: that hold options: ours, then the user's.
        groups: each with its options.
    """
    chain = list(_chain(error))
    for cause in chain:
        if isinstance(cause, MarkedYAMLError) and cause.problem_mark is not None:
            mark = cause.problem_mark
            return f"{mark.name}, line {mark.line + 1}: broken YAML ({cause.problem or cause.context})"
        if isinstance(cause, OSError) and not isinstance(cause, HydraException) and cause.filename is not None:
            return f"{cause.filename} cannot be read: {cause.strerror}"
    if not isinstance(error, HydraException):
        for word in chosen:
            if (file := _file(word.replace("=", "/"), folders)) is not None and (why := _unreadable(file)) is not None:
                return f"{file} {why}"
    said = "\n".join(str(cause) for cause in chain).partition("Config search path:")[0]
    file = _file(name[1], folders) if (name := re.search(r"In '([^']+)'", said)) else None
    if file is not None and not file.is_relative_to(folders[0]) and (problems := list(_misfits(file))):
        return "\n".join(f"{file}: {problem}" for problem in problems)
    where = f"{' '.join(chosen)}: " if file is None or file.is_relative_to(folders[0]) else f"{file}: "
    if "Cannot find primary config" in said:
        return "--config-name: there is no such file in the folder that --config-dir names; leave the flag out"
    if (absent := re.search(r"Could not find '(\w+)/([^']+)'", said)) and absent[1] in groups:
        options = list(groups[absent[1]])
        close = closest(absent[2], options)
        suggestion = did_you_mean([close] if close else [])
        return f"{where}{absent[1]}: {absent[2]} is not one of {', '.join(options)}{suggestion}"
    if group := re.search(r"Could not override '/?(\w+)'. No match", said):
        close = closest(group[1], list(groups))
        return f"{where}override /{group[1]}: there is no such group{did_you_mean([close] if close else [])}"
    lines = dict.fromkeys(line.strip().replace("\t", " ") for line in said.splitlines() if line.strip())
    return " ".join(line for line in lines if not re.match(r"(full_key|\w+_type)[:=]", line)) or type(error).__name__


def _chain(error: BaseException | None) -> Iterator[BaseException]:
    while error is not None and not isinstance(error, ConfigError):
        yield error
        error = error.__cause__ or error.__context__


def _file(name: str, folders: Sequence[Path]) -> Path | None:
    """The file of GROUP/OPTION, the user's before ours."""
    files = (folder / f"{name}.yaml" for folder in reversed(folders))
    return next((file for file in files if file.exists()), None)


def _unreadable(file: Path) -> str | None:
    """What is wrong with a file as such."""
    try:
        content = OmegaConf.load(file)
    except (OSError, ValueError, RecursionError, YAMLError, OmegaConfBaseException) as error:
        return f"cannot be read: {first_line(error)}"
    return None if isinstance(content, DictConfig) else "holds no mapping of keys"


def _misfits(file: Path) -> Iterator[str]:
    """The keys of a file that are not there, and the values that they do not take."""
    text = file.read_text()
    prefix = "" if re.search(r"^#\s*@package\s+_global_", text, re.MULTILINE) else f"{file.parent.name}."
    content = OmegaConf.to_container(OmegaConf.load(file), resolve=False)
    if not isinstance(content, dict):
        yield "holds no mapping of keys"
        return
    for key, value in _flat({str(name): value for name, value in content.items() if name != "defaults"}, prefix):
        entry = find(key)
        if key.startswith(("hydra.", "augmentation.")) or key.endswith((".name", ".kind")):
            continue  # looked at elsewhere
        if entry is None:
            remedy = did_you_mean(meant(key)) or "; regexp --help lists all"
            yield f"{key}={format_value(value)}: there is no such key{remedy}"
        elif entry.options and prefix and "defaults" not in content:
            remedy = f"begin the file with defaults: [{entry.options[0]}, _self_], which has this key"
            yield f"{key}={format_value(value)}: {remedy}"
        elif not (isinstance(value, str) and "${" in value) and not convert(value, entry):
            yield wrong_type(key, value, entry)


def _flat(node: dict[Any, Any], prefix: str) -> Iterator[tuple[str, Any]]:
    for name, value in node.items():
        if isinstance(value, dict):
            yield from _flat(value, f"{prefix}{name}.")
        else:
            yield f"{prefix}{name}", value
