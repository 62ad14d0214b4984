"""Objects of this package that are named by a path, and imported when they are first needed."""

from importlib import import_module
from typing import Any


def load_object(path: str) -> Any:
    """Return an object of this package, such as "training.metrics.accuracy" for `regexp.training.metrics.accuracy`.

    The schema and the registries name classes and functions in this way, so that reading them imports no torch. The
    paths are constants of this package; text from users and files is never passed here.
    """
    module, _, name = path.rpartition(".")
    return getattr(import_module(f"regexp.{module}"), name)
