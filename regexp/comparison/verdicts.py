"""Wording of the figures and verdicts of a comparison. Imports no torch."""

from collections import Counter
from dataclasses import dataclass

from regexp.comparison.compare import Comparison
from regexp.comparison.loading import format_count
from regexp.comparison.rows import Difference, Row
from regexp.comparison.statistics import MAX_SEEDS, Estimate
from regexp.config.metric_registry import Metric
from regexp.runs.run_record import EXCLUDED_STATUSES


@dataclass(frozen=True)
class Wording:
    """The words for a difference that is distinguished from zero.

    Attributes:
        better_worse: the words for a difference (to the better, to the worse); None where neither direction is better.
        higher_lower: the words for a difference (above zero, below zero), used where `better_worse` is None or where
            the metric has no better direction.
    """

    better_worse: tuple[str, str] | None
    higher_lower: tuple[str, str]

    def describe(self, metric: Metric, is_positive: bool) -> str:
        """Return the words for a positive or a negative difference in a metric."""
        if self.better_worse is None or metric.better == 0:
            return self.higher_lower[0 if is_positive else 1]
        is_better = is_positive == (metric.better > 0)
        return self.better_worse[0 if is_better else 1]


BASELINE_DIFFERENCE = Wording(("better", "worse"), ("higher", "lower"))
MAIN_EFFECT = Wording(("better on average", "worse on average"), ("higher on average", "lower on average"))
INTERACTION = Wording(None, ("more than additive", "less than additive"))

# Counts, whose means need few decimals, and seconds.
_COARSE_METRICS = ("epochs", "best_epoch", "seconds")


def format_metric(metric: Metric, value: float, signed: bool = False, digits: int | None = None) -> str:
    """Return the value of a metric in its unit, accuracies in percent: "97.42".

    Args:
        metric: the metric.
        value: its value; accuracies are fractions.
        signed: whether a positive value gets a plus sign.
        digits: the number of decimals; None: as many as suit the metric.
    """
    if digits is None:
        many_digits = 2 if metric.percent else 4
        digits = 1 if metric.name in _COARSE_METRICS else many_digits
    rounded = round(100 * value if metric.percent else value, digits) or 0.0  # never -0.00
    sign = "+" if signed and rounded else ""
    return f"{rounded:{sign}.{digits}f}"


def format_estimate(metric: Metric, estimate: Estimate | None, signed: bool = False) -> str:
    """Return a mean and half the width of its 95 % interval, where it has one: "97.42 ± 0.49"."""
    if estimate is None:
        return "-"
    if estimate.half_width is None:
        return format_metric(metric, estimate.mean, signed)
    # The decimals of a mean say nothing beside so wide an interval.
    digits = 0 if metric.percent and estimate.half_width >= 0.1 else None
    mean = format_metric(metric, estimate.mean, signed, digits)
    return f"{mean} ± {format_metric(metric, estimate.half_width, digits=digits)}"


def format_p_value(p_value: float | None) -> str:
    """Return a p-value with three decimals, "-" for None."""
    if p_value is None:
        return "-"
    return "<0.001" if p_value < 0.001 else f"{p_value:.3f}"


def format_seeds(row: Row) -> str:
    """Return how many seeds of a row have finished, and how the other runs ended: "5 (1 diverged)"."""
    counts = Counter(record.status for record in row.records)
    others = [f"{counts[status]} {status}" for status in EXCLUDED_STATUSES if counts[status]]
    return f"{row.seed_count} ({', '.join(others)})" if others else str(row.seed_count)


def format_looks(difference: Difference | None) -> str:
    """Return how many looks were taken at a difference while seeds were added: "2", "-" where none was planned."""
    return str(difference.num_looks) if difference is not None and difference.sample.plans else "-"


def format_verdict(
    difference: Difference, metric: Metric, wording: Wording = BASELINE_DIFFERENCE, brief: bool = False
) -> str:
    """Return the verdict of the test of a difference: "better", or "not distinguishable with 5 seeds".

    Args:
        difference: the tested difference.
        metric: the metric that it is in.
        wording: the words for a difference that is distinguished from zero.
        brief: whether to fit a terminal's table: "unclear", without the number of seeds that would be needed.
    """
    if difference.test is None:
        return "no pairs"
    estimate = difference.test.estimate
    survivors = ", among the seeds that did not diverge" if difference.has_diverged_runs else ""
    if estimate.n == 1:
        return "one pair: no verdict"
    if difference.equivalent and difference.margin is not None:
        within = "" if brief else f" within {format_size(metric, difference.margin)}"
        direction = f", though {wording.describe(metric, estimate.mean > 0)}" if difference.significant else ""
        return f"equivalent{within}{'' if brief else direction}{survivors}"
    if estimate.mean == 0 and not estimate.sd:
        return f"the same{'' if brief else f' with all {estimate.n} seeds'}{survivors}"
    if difference.significant:
        doubt = ", though not by the sign-flip test" if difference.contradicted_by_sign_flips else ""
        return f"{wording.describe(metric, estimate.mean > 0)}{doubt}{survivors}"
    if brief:
        return "unclear" if difference.margin is None else "undecided"
    outcome = "not distinguishable" if difference.margin is None else "undecided"
    text = f"{outcome} with {estimate.n} seeds"
    needed_seeds = format_required_seeds(difference, metric)
    if needed_seeds is None:
        return text
    if difference.margin is not None:  # of either kind
        return f"{text} (a verdict would need {needed_seeds} seeds)"
    size = format_size(metric, abs(estimate.mean))
    return f"{text} (a difference of {size} would need {needed_seeds} seeds)"


def format_size(metric: Metric, size: float) -> str:
    """Return the size of a difference with its unit: "0.20 points", of percentages, or "0.0100"."""
    return f"{format_metric(metric, size)}{' points' if metric.percent else ''}"


def format_required_seeds(difference: Difference, metric: Metric) -> str | None:
    """Return how many seeds a difference as large as this would need, such as "11 to 50"; None if that is not known.

    Without a margin it is not told of a difference that the metric's decimals show as 0.

    Args:
        difference: the tested difference.
        metric: the metric that it is in.
    """
    if difference.test is None or difference.required_seeds is None:
        return None
    is_invisible = not format_metric(metric, abs(difference.test.estimate.mean)).strip("0.")
    if is_invisible and difference.margin is None:
        return None
    low, high = difference.required_seeds
    if low > MAX_SEEDS:
        return f"more than {MAX_SEEDS:,}"
    if high > MAX_SEEDS:
        return f"{low} or more"
    return f"{low} to {high}" if low < high else f"about {low}"


def format_headline(comparison: Comparison) -> str:
    """Return how many runs, configurations and seeds a comparison has, and how its runs ended."""
    counts = Counter("finished" if record.finished else record.status for record in comparison.records)
    states = ", ".join(f"{counts[status]} {status}" for status in ("finished", *EXCLUDED_STATUSES) if counts[status])
    seeds = {record.seed for record in comparison.records}
    missing = f", {len(comparison.collection.missing_runs)} missing" if comparison.collection.missing_runs else ""
    return (
        f"{format_count(len(comparison.records), 'run')} ({states}{missing}), "
        f"{format_count(len(comparison.cells), 'configuration')}, {format_count(len(seeds), 'seed')}"
    )
