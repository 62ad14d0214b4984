"""The jobs of a command line, and the problems that are reported for it."""

from pathlib import Path

import pytest

from regexp.cli.arguments import read_arguments
from regexp.config.composing.composer import Composer
from regexp.config.job import Job
from regexp.errors import ConfigError

# A file with modules as users write them.
OWN_MODULES = Path(__file__).with_name("own_module.py")
# The overrides that an option requires.
REQUIRED_OVERRIDES = {
    "arrays": ["data.path=x.npz"],
    "table": ["data.path=x.csv"],
    "image_folder": ["data.root=x"],
    "module": [f"model.target={OWN_MODULES}:ConvNet"],
}


def compose(composer: Composer, *words: str) -> list[Job]:
    """Return the jobs of a command line."""
    arguments = read_arguments(words)
    return composer.compose_command_line(arguments.overrides, arguments.multirun)


def find_problems(composer: Composer, *words: str) -> list[str]:
    """Return the problems of a command line."""
    with pytest.raises(ConfigError) as error:
        compose(composer, *words)
    return str(error.value).splitlines()
