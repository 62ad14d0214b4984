"""The command line: Hydra's flags, and the overrides beside them."""

import os
import re
import shlex
from argparse import Namespace
from collections.abc import Sequence
from dataclasses import dataclass

from regexp.cli.hydra_parser import get_args_parser
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
    _check_flags(parsed, [*parsed.overrides, *extra])
    if parsed.experimental_rerun is not None:
        raise ConfigError("--experimental-rerun: reads a pickle, which could run any code; type the command again")
    if parsed.config_path is not None:
        raise ConfigError(
            f"--config-path {parsed.config_path}: regexp has its own configuration; "
            f"type --config-dir {shlex.quote(parsed.config_path)} to add your options to it"
        )
    if parsed.config_name not in (None, "config") and parsed.config_dir is None:
        raise ConfigError(f"--config-name {parsed.config_name}: regexp has one configuration; leave the flag out")
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


def _check_flags(parsed: Namespace, words: Sequence[str]) -> None:
    """Raises ConfigError for flags that do not go together."""
    asked = {"--run": parsed.run, "--multirun": parsed.multirun, "--cfg": parsed.cfg, "--info": parsed.info}
    given = [flag for flag, value in {**asked, "--shell-completion": parsed.shell_completion}.items() if value]
    if len(given) > 1:
        raise ConfigError(f"{' and '.join(given)} do not go together; type one of them")
    for flag, value in (("--resolve", parsed.resolve), ("--package", parsed.package)):
        if value and not parsed.cfg:
            raise ConfigError(f"{flag} goes with --cfg only; type --cfg job {flag}")
    if parsed.shell_completion and not any(re.fullmatch(r"(un)?install=\w+|query=\w+", word) for word in words):
        raise ConfigError("--shell-completion takes install=SHELL, uninstall=SHELL or query=SHELL")
    if parsed.shell_completion and "COMP_LINE" not in os.environ and any(word.startswith("query") for word in words):
        raise ConfigError("--shell-completion query=SHELL is for the shell itself; type install=SHELL")
    shells = [word.partition("=")[2] for word in words if parsed.shell_completion]
    if any(shell not in ("bash", "fish", "zsh") for shell in shells):
        raise ConfigError(f"--shell-completion {' '.join(words)}: the shells are bash, fish and zsh")
