"""Hydra's reading of one override."""

from functools import lru_cache

from hydra.core.override_parser.overrides_parser import OverridesParser
from hydra.core.override_parser.types import Override
from hydra.errors import HydraException


@lru_cache(maxsize=4096)
def parse_override(text: str) -> Override:
    """Return an override as Hydra parses it.

    Raises:
        HydraException: if Hydra cannot read the override.
    """
    return OverridesParser.create().parse_override(text)


def is_readable(text: str) -> bool:
    """Return whether Hydra can read an override."""
    try:
        parse_override(text)
    except (HydraException, RecursionError, ValueError):
        return False
    return True
