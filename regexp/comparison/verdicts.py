"""A comparison in words: figures and verdicts. Imports no torch."""

from collections import Counter
from dataclasses import dataclass

from regexp.comparison.compare import Comparison
from regexp.comparison.loading import format_count
from regexp.comparison.records import EXCLUDED_STATUSES
from regexp.comparison.rows import Difference, Metric, Row
from regexp.comparison.statistics import MAX_SEEDS, Estimate


@dataclass(frozen=True)
class Kind:
    """What a difference is called.

    Attributes:
        gain: (to the better, to the worse); None where it is neither.
        signs: (above zero, below zero), where it is neither, or the metric knows no better.
    """

    gain: tuple[str, str] | None
    signs: tuple[str, str]

    def words(self, metric: Metric, above: bool) -> str:
        """What a difference that was found is called."""
        if self.gain is None or metric.better == 0:
            return self.signs[not above]
        return self.gain[above != (metric.better > 0)]


GAIN = Kind(("better", "worse"), ("higher", "lower"))
AVERAGE = Kind(("better on average", "worse on average"), ("higher on average", "lower on average"))
INTERACTION = Kind(None, ("more than additive", "less than additive"))


def figure(metric: Metric, value: float, signed: bool = False, digits: int | None = None) -> str:
    """A figure in its metric's unit, accuracies in percent."""
    if digits is None:
        digits = 2 if metric.percent else 4 if metric.name.endswith("loss") or metric.name == "gap" else 1
    shown = round(100 * value if metric.percent else value, digits) or 0.0  # no -0.00
    return f"{shown:{'+' if signed and shown else ''}.{digits}f}"


def with_interval(metric: Metric, estimate: Estimate | None, signed: bool = False) -> str:
    """A mean and half of its 95 % interval, where there is one: "97.42 ± 0.49"."""
    if estimate is None:
        return "-"
    if estimate.half_width is None:
        return figure(metric, estimate.mean, signed)
    digits = 0 if metric.percent and estimate.half_width >= 0.1 else None  # decimals would say nothing
    return f"{figure(metric, estimate.mean, signed, digits)} ± {figure(metric, estimate.half_width, digits=digits)}"


def p_value(p: float | None) -> str:
    """Three decimals are more than enough."""
    return "-" if p is None else "<0.001" if p < 0.001 else f"{p:.3f}"


def seeds(row: Row) -> str:
    """How many have finished, and what became of the others."""
    counts = Counter(record.status for record in row.records)
    others = [f"{counts[status]} {status}" for status in EXCLUDED_STATUSES if counts[status]]
    return f"{row.seed_count} ({', '.join(others)})" if others else str(row.seed_count)


def verdict(difference: Difference, metric: Metric, kind: Kind = GAIN, brief: bool = False) -> str:
    """What a difference allows to be said; `brief` to fit a terminal."""
    if difference.test is None:
        return "no pairs"
    seen = difference.test.estimate
    among = ", of the seeds that did not diverge" if difference.has_diverged_runs else ""
    if seen.n == 1:
        return "one pair: no verdict"
    if seen.mean == 0 and not seen.sd:
        return f"the same with all {seen.n} seeds{among}"
    if difference.significant:
        doubt = ", though not by sign flips" if difference.contradicted_by_sign_flips else ""
        return f"{kind.words(metric, seen.mean > 0)}{doubt}{among}"
    text = f"not distinguishable with {seen.n} seeds"
    size = figure(metric, abs(seen.mean))
    if difference.required_seeds is None or not size.strip("0."):
        return text
    unit = " points" if metric.percent else ""  # of percent
    return (
        f"{text} ({size if brief else f'a difference of {size}{unit}'} would need {_range(*difference.required_seeds)})"
    )


def _range(low: int, high: int) -> str:
    if low > MAX_SEEDS:
        return f"more than {MAX_SEEDS:,}"
    if high > MAX_SEEDS:
        return f"{low} or more"
    return f"some {low} to {high}" if low < high else f"some {low}"


def headline(comparison: Comparison) -> str:
    """How many runs in how many configurations."""
    counts = Counter(record.status if not record.finished else "finished" for record in comparison.records)
    states = ", ".join(f"{counts[status]} {status}" for status in ("finished", *EXCLUDED_STATUSES) if counts[status])
    different = len({record.seed for record in comparison.records})
    missing = f", {len(comparison.collection.missing_runs)} missing" if comparison.collection.missing_runs else ""
    return (
        f"{format_count(len(comparison.records), 'run')} ({states}{missing}), "
        f"{format_count(len(comparison.cells), 'configuration')}, {format_count(different, 'seed')}"
    )
