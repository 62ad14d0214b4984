"""What a comparison still lacks: runs that train, were interrupted, failed, or are not there. Imports no torch."""

import math
import shlex
from collections.abc import Iterable, Iterator, Sequence
from itertools import product

from regexp.comparison import Comparison
from regexp.records import Record
from regexp.rows import Row


def unfinished(comparison: Comparison) -> Iterator[tuple[str, str, str]]:
    """Of every run that has not finished, or is not there: status, name, and how far it is or what to type."""
    for record in comparison.records:
        if not record.finished:
            yield record.status, record.directory.name, " ".join(_state(record))
    for overrides in comparison.collection.missing:
        yield "missing", " ".join(overrides), f"regexp {shlex.join(overrides)}"
    for row, lacking in _gaps(comparison.cells):
        yield "missing", row.label, f"seed={','.join(map(str, lacking))}"
    combinations = math.prod(map(len, comparison.levels.values()))
    # A grid with gaps, not a few points of a space.
    if 0 < combinations - len(comparison.cells) <= len(comparison.cells):
        there = {tuple(cell.values.values()) for cell in comparison.cells}
        yield from (
            ("missing", ", ".join(values), shlex.join(["regexp", *_typed(comparison.levels, values)]))
            for values in product(*comparison.levels.values())
            if values not in there
        )


def _state(record: Record) -> Iterator[str]:
    if record.status in ("running", "interrupted", "diverged"):
        yield f"epoch {record.epoch} of {record.epochs}"
    if record.problem:
        yield record.problem
    if record.status in ("interrupted", "failed", "broken"):
        yield f"again: {record.again}"


def _gaps(cells: Sequence[Row]) -> Iterator[tuple[Row, list[int]]]:
    """Seeds that other configurations have."""
    everywhere = {record.seed for cell in cells for record in cell.records}
    for cell in cells:
        if lacking := sorted(everywhere - {record.seed for record in cell.records}):
            yield cell, lacking


def _typed(keys: Iterable[str], values: Iterable[str]) -> list[str]:
    return [f"{key}={value}" for key, value in zip(keys, values, strict=True)]
