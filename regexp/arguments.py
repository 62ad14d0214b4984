"""The command line: Hydra's flags, and the overrides beside them."""

import shlex
from collections.abc import Sequence
from dataclasses import dataclass

from hydra._internal.utils import get_args_parser

from regexp.errors import ConfigError


@dataclass(frozen=True)
class Arguments:
    """A command line.

    Attributes:
        overrides: in order.
        multirun: whether a sweep is asked for.
        composes: whether the overrides are to become a configuration; not where Hydra is only asked about itself.
        config_dir, config_name: of further options, and of the primary configuration.
        ordered: all words, with the flags first: argparse would not read overrides on both sides of a flag.
    """

    overrides: tuple[str, ...]
    multirun: bool
    composes: bool
    config_dir: str | None
    config_name: str
    ordered: tuple[str, ...]


def read_arguments(words: Sequence[str]) -> Arguments:
    """The command line's flags and overrides. Raises ConfigError for a flag that cannot be.

    Words with dashes that are no flags of Hydra's stay among the overrides, where they are objected to.
    """
    parser = get_args_parser()
    flags = parser._option_string_actions

    def fail(message: str) -> None:
        raise ConfigError(f"{message}; regexp --help shows what can be typed")

    parser.error = fail  # type: ignore[method-assign, assignment]
    strange, rest = [], []
    queue = list(words)
    while queue:
        word = queue.pop(0)
        flag = word.partition("=")[0]
        if not word.startswith("-") or flag in flags:
            rest.append(word)
            if flag in flags and "=" not in word and flags[flag].nargs is None and queue:
                rest.append(queue.pop(0))  # the flag's value
        elif "=" not in word and queue and "=" not in queue[0] and not queue[0].startswith("-"):
            strange.append(f"{word}={queue.pop(0)}")
        else:
            strange.append(word)
    parsed, extra = parser.parse_known_args(rest)
    if parsed.experimental_rerun is not None:
        raise ConfigError("--experimental-rerun: reads a pickle, which could run any code; type the command again")
    if parsed.config_path is not None:
        raise ConfigError(
            f"--config-path {parsed.config_path}: regexp has its own configuration; "
            f"type --config-dir {shlex.quote(parsed.config_path)} to add your options to it"
        )
    overrides = (*parsed.overrides, *extra)
    left = list(rest)
    for override in overrides:
        left.remove(override)
    return Arguments(
        (*strange, *overrides),
        parsed.multirun,
        not (parsed.hydra_help or parsed.shell_completion or parsed.info is not None),
        parsed.config_dir,
        parsed.config_name or "config",
        (*left, *overrides),
    )
