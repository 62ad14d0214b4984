"""The frame of the exercises: they end as the `regexp` command does, with one message and an exit status."""

import sys
from collections.abc import Iterator
from contextlib import contextmanager

from regexp.cli.program import program


@contextmanager
def exercise() -> Iterator[list[str]]:
    """Pass the overrides of the command line to the `with` statement, and exit with its status at the end.

    With --help, the docstring of the script is printed instead.
    """
    with program() as words:
        if {"-h", "--help"} & set(words):
            print(sys.modules["__main__"].__doc__)
            sys.exit()
        yield words
