"""The registry of executors, which hand the cohorts of a sweep to what trains them. Imports no torch.

An entry of EXECUTORS is all that a new executor needs beside its code: `hydra.launcher.executor=NAME` chooses it, its
options are keys below `hydra.launcher.NAME`, and the messages on wrong values, unknown keys and libraries that are not
installed follow from it.
"""

import re
from collections.abc import Iterator, Mapping
from dataclasses import dataclass, field
from importlib.util import find_spec
from typing import Any

from regexp.errors import ConfigError, SetupError
from regexp.utils.messages import format_value

_LAUNCHER = "hydra.launcher"
# The values that several options take, and what messages say of them.
_TEXT = (r"(?s).+|null", "a text, or null")
_FLAG = (r"(?i)true|false", "true or false")
_COUNT = (r"0*[1-9]\d{0,5}", "a whole number of at least 1")
_COUNT_OR_ZERO = (r"\d{1,6}", "a whole number of at least 0")
_FRACTION = (r"\d{1,6}(\.\d*)?|\.\d+", "a number of at least 0")
_POSITIVE = (r"(?=.*[1-9])(\d{1,6}(\.\d*)?|\.\d+)", "a number above 0")


@dataclass(frozen=True)
class ExecutorOption:
    """An option of an executor, a key below hydra.launcher.NAME.

    Attributes:
        default: its value where none is typed.
        values: the pattern of what may be typed, and a description of it.
        example: a value, for messages.
        is_text: whether what is typed is taken letter by letter.
        is_mapping: whether it is a mapping, whose keys are names of the user's.
    """

    default: Any
    values: tuple[str, str]
    example: str
    is_text: bool = False
    is_mapping: bool = False


@dataclass(frozen=True)
class ExecutorEntry:
    """An executor that can be chosen.

    Attributes:
        target: the path, for utils.lazy, of a function (runs, settings, workers, only_plans) that returns an
            execution.executors.executor.Executor.
        library: the library that it needs, which the extra of its name installs; empty if it needs none.
        options: its options.
        find_queued: the path of a function that finds the runs which wait in a queue; see execution.executors.choice.
            Empty where nothing outlives the command.
    """

    target: str
    library: str = ""
    options: Mapping[str, ExecutorOption] = field(default_factory=dict)
    find_queued: str = ""


EXECUTORS: Mapping[str, ExecutorEntry] = {
    "auto": ExecutorEntry("execution.executors.choice.choose_local_executor"),
    "ray": ExecutorEntry(
        "execution.executors.ray_tasks.ray_tasks.RayTasks",
        library="ray",
        options={
            "num_cpus": ExecutorOption(1, _POSITIVE, "2"),
            "num_gpus": ExecutorOption(0, _FRACTION, "0.25"),
            "address": ExecutorOption(None, _TEXT, "auto", is_text=True),
            "fetch": ExecutorOption(False, _FLAG, "true"),
        },
    ),
    "slurm": ExecutorEntry(
        "execution.executors.slurm.slurm_jobs.SlurmJobs",
        library="submitit",
        options={
            "partition": ExecutorOption(None, _TEXT, "gpu", is_text=True),
            "time": ExecutorOption(
                "60",
                (r"\d{1,6}|(\d{1,3}-)?\d{1,4}:\d{2}:\d{2}", "minutes, H:MM:SS or D-HH:MM:SS"),
                "2:00:00",
                is_text=True,
            ),
            "cpus": ExecutorOption(1, _COUNT, "4"),
            "gpus": ExecutorOption(0, _COUNT_OR_ZERO, "1"),
            "grace": ExecutorOption(120, _COUNT, "120"),
            "wait": ExecutorOption(True, _FLAG, "false"),
            "sbatch": ExecutorOption({}, (r"(?s)\{.*\}", "a mapping of sbatch's options"), "{account: NAME}",
                                     is_mapping=True),
        },
        find_queued="execution.executors.slurm.submission.find_queued",
    ),
}  # fmt: skip


@dataclass(frozen=True)
class ExecutorSettings:
    """The executor that a sweep was asked for.

    Attributes:
        name: its name in EXECUTORS.
        options: the values of its options.
    """

    name: str = "auto"
    options: Mapping[str, Any] = field(default_factory=dict)

    @property
    def entry(self) -> ExecutorEntry:
        """The entry of the registry."""
        return EXECUTORS[self.name]

    def refuse_if_missing(self) -> None:
        """Raise SetupError if the library of the executor is not installed."""
        library = self.entry.library
        if library and find_spec(library) is None:
            raise SetupError(
                f"{_LAUNCHER}.executor={self.name} needs {library}, which is not installed; type: uv sync --extra "
                f"{self.name} (or pip install 'regexp[{self.name}]')"
            )


def read_settings(name: str, options: Mapping[str, Mapping[str, Any]]) -> ExecutorSettings:
    """Return the settings of an executor, with the defaults where nothing was set.

    Args:
        name: the name of the executor.
        options: what was set of the options of each executor, by its name.

    Raises:
        ConfigError: there is no such executor or option, or a value does not suit an option.
    """
    problems = []
    patterns = list_patterns()
    values = {f"{_LAUNCHER}.executor": name}
    values |= {f"{_LAUNCHER}.{owner}.{option}": value for owner in options for option, value in options[owner].items()}
    for key, value in values.items():
        if key not in patterns:
            problems.append(f"{key}: there is no such key")
        elif not re.fullmatch(patterns[key][0], format_value(value)):
            problems.append(f"{key}={format_value(value)}: must be {patterns[key][1]}")
    if problems:
        raise ConfigError("\n".join(problems))
    defaults = {option: entry.default for option, entry in EXECUTORS[name].options.items()}
    return ExecutorSettings(name, defaults | dict(options.get(name, {})))


def find_idle_options(name: str, options: Mapping[str, Mapping[str, Any]]) -> Iterator[str]:
    """Yield a warning for each option that was set of an executor other than the chosen one.

    Args:
        name: the name of the chosen executor.
        options: what was set of the options of each executor, by its name.
    """
    for owner in options:
        for option, value in options[owner].items():
            if owner != name and value != EXECUTORS[owner].options[option].default:
                yield (
                    f"{_LAUNCHER}.{owner}.{option}={format_value(value)} has no effect with {_LAUNCHER}.executor={name}"
                )


def list_patterns() -> dict[str, tuple[str, str]]:
    """Return for each key that chooses or describes an executor the pattern of its values, and their description."""
    patterns = {f"{_LAUNCHER}.executor": ("|".join(EXECUTORS), f"one of {', '.join(EXECUTORS)}")}
    for name, entry in EXECUTORS.items():
        for option_name, option in entry.options.items():
            key, (pattern, description) = f"{_LAUNCHER}.{name}.{option_name}", option.values
            sign = "+" if option.is_mapping else ""  # Hydra wants it for keys that a mapping lacks
            patterns[key] = pattern, f"{description}; for example {sign}{key}={option.example}"
    return patterns


def list_text_keys() -> list[str]:
    """Return the keys of options that are taken letter by letter."""
    return [
        f"{_LAUNCHER}.{name}.{option_name}"
        for name, entry in EXECUTORS.items()
        for option_name, option in entry.options.items()
        if option.is_text
    ]


def list_mapping_prefixes() -> tuple[str, ...]:
    """Return the beginnings of the keys within options that are mappings."""
    return tuple(
        f"{_LAUNCHER}.{name}.{option_name}."
        for name, entry in EXECUTORS.items()
        for option_name, option in entry.options.items()
        if option.is_mapping
    )


def list_default_options() -> dict[str, dict[str, Any]]:
    """Return the default options of each executor that has some."""
    return {
        name: {option_name: option.default for option_name, option in entry.options.items()}
        for name, entry in EXECUTORS.items()
        if entry.options
    }
