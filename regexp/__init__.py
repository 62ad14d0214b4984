"""regexp: which regularizer helps here, by how much, and is the difference real?"""

from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from regexp.interface import Run, load_run, run, sweep

__all__ = ["Run", "load_run", "run", "sweep"]


def __getattr__(name: str) -> Any:
    # Imported when first asked for, so that `regexp --help` stays quick.
    if name in __all__:
        from regexp import interface

        return getattr(interface, name)
    raise AttributeError(f"module 'regexp' has no attribute {name!r}")
