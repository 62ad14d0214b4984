"""A progress bar for work that takes seconds before training starts."""

import sys
from collections.abc import Iterator, Sequence
from typing import TypeVar

T = TypeVar("T")

# Fewer items are done before anyone could read a bar.
MIN_ITEMS_FOR_BAR = 200


def track_progress(items: Sequence[T], description: str) -> Iterator[T]:
    """Yield the items one by one, with a progress bar if there are many and standard error is a terminal."""
    if len(items) < MIN_ITEMS_FOR_BAR or not sys.stderr.isatty():
        yield from items
        return
    from rich.console import Console
    from rich.progress import track

    yield from track(items, description, console=Console(stderr=True), transient=True)
