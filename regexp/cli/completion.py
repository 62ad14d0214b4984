"""Completing a command line in a shell: Hydra's own completion, which here also knows options of the user's own.

Hydra looks at the overrides of the line alone, and so misses the directory that --config-dir names.
"""

import os
import re
import shlex
from collections.abc import Sequence
from contextlib import suppress

from regexp.cli.arguments import read_arguments
from regexp.config.compose import make_composer
from regexp.config.composing.templates import COMPOSING_ERRORS
from regexp.config.hydra_config.search_path import extend_loader
from regexp.config.words.hydra_words import make_hydra_word
from regexp.errors import ConfigError


def complete(shell: str) -> None:
    """Print the words that can stand at the end of the command line in COMP_LINE, in the form that a shell reads.

    Nothing is printed where the line cannot be read, or where the value of a flag is typed: shells then complete the
    names of files. An error would be printed into the line.

    Args:
        shell: the name of the shell: bash, fish or zsh.
    """
    from hydra._internal.hydra import Hydra

    words = _split_line(os.environ["COMP_LINE"])[1:]
    with suppress(ConfigError, *COMPOSING_ERRORS, SystemExit):
        arguments = read_arguments([word for word in words if word])
        overrides = list(arguments.overrides)
        if words[-1].startswith("-") or (words[-1] and overrides[-1:] != words[-1:]):  # a flag, or its value
            return
        last_word = overrides.pop() if words[-1] else ""
        loader = make_composer(arguments.config_dir, arguments.config_name).loader
        loader = extend_loader(loader, arguments.config_name, overrides)
        [plugin] = Hydra.get_shell_to_plugin_map(loader)[shell]
        os.environ["COMP_LINE"] = _make_line(overrides, last_word, arguments.multirun)
        plugin.query(arguments.config_name)


def _split_line(line: str) -> list[str]:
    """Return the words of an unfinished line; the last is empty where a new word begins."""
    try:
        words = shlex.split(line)
    except ValueError:  # a quote is still open
        words = line.split()
    return [*words, ""] if line[-1:].isspace() or len(words) < 2 else words


def _make_line(overrides: Sequence[str], last_word: str, multirun: bool) -> str:
    """Return a line that Hydra's completion can read: it splits it at all spaces, and takes the program's name away."""
    hydra_words = [make_hydra_word(override, multirun) for override in overrides]
    readable_words = [word for word in hydra_words if not re.search(r"^-|\s", word)]
    return " ".join(["regexp", *(["-m"] if multirun else []), *readable_words, last_word])
