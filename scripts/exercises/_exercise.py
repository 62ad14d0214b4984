"""What the exercises share: they end as the `regexp` command does, with one message and its status."""

import sys
from collections.abc import Iterator
from contextlib import contextmanager

from regexp.utils import exit_codes


@contextmanager
def exercise() -> Iterator[list[str]]:
    """Give the overrides that were typed, run what is inside, and end the script; --help shows its docstring."""
    if {"-h", "--help"} & set(sys.argv[1:]):
        print(sys.modules["__main__"].__doc__)
        sys.exit()
    with exit_codes.exit_with_status():
        yield sys.argv[1:]
