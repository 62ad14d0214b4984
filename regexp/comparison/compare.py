"""Which configuration is better, by how much, and is the difference real? Imports no torch."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field, replace

from regexp.comparison.effects import Effect, effects
from regexp.comparison.grouping import (
    ABSENT,
    configurations,
    full_key,
    matching,
    same_value,
    split_values,
    varied_key,
    without_repeats,
)
from regexp.comparison.loading import Collection, Record
from regexp.comparison.rows import METRICS, Metric, Row, average, make_row, pairs, test_differences
from regexp.config.keys import closest
from regexp.config.validation import did_you_mean
from regexp.errors import ConfigError


@dataclass
class Comparison:
    """Rows with their differences to one of them.

    Attributes:
        keys: what varied between the rows, or what `by` chose of it.
        averaged: keys that each row is averaged over.
        rows: in the order asked for.
        main, interactions: effects, where all combinations of values are there, else empty.
        levels: the values of all keys that varied, first the one that comes first.
        cells: a row for each combination of them that is there.
    """

    collection: Collection
    metric: Metric
    keys: list[str]
    averaged: list[str]
    rows: list[Row]
    baseline: Row
    levels: dict[str, list[str]]
    cells: list[Row]
    main: list[Effect] = field(default_factory=list)
    interactions: list[Effect] = field(default_factory=list)
    remarks: list[str] = field(default_factory=list)

    @property
    def records(self) -> list[Record]:
        """All runs that were looked at."""
        return [record for row in self.cells for record in row.records]


def compare_all(
    collection: Collection,
    by: Sequence[str] = (),
    baseline: Sequence[str] = (),
    metric: str | None = None,
    where: Sequence[str] = (),
    sort: str | None = None,
) -> Comparison:
    """Compare the runs of a collection.

    Args:
        by: keys whose values are compared, averaged over those of the others; none: all that varied.
        baseline: conditions "key=value" on what the others are compared with; other keys keep their first value.
        metric: one of METRICS that the differences are in; None: test accuracy, or validation accuracy where the test
            set validates.
        where: conditions that runs must meet.
        sort: metric, best first, or key, in the order of its values; None: validation accuracy.

    Raises ConfigError for a mistake in any of these.
    """
    records = matching(collection.records, where)
    found, repeats = without_repeats(configurations(records))
    if not found:
        why = collection.remarks or [f"{len(collection.missing)} runs were asked for, and none is left"]
        what = "no run is like that" if where else "; ".join(why[:3])
        raise ConfigError(f"{collection.title}: there is nothing to compare: {what}")
    if where:
        collection = replace(collection, title=f"{collection.title}, where {' and '.join(where)}", missing=[])
    cells = [make_row(configuration) for configuration in found]
    remarks = [f"where a configuration and seed was trained twice the newest counts ({repeats} left out)"] * bool(
        repeats
    )
    levels = {key: list(dict.fromkeys(cell.values[key] for cell in cells)) for key in cells[0].values}
    chosen = _metric(metric, cells)
    keys = [varied_key(key, list(levels), "--by") for key in by] or list(levels)
    averaged = [key for key in levels if key not in keys]
    rows, lacking = average(cells, keys) if averaged else (cells, [])
    if not rows:
        raise ConfigError(
            f"--by {' '.join(by)}: no combination of {', '.join(averaged)} is there for all values: nothing can be "
            "averaged over"
        )
    if lacking:
        remarks.append(f"{', '.join(averaged)}: not averaged over {'; '.join(lacking)}, which not all rows have")
    first = _baseline(rows, baseline)
    _differences(rows, first, chosen.name)
    # Effects are against the baseline's values.
    ordered = {key: sorted(own, key=lambda value: value != first.values.get(key)) for key, own in levels.items()}
    main, interactions = effects(cells, ordered, chosen.name)
    rows = sorted(rows, key=lambda row: _order(row, sort, levels))
    return Comparison(collection, chosen, keys, averaged, rows, first, levels, cells, main, interactions, remarks)


def _metric(name: str | None, rows: Sequence[Row]) -> Metric:
    if name is None:
        return METRICS["test_accuracy" if any("test_accuracy" in row.scores for row in rows) else "val_accuracy"]
    plain = _plain(name)
    if plain not in METRICS:
        close = closest(plain, list(METRICS))
        raise ConfigError(f"--metric {name}: is none of {', '.join(METRICS)}{did_you_mean([close] if close else [])}")
    if plain == "seconds":
        raise ConfigError("--metric seconds: runs that train together share their time: seeds say nothing of it")
    return METRICS[plain]


def _plain(name: str) -> str:
    """A metric's name, also where it is given as TensorBoard's tag."""
    return name.removeprefix("best/").replace("/", "_")


def _baseline(rows: Sequence[Row], conditions: Sequence[str]) -> Row:
    """The row that meets all conditions, of several the one that agrees most with the first row."""
    candidates = list(rows)
    for condition in conditions:
        key, _, value = condition.partition("=")
        if not value:
            raise ConfigError(f"--baseline {condition}: type key=value, for example normalization=none")
        key, values = varied_key(key, list(rows[0].values), "--baseline"), split_values(value)
        wanted = same_value(values[0], [row.values[key] for row in rows], f"--baseline {condition}")
        candidates = [row for row in candidates if row.values[key] == wanted]
        if not candidates or len(values) > 1:
            raise ConfigError(f"--baseline {condition}: with the other conditions there must be one configuration")
    first = rows[0].values
    return max(candidates, key=lambda row: sum(first[key] == value for key, value in row.values.items()))


def _differences(rows: Sequence[Row], baseline: Row, metric: str) -> None:
    """Give each row but the baseline its difference to that, corrected for the number of those."""
    others = [row for row in rows if row is not baseline]
    samples = [pairs(row.scores.get(metric, {}), baseline.scores.get(metric, {})) for row in others]
    for row, difference in zip(others, test_differences(samples), strict=True):
        row.difference = difference
        difference.survivors = any(record.status == "diverged" for record in [*row.records, *baseline.records])


def _order(row: Row, sort: str | None, levels: Mapping[str, Sequence[str]]) -> tuple[bool, float]:
    """Sorts best first; rows without a figure last."""
    if sort is not None and _plain(sort) not in METRICS:
        try:
            key = full_key(sort, list(row.values))
        except ConfigError as error:
            known = [*row.values, *METRICS]
            close = closest(sort, known)
            meant = did_you_mean([close] if close else [])
            raise ConfigError(f"--sort {sort}: is none of {', '.join(known)}{meant}") from error
        return (False, levels[key].index(row.values[key]) if row.values[key] != ABSENT else -1)
    name = "val_accuracy" if sort is None else _plain(sort)
    found = row.estimate(name)
    return (found is None, 0.0 if found is None else found.mean * (-METRICS[name].better or 1))
