"""The margin of a comparison: the difference that does not matter."""

import math
from collections.abc import Collection

from regexp.config.metric_registry import Metric
from regexp.errors import ConfigError
from regexp.runs.seed_plan import SeedPlan
from regexp.utils.messages import show_option


def resolve_margin(margin: float | str | None, metric: Metric, plans: Collection[SeedPlan]) -> float | None:
    """Return a margin in the unit of a metric.

    Args:
        margin: the margin as it was typed, in the unit of the tables (percentage points, or that of the metric); None:
            the one of the plans.
        metric: the metric of the differences.
        plans: the plans of the sweeps that added seeds.

    Returns:
        The margin; None where none was typed and the plans have none. Of several, the smallest: what is equivalent
        within that is so within the others.

    Raises:
        ConfigError: the margin is no number above 0.
    """
    if margin is None:
        margin = min((plan.margin for plan in plans if plan.margin is not None), default=None)
    if margin is None:
        return None
    try:
        number = math.nan if isinstance(margin, bool) else float(margin)
    except (TypeError, ValueError):
        number = math.nan
    if not 0 < number < math.inf:
        unit = "percentage points" if metric.percent else f"the unit of {metric.title}"
        raise ConfigError(
            f"{show_option('--margin', str(margin))}: must be a number above 0, the difference in {unit} that does not "
            f"matter, such as {0.2 if metric.percent else 0.01}"
        )
    return number / 100 if metric.percent else number
