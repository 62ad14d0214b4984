"""The runs that a comparison still lacks: running, interrupted, failed or missing ones. Imports no torch."""

import math
import shlex
from collections.abc import Iterator, Mapping, Sequence
from itertools import product
from pathlib import Path

from regexp.comparison.compare import Comparison
from regexp.comparison.grouping import ABSENT
from regexp.runs.run_record import RunRecord
from regexp.utils.next_commands import command_prefix, relative_path


def list_unfinished(comparison: Comparison) -> Iterator[tuple[str, str, str]]:
    """Yield every run or group of runs that has not finished or is missing.

    Missing runs are the members of a sweep without a directory, seeds that only other configurations have, and
    combinations of values without which a grid is not full.

    Yields:
        The status, the name, and the progress or the command that trains it.
    """
    for record in comparison.records:
        if not record.finished:
            yield record.status, record.directory.name, " ".join(_describe_state(record))
    for overrides in comparison.collection.missing_runs:
        command = ["regexp", *overrides, *_directory_override_of_sweep(comparison)]
        yield "missing", " ".join(overrides), f"{command_prefix()}{shlex.join(command)}"
    listed = {tuple(sorted(overrides)) for overrides in comparison.collection.missing_runs}
    all_seeds = {record.seed for cell in comparison.cells for record in cell.records}
    for cell in comparison.cells:
        example = cell.records[0]
        missing_seeds = sorted(all_seeds - {record.seed for record in cell.records})
        unlisted_seeds = [
            seed for seed in missing_seeds if tuple(sorted(_replace_values(example, {"seed": str(seed)}))) not in listed
        ]
        if unlisted_seeds:
            yield "missing", cell.title, _training_command(example, {}, unlisted_seeds)
    missing_cells = math.prod(map(len, comparison.levels.values())) - len(comparison.cells)
    # Where more combinations are missing than trained, the runs are single points of a space, not a grid with gaps.
    if 0 < missing_cells <= len(comparison.cells):
        combinations = {tuple(cell.values.values()) for cell in comparison.cells}
        for values in product(*comparison.levels.values()):
            if values not in combinations and ABSENT not in values:
                values_by_key = dict(zip(comparison.levels, values, strict=True))
                command_line = _training_command(comparison.records[0], values_by_key, sorted(all_seeds))
                yield "missing", ", ".join(values), command_line


def _describe_state(record: RunRecord) -> Iterator[str]:
    if record.status in ("running", "interrupted", "diverged"):
        yield f"epoch {record.last_epoch} of {record.max_epochs}"
    if record.problem:
        yield record.problem
    if record.status == "interrupted":
        yield f"to resume: {command_prefix()}{record.command}"
    elif record.status in ("failed", "broken"):
        yield f"to train again: {command_prefix()}{record.command}"


def _training_command(example: RunRecord, values: Mapping[str, str], seeds: Sequence[int]) -> str:
    """Return the command that trains an example's configuration, with other values of some keys, for some seeds."""
    overrides = _replace_values(example, {**values, "seed": ",".join(map(str, seeds))})
    is_sweep = len(seeds) > 1
    words = ["regexp", *(["-m"] if is_sweep else []), *overrides, *_directory_override(example, is_sweep)]
    return f"{command_prefix()}{shlex.join(words)}"


def _directory_override_of_sweep(comparison: Comparison) -> list[str]:
    return _directory_override(comparison.records[0], is_sweep=False) if comparison.records else []


def _directory_override(example: RunRecord, is_sweep: bool) -> list[str]:
    """Return the override that records a run beside the example, where that is not below outputs/."""
    outputs = example.directory.parent.parent
    if outputs.resolve() == Path("outputs").resolve():
        return []
    return [f"hydra.{'sweep' if is_sweep else 'run'}.dir={relative_path(outputs)}"]


def _replace_values(example: RunRecord, values: Mapping[str, str]) -> list[str]:
    """Return a run's overrides with other values of some keys."""
    overrides = {override.partition("=")[0].lstrip("+"): override for override in example.overrides}
    overrides |= {key: f"{key}={value}" for key, value in values.items()}
    return list(overrides.values())
