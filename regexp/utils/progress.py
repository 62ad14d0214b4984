"""A bar for what takes seconds before anything trains."""

import sys
from collections.abc import Iterator, Sequence
from typing import TypeVar

T = TypeVar("T")

# Fewer are done before anyone could read it.
MANY = 200


def progress(items: Sequence[T], doing: str) -> Iterator[T]:
    """The items one by one, with a bar on a terminal where there are many."""
    if len(items) < MANY or not sys.stderr.isatty():
        yield from items
        return
    from rich.console import Console
    from rich.progress import track

    yield from track(items, doing, console=Console(stderr=True), transient=True)
