"""Timing of functions that take turns in one process, and the ratios of their seconds, turn by turn."""

import statistics
import time
from collections.abc import Callable, Mapping, Sequence
from typing import Any

# By name: the median of the seconds, and the median, lowest and highest ratio. Some rows hold more, for the plots.
Rows = dict[str, dict[str, Any]]


def take_turns(functions: Mapping[str, Callable[[], object]], turns: int) -> dict[str, list[float]]:
    """Call functions in rotation, and return the seconds of every call.

    Args:
        functions: the functions by name.
        turns: how often each is called.
    """
    seconds: dict[str, list[float]] = {name: [] for name in functions}
    for _ in range(turns):
        for name, function in functions.items():
            began = time.perf_counter()
            function()
            seconds[name].append(time.perf_counter() - began)
    return seconds


def counted_turns(seconds: Sequence[float], turns: int) -> list[float]:
    """Return the seconds of the turns that count: neither the first, which warms up, nor the last.

    The last turn includes what a run writes once, at its end, and does not stand for an epoch.
    """
    return list(seconds[1 : 1 + turns])


def summarize_ratios(
    numerators: Sequence[float], denominators: Sequence[float], factor: float = 1.0
) -> dict[str, float]:
    """Return the median, the lowest and the highest of factor * numerator / denominator, turn by turn."""
    ratios = [factor * numerator / denominator for numerator, denominator in zip(numerators, denominators, strict=True)]
    return {"ratio": statistics.median(ratios), "lowest": min(ratios), "highest": max(ratios)}


def compare_with(base: str, seconds: Mapping[str, Sequence[float]]) -> Rows:
    """Return for each name the median of its seconds and their ratio to the seconds of `base`."""
    return {
        name: {"median": statistics.median(values), **summarize_ratios(values, seconds[base])}
        for name, values in seconds.items()
    }
