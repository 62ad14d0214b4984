"""Kinds of sweepers: those that launch every combination of values, and those that search."""

from typing import Any

from regexp.config.words.parsing import is_readable, parse_override


def is_search(hydra: Any) -> bool:
    """Return whether the sweeper of Hydra's own configuration chooses runs by the objectives of earlier ones.

    Which runs it will launch cannot be foreseen, and a run without an objective must not count as a bad one.
    """
    return not str(hydra.sweeper._target_).endswith(("BasicSweeper", "GridSweeper"))


def trains_trials(hydra: Any) -> bool:
    """Return whether the sweeper of Hydra's own configuration is hydra/sweeper=optuna, which shows its own results."""
    return str(hydra.sweeper._target_).endswith(".OptunaSweeper")


def list_swept_keys(hydra: Any) -> list[str]:
    """Return the keys that vary in a sweep: those typed with several values, and those that its sweeper has.

    Args:
        hydra: Hydra's own configuration of the sweep.
    """
    keys = list(map(str, hydra.sweeper.get("params") or {}))
    for word in hydra.overrides.task:
        if is_readable(word) and (override := parse_override(word)).is_sweep_override():
            keys.append(override.key_or_group)
    return keys
