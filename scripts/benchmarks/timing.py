"""Seconds of several sides that take turns in one process, and their ratios, pair by pair."""

import statistics
import time
from collections.abc import Callable, Mapping, Sequence
from typing import Any

# By name: the median of seconds, and of ratios with lowest and highest; and what a plot wants to know beside them.
Rows = dict[str, dict[str, Any]]


def take_turns(sides: Mapping[str, Callable[[], None]], turns: int) -> dict[str, list[float]]:
    """Seconds of each side's every turn; one of each, then the next of each."""
    seconds: dict[str, list[float]] = {name: [] for name in sides}
    for _ in range(turns):
        for name, side in sides.items():
            began = time.perf_counter()
            side()
            seconds[name].append(time.perf_counter() - began)
    return seconds


def counted(seconds: Sequence[float], turns: int) -> list[float]:
    """Those of the turns after the first, which warms up: what a run writes once, at its end, is not an epoch's."""
    return list(seconds[1 : 1 + turns])


def ratio(over: Sequence[float], under: Sequence[float], factor: float = 1.0) -> dict[str, float]:
    """factor * over / under, pair by pair: median, lowest, highest."""
    ratios = [factor * a / b for a, b in zip(over, under, strict=True)]
    return {"ratio": statistics.median(ratios), "lowest": min(ratios), "highest": max(ratios)}


def rows_of(seconds: Mapping[str, Sequence[float]], base: str) -> Rows:
    """Medians, and the ratios to `base`."""
    return {
        name: {"median": statistics.median(values), **ratio(values, seconds[base])} for name, values in seconds.items()
    }
