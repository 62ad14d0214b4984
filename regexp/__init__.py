"""regexp, regularization experiments: which regularizer helps here, by how much, and is the difference real?"""

import os
from importlib import import_module
from typing import TYPE_CHECKING, Any

# Set before torch is imported: how often an idle thread of torch's checks for work before it sleeps. libgomp's default
# of 300,000 keeps a core busy that another process may need: beside one, a sweep of digits took 42 s instead of 13.
if "OMP_WAIT_POLICY" not in os.environ:
    os.environ.setdefault("GOMP_SPINCOUNT", "5000")

if TYPE_CHECKING:
    from regexp.api.augmenting import draw_augmentation
    from regexp.api.comparing import compare
    from regexp.api.training import run, sweep
    from regexp.data.arrays import Arrays
    from regexp.runs.listing.run_list import Runs, load_runs
    from regexp.runs.run import Run, load_run

__all__ = ["Arrays", "Run", "Runs", "compare", "draw_augmentation", "load_run", "load_runs", "run", "sweep"]

# The public names with the modules that they are in, which are imported when a name is first used, so that
# `regexp --help` does not wait for them.
_MODULES = {
    "Arrays": "data.arrays",
    "Run": "runs.run",
    "Runs": "runs.listing.run_list",
    "compare": "api.comparing",
    "draw_augmentation": "api.augmenting",
    "load_run": "runs.run",
    "load_runs": "runs.listing.run_list",
    "run": "api.training",
    "sweep": "api.training",
}


def __getattr__(name: str) -> Any:
    if name in _MODULES:
        return getattr(import_module(f"regexp.{_MODULES[name]}"), name)
    if name == "errors":
        return import_module("regexp.errors")
    raise AttributeError(f"module 'regexp' has no attribute {name!r}")


def __dir__() -> list[str]:
    # What a notebook completes after `regexp.`: the public names, also those that are not imported yet.
    return [*__all__, "errors"]
