"""Objects named by text, imported when they are first needed."""

from importlib import import_module
from typing import Any


def load_object(path: str) -> Any:
    """Return an object of this package, such as "training.metrics.accuracy" for `regexp.training.metrics.accuracy`.

    The schema and the registries name what they stand for in this way, so that reading them imports no torch. The paths
    are constants of this package: nothing that a user types or a file holds comes here.
    """
    module, _, name = path.rpartition(".")
    return getattr(import_module(f"regexp.{module}"), name)
