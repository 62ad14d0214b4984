"""Kinds of sweepers: those that launch every combination of values, and those that search."""

from typing import Any


def is_search(hydra: Any) -> bool:
    """Return whether the sweeper of Hydra's own configuration chooses runs by the objectives of earlier ones.

    Which runs it will launch cannot be foreseen, and a run without an objective must not count as a bad one.
    """
    return not str(hydra.sweeper._target_).endswith(("BasicSweeper", "GridSweeper"))
