"""The content of summary.json, which a run writes when it has ended. Imports no torch."""

import json
import math
from collections.abc import Mapping
from typing import Any


def encode_summary(summary: Mapping[str, Any], earlier: Mapping[str, Any] | None = None) -> bytes:
    """Return the content of summary.json.

    Args:
        summary: its entries. NaN and infinity, which JSON does not have, become null.
        earlier: the entries of the summary that it replaces, of a finished run that more is measured of; None where
            there is none. They keep their values, and those of the test set are added to.
    """
    entries = dict(summary)
    if earlier is not None:
        entries |= earlier
        if summary["test"] and earlier["test"]:
            entries["test"] = {**summary["test"], **earlier["test"]}
    return json.dumps(_replace_nonfinite(entries), indent=2).encode()


def _replace_nonfinite(value: Any) -> Any:
    """Return a value with None in the place of NaN and infinity."""
    if isinstance(value, dict):
        return {name: _replace_nonfinite(entry) for name, entry in value.items()}
    return None if isinstance(value, float) and not math.isfinite(value) else value
