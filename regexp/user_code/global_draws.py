"""Draws from Python's and NumPy's global random generators, which belong to no run."""

import random
import sys
from collections.abc import Iterator
from contextlib import contextmanager

from regexp.errors import ConfigError


@contextmanager
def refuse_global_draws(text: str) -> Iterator[None]:
    """Raise ConfigError if the `with` statement draws from the global generators of Python or NumPy.

    What a run draws there depends on the other runs of the process, and is not the same after an interruption.

    Args:
        text: what draws, for the message.
    """
    numpy = sys.modules.get("numpy")
    python_state = random.getstate()
    numpy_state = None if numpy is None else repr(numpy.random.get_state(legacy=False))
    yield
    modules = ["Python's random"] if random.getstate() != python_state else []
    if numpy is not None and repr(numpy.random.get_state(legacy=False)) != numpy_state:
        modules.append("numpy.random")
    if modules:
        raise ConfigError(
            f"{text}: draws from the global generator of {' and '.join(modules)}, so that runs would change each "
            "other; draw from torch's, such as torch.rand, which regexp seeds for each run"
        )
