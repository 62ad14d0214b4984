"""The problems that are reported for a command line."""

import shlex

import pytest

from regexp.cli.arguments import read_arguments
from regexp.config.compose import Composer
from regexp.config.job import Job
from regexp.errors import ConfigError


def find_problems(composer: Composer, line: str) -> list[str]:
    """Return the problems of a command line."""

    def compose_line() -> list[Job]:
        arguments = read_arguments(shlex.split(line))
        return composer.compose_command_line(arguments.overrides, arguments.multirun)

    with pytest.raises(ConfigError) as error:
        compose_line()
    return str(error.value).splitlines()
