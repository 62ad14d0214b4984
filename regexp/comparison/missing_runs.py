"""The runs that a comparison still lacks: running, interrupted, failed or missing ones. Imports no torch."""

import json
import math
from collections.abc import Iterator, Mapping, Sequence
from contextlib import suppress
from itertools import pairwise, product
from pathlib import Path
from typing import Any

from regexp.comparison.compare import Comparison
from regexp.comparison.grouping import ABSENT
from regexp.comparison.key_names import format_label
from regexp.config.schema import flatten
from regexp.errors import ConfigError
from regexp.runs.identity import DATA_PATH_KEYS, IGNORED_KEYS, data_paths
from regexp.runs.run_record import RunRecord
from regexp.utils.messages import join_words, split_command
from regexp.utils.next_commands import command_prefix, relative_path

# A grid may lack this many times as many combinations as it has, the impossible ones included, to count as a grid.
_MAX_GAPS = 2


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
    for member in comparison.collection.missing_runs:
        command = [*_program(comparison.records), *member.overrides, *_directory_override_of_sweep(comparison)]
        yield "missing", " ".join(member.overrides), f"{command_prefix()}{join_words(command)}"
    listed = {tuple(sorted(member.overrides)) for member in comparison.collection.missing_runs}
    all_seeds = {record.seed for cell in comparison.cells for record in cell.records}
    for cell in comparison.cells:
        example = cell.records[0]
        missing_seeds = sorted(all_seeds - {record.seed for record in cell.records})
        unlisted_seeds = [
            seed for seed in missing_seeds if tuple(sorted(_replace_values(example, {"seed": str(seed)}))) not in listed
        ]
        if unlisted_seeds:
            yield "missing", cell.title, _training_command(example, {}, unlisted_seeds)
    for values in _find_gaps(comparison):
        command_line = _training_command(comparison.records[0], values, sorted(all_seeds))
        yield "missing", format_label(values), command_line


def _find_gaps(comparison: Comparison) -> list[dict[str, str]]:
    """Return the values, by key, of each possible combination that a grid lacks; none where there is no grid.

    A combination is impossible where its configuration is refused, as a key that its option does not have is. It is not
    missing where its configuration was trained after all, typed in another way.
    """
    num_cells = len(comparison.cells)
    missing_cells = math.prod(map(len, comparison.levels.values())) - num_cells
    # Where far more combinations are missing than trained, the runs are single points of a space, and not a grid.
    if not 0 < missing_cells <= _MAX_GAPS * num_cells:
        return []
    from regexp.config.compose import make_composer  # imports Hydra, which no other part of a comparison waits for

    example, trained_values = comparison.records[0], {tuple(cell.values.values()) for cell in comparison.cells}
    trained_or_listed = {
        _configuration_key(cell.records[0].config, cell.records[0].data_paths) for cell in comparison.cells
    }
    gaps = []
    with suppress(ConfigError):  # the directory of the user's own options is gone
        composer = make_composer(_config_directory(example))
        for values in product(*comparison.levels.values()):
            if values in trained_values or ABSENT in values:
                continue
            values_by_key = dict(zip(comparison.levels, values, strict=True))
            with suppress(ConfigError):
                config = composer.compose_job(_replace_values(example, values_by_key)).config
                flat_config = {**flatten(config), "augmentation": "+".join(config.augmentation) or "none"}
                key = _configuration_key(flat_config, data_paths(flat_config))
                if key not in trained_or_listed:
                    trained_or_listed.add(key)
                    gaps.append(values_by_key)
    return gaps if len(gaps) <= num_cells else []


def _configuration_key(config: Mapping[str, Any], paths: Mapping[str, str]) -> str:
    """Return the part of a configuration that decides a result, as text: equal however the configuration was typed."""
    ignored_keys = {*IGNORED_KEYS, *DATA_PATH_KEYS, "seed", "data.fingerprint"}
    values = {key: value for key, value in config.items() if key not in ignored_keys}
    return json.dumps([values, dict(paths)], sort_keys=True)


def _config_directory(record: RunRecord) -> str | None:
    """Return the directory of the user's own options in the command of a run; None where it has none."""
    words = split_command(record.command)
    for word, next_word in pairwise([*words, ""]):
        if word in ("--config-dir", "-cd"):
            return next_word
        if word.startswith("--config-dir="):
            return word.partition("=")[2]
    return None


def _describe_state(record: RunRecord) -> Iterator[str]:
    if record.status in ("running", "interrupted", "diverged"):
        yield f"epoch {record.last_epoch} of {record.max_epochs}"
    if record.problem:
        yield record.problem
    # A run of a notebook has no command line: its overrides say the same.
    command = record.command or join_words(["regexp", *record.overrides, *_directory_override(record, is_sweep=False)])
    if record.status == "interrupted":
        yield f"to resume: {command_prefix()}{command}"
    elif record.status in ("failed", "broken"):
        yield f"to train again: {command_prefix()}{command}"


def _training_command(example: RunRecord, values: Mapping[str, str], seeds: Sequence[int]) -> str:
    """Return the command that trains an example's configuration, with other values of some keys, for some seeds."""
    overrides = _replace_values(example, {**values, "seed": ",".join(map(str, seeds))})
    is_sweep = len(seeds) > 1
    words = [*_program([example]), *(["-m"] if is_sweep else []), *overrides]
    words += _directory_override(example, is_sweep)
    return f"{command_prefix()}{join_words(words)}"


def _program(examples: Sequence[RunRecord]) -> list[str]:
    """Return the first words of a command that trains runs like the first of these examples."""
    directory = _config_directory(examples[0]) if examples else None
    return ["regexp"] if directory is None else ["regexp", "--config-dir", directory]


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
    for key, value in values.items():
        sign = "+" if overrides.get(key, "").startswith("+") else ""
        overrides[key] = f"{sign}{key}={value}"
    return list(overrides.values())
