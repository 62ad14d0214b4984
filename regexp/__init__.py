"""regexp, regularization experiments: which regularizer helps here, by how much, and is the difference real?"""

import os
from typing import TYPE_CHECKING, Any

# Set before torch is imported: how often an idle thread of torch's checks for work before it sleeps. libgomp's default
# of 300,000 keeps a core busy that another process may need: beside one, a sweep of digits took 42 s instead of 13.
if "OMP_WAIT_POLICY" not in os.environ:
    os.environ.setdefault("GOMP_SPINCOUNT", "5000")

if TYPE_CHECKING:
    from regexp.api import Arrays, Run, compare, load_run, run, sweep

__all__ = ["Arrays", "Run", "compare", "load_run", "run", "sweep"]


def __getattr__(name: str) -> Any:
    # The public functions are imported when they are first used, so that `regexp --help` does not wait for them.
    if name in __all__:
        from regexp import api

        return getattr(api, name)
    raise AttributeError(f"module 'regexp' has no attribute {name!r}")
