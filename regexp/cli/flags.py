"""The parser of the commands that take flags of their own, with answers to the flags of `regexp` and to mistakes."""

import argparse
import re
from collections.abc import Sequence
from importlib.metadata import version
from typing import NoReturn

from regexp.errors import ConfigError


class FlagParser(argparse.ArgumentParser):
    """A parser that raises a ConfigError for a mistake, as `regexp` does, and knows the flags of `regexp`."""

    def __init__(self, program: str, description: str, purpose: str) -> None:
        """Make a parser with --help and --version.

        Args:
            program: the command, such as "regexp-compare".
            description: what the command does, for --help.
            purpose: the end of the answer to a flag of `regexp` that the command has no use for, such as "compares runs
                that are there".
        """
        super().__init__(program, description=description, allow_abbrev=False)
        self.purpose = purpose
        self.add_argument("--version", action="version", version=f"regexp {version('regexp')}", help="show the version")

    def parse_words(self, words: Sequence[str]) -> argparse.Namespace:
        """Return the arguments of a command line.

        Raises:
            ConfigError: lists all words that the command does not take, or names a flag without its value.
        """
        # Before argparse, which would first miss what is required.
        if problems := [self._describe_unknown_flag(word) for word in words if self._is_unknown_flag(word)]:
            raise ConfigError("\n".join(problems))
        arguments, unknown_words = self.parse_known_intermixed_args(list(words))
        if unknown_words:
            self.error(f"{' '.join(unknown_words)}: does not belong here")
        return arguments

    def error(self, message: str) -> NoReturn:
        """Raise argparse's message as a ConfigError, in the words of the other messages."""
        if (value := re.fullmatch(r"argument (\S+): invalid \w+ value: '(.*)'", message)) is not None:
            message = f"{value[1]} {value[2]}: must be a whole number"
        raise ConfigError(f"{message.removeprefix('argument ')}; {self.prog} --help lists what you can type")

    def _is_unknown_flag(self, word: str) -> bool:
        looks_like_a_flag = word.startswith("-") and not re.fullmatch(r"-|--|-[\d.].*", word)
        return looks_like_a_flag and word.partition("=")[0] not in self._option_string_actions

    def _describe_unknown_flag(self, word: str) -> str:
        """Return the message for a flag that the command does not have."""
        # Imported here, since Hydra is not needed otherwise.
        from regexp.cli.hydra_parser import get_args_parser
        from regexp.config.keys import closest_match
        from regexp.utils.messages import did_you_mean

        flag = word.partition("=")[0]
        if flag in get_args_parser()._option_string_actions:
            return f"{flag}: is a flag of regexp; {self.prog} {self.purpose}, so leave it out"
        match = closest_match(flag, [name for name in self._option_string_actions if name.startswith("--")])
        remedy = did_you_mean([match]) if match else f"; {self.prog} --help lists what you can type"
        return f"{word}: there is no such flag{remedy}"
