"""Sentences about what was measured, beside what was published: they are computed, and say what came out."""

from collections.abc import Iterator

from reproducing.experiment import Claim, Experiment
from reproducing.measurement import Measurement
from reproducing.tables import Row

_OPPOSITES = {"better": "worse", "worse": "better"}


def draw_conclusions(experiment: Experiment, measurement: Measurement) -> Iterator[str]:
    """Yield a sentence for each figure that was to be reached, and for each claim of the original."""
    for table in measurement.tables:
        for row in table.rows:
            if row.target is not None:
                yield _judge_target(row)
    for claim in experiment.claims:
        judge = _judge_growth if claim.grows else _judge_claim
        yield f"{claim.text}: {judge(claim, measurement)}"


def is_reached(row: Row) -> bool:
    """Return whether the measured mean error, with two decimals as it is shown, is at or below the figure to reach."""
    return row.error is not None and row.target is not None and round(row.error, 2) <= row.target


def _judge_target(row: Row) -> str:
    if row.error is None:
        return f"{row.label}: no run has a test error."
    outcome = "reached" if is_reached(row) else "not reached"
    return f"{row.label}: {row.error:.2f} % measured, at most {row.target:.2f} % to reach: {outcome}."


def _judge_claim(claim: Claim, measurement: Measurement) -> str:
    """Return whether the comparison supports a claim."""
    row = _find_row(claim, measurement)
    if row is None or row.difference is None:
        return "not measured."
    interval = "" if row.difference_half_width is None else f" ± {row.difference_half_width:.2f}"
    figures = f"{round(row.difference, 2) + 0.0:+.2f}{interval} points of test error"
    if row.verdict.startswith(claim.verdict):
        return f"confirmed, {figures}."
    if row.verdict.startswith(_OPPOSITES[claim.verdict]):
        return f"contradicted, {figures}."
    return f"{row.verdict}, {figures}."


def _judge_growth(claim: Claim, measurement: Measurement) -> str:
    """Return whether a difference grows from the first table to the last: their intervals must not overlap."""
    rows = _find_rows(claim, measurement)
    if len(rows) < 2 or rows[0].difference is None or rows[-1].difference is None:
        return "not measured."
    sign = -1 if claim.verdict == "better" else 1  # a better configuration has a negative difference
    growth = sign * (rows[-1].difference - rows[0].difference)
    half_widths = [row.difference_half_width or 0.0 for row in (rows[0], rows[-1])]
    outcome = "not distinguishable, the intervals overlap"
    if abs(growth) > sum(half_widths):
        outcome = "confirmed" if growth > 0 else "contradicted"
    differences = (
        f"{round(difference, 2) + 0.0:+.2f} ± {half_width:.2f}"
        for difference, half_width in zip((rows[0].difference, rows[-1].difference), half_widths, strict=True)
    )
    return f"{outcome}, {' and '.join(differences)} points of test error."


def _find_row(claim: Claim, measurement: Measurement) -> Row | None:
    return next(iter(_find_rows(claim, measurement)), None)


def _find_rows(claim: Claim, measurement: Measurement) -> list[Row]:
    """Return the rows that a claim is about, in the order of the tables."""
    rows = [row for table in measurement.tables for row in table.rows]
    return [row for row in rows if claim.values.items() <= dict(row.values).items()]
