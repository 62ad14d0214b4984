"""regexp: which regularizer helps here, by how much, and is the difference real?"""

import os
from typing import TYPE_CHECKING, Any

# Before torch is imported: for how many turns one of its threads waits for the others before it sleeps. libgomp's own
# 300,000 keep a core busy that another process may need: beside one, a sweep of digits took 42 s and not 13.
if "OMP_WAIT_POLICY" not in os.environ:
    os.environ.setdefault("GOMP_SPINCOUNT", "5000")

if TYPE_CHECKING:
    from regexp.api import Run, compare, load_run, run, sweep

__all__ = ["Run", "compare", "load_run", "run", "sweep"]


def __getattr__(name: str) -> Any:
    # Imported when first asked for, so that `regexp --help` stays quick.
    if name in __all__:
        from regexp import api

        return getattr(api, name)
    raise AttributeError(f"module 'regexp' has no attribute {name!r}")
