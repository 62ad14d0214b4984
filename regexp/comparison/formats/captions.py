"""Captions of tables, for readers who have no notes beside them. Imports no torch."""

from collections.abc import Sequence

from regexp.comparison.compare import Comparison
from regexp.comparison.explaining.training_time import describe_training_time
from regexp.comparison.formats.text_table import TextTable
from regexp.comparison.loading import format_count
from regexp.comparison.rows import Difference
from regexp.comparison.statistics import ALPHA, CONFIDENCE_LEVEL, POWER
from regexp.comparison.verdicts import format_headline

_LEVEL = f"{100 * ALPHA:g} %"


def caption_results(comparison: Comparison, table: TextTable) -> str:
    """Return what the figures and marks of a table of results mean.

    Args:
        comparison: the comparison.
        table: its table of results.
    """
    sentences = [f"Means over seeds of {format_headline(comparison)}.", _end(table.remark)]
    if any("±" in cell for row in table.rows for cell in row):
        sentences.append(
            f"±: half the width of the {100 * CONFIDENCE_LEVEL:g} % confidence interval of the mean over seeds "
            "(Student's t)."
        )
    if table.best_cells:
        sentences.append("Bold: the best mean of its column.")
    if table.undistinguished_cells:
        sentences.append(
            f"†: not distinguishable from the best of its column (paired t tests at {_LEVEL} after Holm's correction "
            "for all other rows)."
        )
    sentences.append("gap: validation less training loss, in nats.")
    sentences += describe_training_time(comparison)
    return " ".join(filter(None, sentences))


def caption_tests(table: TextTable, differences: Sequence[Difference | None]) -> str:
    """Return what the figures of a table of tested differences mean.

    Args:
        table: the table.
        differences: the differences in its rows.
    """
    sentences = [_end(table.title)]
    if "Holm" in table.columns and any(row[table.columns.index("Holm")] != "-" for row in table.rows):
        count = max(difference.family_size for difference in differences if difference is not None)
        sentences.append(
            f"±: half the width of the {100 * CONFIDENCE_LEVEL:g} % confidence interval, not corrected. p: two-sided "
            f"paired t test. Holm: p corrected for the {format_count(count, 'difference')} of this table, which "
            f"decides the verdict at {_LEVEL}; unclear: not distinguishable from 0."
        )
        tested = [difference for difference in differences if difference is not None]
        if any(difference.sample.plans for difference in tested):
            sentences.append(
                "Seeds were added until verdicts were decided; Holm's p and verdicts are corrected for all looks "
                "(alpha spending)."
            )
        if any(difference.margin is not None for difference in tested):
            sentences.append("equivalent: two one-sided t tests exclude a difference of the margin or more.")
        if any(name.startswith("seeds") for name in table.columns):
            sentences.append(f"Seeds needed: for a power of {100 * POWER:g} %, if the true difference is the one seen.")
    return " ".join(sentences)


def _end(text: str) -> str:
    """Return a text as a sentence."""
    return f"{text[0].upper()}{text[1:]}." if text else ""
