"""What a comparison still lacks: runs that train, were interrupted, failed, or are not there. Imports no torch."""

import math
import shlex
from collections.abc import Iterator, Mapping, Sequence
from itertools import product
from pathlib import Path

from regexp.comparison.compare import Comparison
from regexp.comparison.grouping import ABSENT
from regexp.comparison.records import Record
from regexp.utils.next_commands import command_prefix, relative_path


def unfinished(comparison: Comparison) -> Iterator[tuple[str, str, str]]:
    """Of every run that has not finished, or is not there: status, name, and how far it is or what to type."""
    for record in comparison.records:
        if not record.finished:
            yield record.status, record.directory.name, " ".join(_state(record))
    for overrides in comparison.collection.missing_runs:
        yield (
            "missing",
            " ".join(overrides),
            f"{command_prefix()}{shlex.join(['regexp', *overrides, *_place(comparison)])}",
        )
    told = {tuple(sorted(overrides)) for overrides in comparison.collection.missing_runs}
    everywhere = {record.seed for cell in comparison.cells for record in cell.records}
    for cell in comparison.cells:
        lacking = sorted(everywhere - {record.seed for record in cell.records})
        wanted = [seed for seed in lacking if tuple(sorted(_with(cell.records[0], {"seed": str(seed)}))) not in told]
        if wanted:
            yield "missing", cell.label, _command(cell.records[0], {}, wanted)
    combinations = math.prod(map(len, comparison.levels.values()))
    # A grid with gaps, not a few points of a space.
    if 0 < combinations - len(comparison.cells) <= len(comparison.cells):
        there = {tuple(cell.values.values()) for cell in comparison.cells}
        for values in product(*comparison.levels.values()):
            if values not in there and ABSENT not in values:
                named = dict(zip(comparison.levels, values, strict=True))
                yield "missing", ", ".join(values), _command(comparison.records[0], named, sorted(everywhere))


def _state(record: Record) -> Iterator[str]:
    if record.status in ("running", "interrupted", "diverged"):
        yield f"epoch {record.last_epoch} of {record.max_epochs}"
    if record.problem:
        yield record.problem
    if record.status in ("interrupted", "failed", "broken"):
        yield f"again: {command_prefix()}{record.command}"


def _command(like: Record, values: Mapping[str, str], seeds: Sequence[int]) -> str:
    """What trains runs that differ from one in these values, for each of these seeds."""
    words = _with(like, {**values, "seed": ",".join(map(str, seeds))})
    several = len(seeds) > 1
    return f"{command_prefix()}{shlex.join(['regexp', *['-m'] * several, *words, *_folder(like, several)])}"


def _place(comparison: Comparison) -> list[str]:
    return _folder(comparison.records[0], False) if comparison.records else []


def _folder(like: Record, several: bool) -> list[str]:
    """The override that a run needs which is not below outputs/."""
    outputs = like.directory.parent.parent
    if outputs.resolve() == Path("outputs").resolve():
        return []
    return [f"hydra.{'sweep' if several else 'run'}.dir={relative_path(outputs)}"]


def _with(like: Record, values: Mapping[str, str]) -> list[str]:
    """A run's overrides with other values."""
    words = {override.partition("=")[0].lstrip("+"): override for override in like.overrides}
    return [*(words | {key: f"{key}={value}" for key, value in values.items()}).values()]
