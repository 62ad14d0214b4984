"""The jobs of a command line, and the problems that are reported for it."""

import pytest

from regexp.cli.arguments import read_arguments
from regexp.config.composing.composer import Composer
from regexp.config.job import Job
from regexp.errors import ConfigError


def compose(composer: Composer, *words: str) -> list[Job]:
    """Return the jobs of a command line."""
    arguments = read_arguments(words)
    return composer.compose_command_line(arguments.overrides, arguments.multirun)


def find_problems(composer: Composer, *words: str) -> list[str]:
    """Return the problems of a command line."""
    with pytest.raises(ConfigError) as error:
        compose(composer, *words)
    return str(error.value).splitlines()
