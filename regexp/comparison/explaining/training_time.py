"""How long runs took: their shares of their cohorts' time, and the time that passed meanwhile. Imports no torch."""

from collections.abc import Iterator, Mapping, Sequence
from pathlib import Path

from regexp.comparison.compare import Comparison
from regexp.comparison.loading import format_count
from regexp.runs.run_record import RunRecord


def describe_training_time(comparison: Comparison) -> Iterator[str]:
    """Yield what the column of seconds means, and how much time passed while the runs trained."""
    records = [record for record in comparison.records if "seconds" in record.metric_values]
    seconds = measure_wall_time(records, comparison.collection.sweep_starts)
    if records and seconds is not None:
        yield (
            "s: what a run took of its cohort's time, in seconds; runs that train together share it. The "
            f"{format_count(len(records), 'run')} trained within {format_duration(seconds)} of wall time."
        )


def measure_wall_time(records: Sequence[RunRecord], sweep_starts: Mapping[Path, Sequence[float]]) -> float | None:
    """Return the seconds in which at least one of these runs was being trained; None if no run says when it ended.

    A run counts from the start of the last sweep that trained it, and one that was trained alone for as long as its
    epochs took. The time between an interruption and the next sweep does not count.

    Args:
        records: the runs.
        sweep_starts: the times at which the sweeps of a run started, by its directory.
    """
    spans = []
    for record in records:
        if record.ended is not None:
            starts = [start for start in sweep_starts.get(record.directory, ()) if start <= record.ended]
            spans.append((max(starts, default=record.ended - record.epoch_seconds), record.ended))
    if not spans:
        return None
    seconds, last_end = 0.0, 0.0
    for start, end in sorted(spans):
        seconds += max(0.0, end - max(start, last_end))
        last_end = max(last_end, end)
    return seconds


def format_duration(seconds: float) -> str:
    """Return a duration in its two largest units: "0.6 s", "28 s", "1 min 28 s", "2 h 5 min"."""
    if seconds < 10:
        return f"{seconds:.1f} s"
    whole_seconds = round(seconds)
    if whole_seconds < 60:
        return f"{whole_seconds} s"
    if whole_seconds < 3600:
        return f"{whole_seconds // 60} min {whole_seconds % 60} s"
    return f"{whole_seconds // 3600} h {whole_seconds % 3600 // 60} min"
