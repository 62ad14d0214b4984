"""Notes on seeds that were added until verdicts were decided, and on the margin of equivalence. Imports no torch."""

from collections.abc import Iterator

from regexp.comparison.compare import Comparison
from regexp.comparison.loading import format_count
from regexp.comparison.rows import Difference
from regexp.comparison.statistics import ALPHA
from regexp.comparison.verdicts import format_size

_LEVEL = f"{100 * ALPHA:g} %"


def explain_looks(comparison: Comparison) -> Iterator[str]:
    """Yield how verdicts were looked at while seeds were added, and what that means for them."""
    differences = {row.title: row.difference for row in comparison.rows if row.difference is not None}
    plans = {plan for difference in differences.values() for plan in difference.sample.plans}
    for plan in sorted(plans, key=lambda plan: (plan.looks, plan.margin or 0)):
        looks = [difference.sample.looks.get(plan, []) for difference in differences.values()]
        taken = sorted({look.num_seeds for of_row in looks for look in of_row})
        if taken:
            yield (
                f"Seeds were added until verdicts were decided: looks after {_join(taken)} of at most {plan.max_seeds} "
                "seeds. Verdicts and Holm's p are corrected for all planned looks as well (alpha spending), so that "
                f"all of them together raise a false alarm in at most {_LEVEL} of sweeps. A difference that an early "
                "look found is a little overestimated. Figures by image and of ensembles are not corrected for looks."
            )
        else:
            yield (
                f"Seeds are added until verdicts are decided, and no look has been taken: the first is after "
                f"{plan.looks[0]} seeds of each configuration."
            )
    unplanned = [title for title, difference in differences.items() if _has_unplanned_seeds(difference)]
    if unplanned:
        yield (
            f"{format_count(len(unplanned), 'row')} ({', '.join(unplanned[:3])}{', ...' if unplanned[3:] else ''}) "
            "with more seeds than the looks: these are in the means, but verdicts rest on the seeds of the looks."
        )


def explain_margin(comparison: Comparison) -> Iterator[str]:
    """Yield what the verdicts on equivalence mean."""
    if comparison.margin is not None and any(row.difference is not None for row in comparison.rows):
        size = format_size(comparison.metric, comparison.margin)
        yield (
            f"equivalent: a difference of {size} or more is excluded (two one-sided t tests at {_LEVEL} after Holm's "
            "correction); undecided: neither that nor any difference from 0 is shown."
        )


def _has_unplanned_seeds(difference: Difference) -> bool:
    """Return whether a difference has pairs that no look has seen."""
    if not difference.sample.plans:
        return False
    most = max((len(looks[-1].differences) for looks in difference.sample.looks.values() if looks), default=0)
    return len(difference.sample.by_seed) > most


def _join(numbers: list[int]) -> str:
    """Return numbers in words: "3", or "3, 6 and 9"."""
    texts = list(map(str, numbers))
    return texts[0] if len(texts) == 1 else f"{', '.join(texts[:-1])} and {texts[-1]}"
