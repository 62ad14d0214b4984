"""What all plots have in common: their style, and how they write names and metrics.

The plots are readable in black and white: lines differ in their dashes, points in their markers, and filled points are
significant differences.
"""

import math
from collections.abc import Sequence
from typing import Any, TypeVar

from regexp.comparison.rows import Row
from regexp.comparison.statistics import CONFIDENCE_LEVEL
from regexp.config.metric_registry import Metric
from regexp.utils.messages import show_bytes

T = TypeVar("T")
MARKERS = "os^Dvp"
DASHES: tuple[Any, ...] = ("-", "--", "-.", ":", (0, (5, 1, 1, 1, 1, 1)), (0, (1, 3)))
INK, PALE = "black", "0.72"
STYLE: Any = {
    "font.size": 10,
    "axes.spines.top": False,
    "axes.spines.right": False,
    "svg.hashsalt": "regexp",
    "pdf.fonttype": 42,  # the outlines of the letters, as journals want them
}


def limit(items: Sequence[T], max_items: int) -> tuple[list[T], str]:
    """Return the items that fit into a plot, and a note on how many those are if they are not all."""
    note = f" (the first {max_items} of {len(items):,})" if len(items) > max_items else ""
    return list(items[:max_items]), note


def make_label(text: str) -> str:
    """Return a text of the user's, such as a path, in a form in which matplotlib draws its characters only."""
    return show_bytes(text).replace("$", r"\$")


def axis_label(metric: Metric) -> str:
    """Return a metric's title with its unit."""
    return f"{metric.title} (%)" if metric.percent else metric.title


def intervals_note(rows: Sequence[Row], metric: Metric) -> str:
    """Return the words for the title of a plot of means, if any mean has an interval."""
    estimates = [row.estimate(metric.name) for row in rows]
    if any(estimate is not None and estimate.half_width for estimate in estimates):
        return f" and their {100 * CONFIDENCE_LEVEL:g} % intervals"
    return ""


def scale(metric: Metric, value: float | None) -> float:
    """Return a metric's value in the unit of the axis; NaN, which is not drawn, where there is none."""
    if value is None:
        return math.nan
    return 100 * value if metric.percent else value
