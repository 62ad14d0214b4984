"""The command line of `regexp`: Hydra's flags, and the overrides beside them."""

import os
import re
from argparse import Namespace
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any, NoReturn

from regexp.cli.hydra_parser import get_args_parser
from regexp.config.words.homes import expand_home
from regexp.config.words.hydra_words import make_hydra_word
from regexp.errors import ConfigError
from regexp.utils.messages import quote_word

_SHELLS = ("bash", "fish", "zsh")


@dataclass(frozen=True)
class Arguments:
    """The flags and overrides of a command line.

    Attributes:
        overrides: the overrides, in the order in which they were typed.
        multirun: whether the command line asks for a sweep.
        needs_configuration: whether the overrides have to make a valid configuration; they need not where Hydra is only
            asked about itself.
        trains: whether the command line asks for runs, and not only to be shown something.
        config_dir: the directory of further options; None where there is none.
        config_name: the name of the primary configuration.
        completion_shell: the shell that asks how the line in COMP_LINE can go on; None where none asks.
        flags: Hydra's flags with their values.
    """

    overrides: tuple[str, ...]
    multirun: bool
    needs_configuration: bool
    trains: bool
    config_dir: str | None
    config_name: str
    completion_shell: str | None
    flags: tuple[str, ...]

    def hydra_words(self) -> list[str]:
        """Return all words as Hydra has to be given them to read them as they were typed.

        The flags come first, since argparse cannot read overrides on both sides of a flag.
        """
        flags = list(self.flags)
        if self.config_dir is not None:
            directory = str(expand_home(self.config_dir))
            flags = [
                flag.removesuffix(self.config_dir) + directory if flag.endswith(self.config_dir) else flag
                for flag in flags
            ]
        return [*flags, *(make_hydra_word(override, self.multirun) for override in self.overrides)]


def read_arguments(words: Sequence[str]) -> Arguments:
    """Read the flags and overrides of a command line.

    Words that begin with a dash and are no flag of Hydra's are returned as overrides, so that the check of overrides
    reports them together with all other mistakes.

    Args:
        words: the words after the program's name.

    Returns:
        The command line.

    Raises:
        ConfigError: a flag lacks its value, does not go with another flag, or does not work with regexp.
    """

    def fail(message: str) -> NoReturn:
        raise ConfigError(f"{message}; regexp --help lists what you can type")

    parser = get_args_parser()
    parser.error = fail  # type: ignore[method-assign]
    known_words, unknown_flags = _separate_unknown_flags(words, parser._option_string_actions)
    parsed, extra = parser.parse_known_args(known_words)
    overrides = [*parsed.overrides, *extra]
    _check_flag_combinations(parsed)
    completion_shell = _read_completion(parsed, overrides)
    _check_supported(parsed)
    flags = list(known_words)
    for override in overrides:
        flags.remove(override)
    needs_configuration = not (parsed.hydra_help or parsed.shell_completion or parsed.info is not None)
    return Arguments(
        overrides=(*unknown_flags, *overrides),
        multirun=parsed.multirun or "hydra.mode=MULTIRUN" in overrides,
        needs_configuration=needs_configuration,
        trains=needs_configuration and not parsed.cfg,
        config_dir=parsed.config_dir,
        config_name=parsed.config_name or "config",
        completion_shell=completion_shell,
        flags=tuple(flags),
    )


def _separate_unknown_flags(words: Sequence[str], flags: Mapping[str, Any]) -> tuple[list[str], list[str]]:
    """Separate the words that Hydra's parser can read from the flags that it does not know.

    Args:
        words: the words of a command line.
        flags: the parser's actions by their flags.

    Returns:
        The words for the parser, and the unknown flags. An unknown flag takes the next word as its value where that
        looks like one: `--lr 0.1` becomes `--lr=0.1`.
    """
    known_words, unknown_flags = [], []
    remaining = list(words)
    while remaining:
        word = remaining.pop(0)
        flag = word.partition("=")[0]
        if not word.startswith("-") or flag in flags:
            known_words.append(word)
            takes_next_word = flag in flags and "=" not in word and flags[flag].nargs is None
            if takes_next_word and remaining:
                known_words.append(remaining.pop(0))
        elif "=" not in word and remaining and "=" not in remaining[0] and not remaining[0].startswith("-"):
            unknown_flags.append(f"{word}={remaining.pop(0)}")
        else:
            unknown_flags.append(word)
    return known_words, unknown_flags


def _check_flag_combinations(parsed: Namespace) -> None:
    """Raise ConfigError for flags that do not go together."""
    modes = {
        "--run": parsed.run,
        "--multirun": parsed.multirun,
        "--cfg": parsed.cfg,
        "--info": parsed.info,
        "--shell-completion": parsed.shell_completion,
    }
    chosen_modes = [flag for flag, value in modes.items() if value]
    if len(chosen_modes) > 1:
        raise ConfigError(f"{' and '.join(chosen_modes)} do not go together; type one of them")
    for flag, value in (("--resolve", parsed.resolve), ("--package", parsed.package)):
        if value and not parsed.cfg:
            raise ConfigError(f"{flag} works only with --cfg; type --cfg job {flag}")


def _read_completion(parsed: Namespace, words: Sequence[str]) -> str | None:
    """Return the shell that asks for completions; None where none does.

    Raises:
        ConfigError: --shell-completion does not take these words.
    """
    if not parsed.shell_completion:
        return None
    if not any(re.fullmatch(r"(un)?install=\w+|query=\w+", word) for word in words):
        raise ConfigError("--shell-completion takes install=SHELL, uninstall=SHELL or query=SHELL")
    if "COMP_LINE" not in os.environ and any(word.startswith("query") for word in words):
        raise ConfigError("--shell-completion query=SHELL is for the shell itself; type install=SHELL")
    if any(word.partition("=")[2] not in _SHELLS for word in words):
        raise ConfigError(f"--shell-completion {' '.join(words)}: the shells are bash, fish and zsh")
    return next((word.partition("=")[2] for word in words if word.startswith("query=")), None)


def _check_supported(parsed: Namespace) -> None:
    """Raise ConfigError for flags of Hydra's that regexp does not support."""
    if parsed.experimental_rerun is not None:
        raise ConfigError("--experimental-rerun: reads a pickle, which could run any code; type the command again")
    if parsed.config_path is not None:
        raise ConfigError(
            f"--config-path {parsed.config_path}: regexp has its own configuration; "
            f"type --config-dir {quote_word(parsed.config_path)} to add your options to it"
        )
    if parsed.config_name not in (None, "config") and parsed.config_dir is None:
        raise ConfigError(f"--config-name {parsed.config_name}: regexp has one configuration; leave the flag out")
