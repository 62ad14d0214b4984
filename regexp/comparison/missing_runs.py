"""The runs that a comparison still lacks: running, interrupted, failed or missing ones. Imports no torch."""

import json
import math
from collections import Counter
from collections.abc import Iterator, Mapping, Sequence
from contextlib import suppress
from dataclasses import dataclass, field
from itertools import pairwise, product
from pathlib import Path
from typing import Any

from regexp.comparison.compare import Comparison
from regexp.comparison.grouping import ABSENT
from regexp.comparison.key_names import format_label
from regexp.comparison.rows import Row
from regexp.config.schema import flatten
from regexp.errors import ConfigError
from regexp.runs.identity import DATA_PATH_KEYS, IGNORED_KEYS, data_paths
from regexp.runs.listing.finding import SweepMember
from regexp.runs.run_record import RunRecord
from regexp.utils.messages import join_words, split_command
from regexp.utils.next_commands import command_prefix, relative_path

# A grid may lack this many times as many combinations as it has, the impossible ones included, to count as a grid.
_MAX_GAPS = 2


@dataclass
class UnfinishedGroup:
    """Runs that have not finished, or that are missing, for which the same command is to be typed.

    Attributes:
        purpose: what the command does, before it: "to resume: "; empty where there is nothing to type.
        command: the command.
        states: how far the runs have come, in words, each with the number of runs.
        names: the runs of which a user should know which they are.
    """

    purpose: str = ""
    command: str = ""
    states: Counter[str] = field(default_factory=Counter)
    names: list[str] = field(default_factory=list)


def list_unfinished(comparison: Comparison) -> list[UnfinishedGroup]:
    """Return the runs that have not finished, by what is to be typed.

    Missing runs are the members of a sweep without a directory, seeds that only other configurations have, and
    combinations of values without which a grid is not full.
    """
    groups: dict[str, UnfinishedGroup] = {}
    for record in comparison.records:
        if not record.finished:
            command = _command_again(record)
            group = groups.setdefault(command, UnfinishedGroup(command=command))
            group.states[_describe_state(record)] += 1
            if command and (record.status == "interrupted" or not group.purpose):
                group.purpose = "to resume: " if record.status == "interrupted" else "to train again: "
            if record.status not in ("interrupted", "running"):
                problem = f" ({record.problem})" if record.problem else ""
                group.names.append(f"{record.status} {record.directory.name}{problem}")
    for member in comparison.collection.missing_runs:
        command = f"{command_prefix()}{_command_of_member(member, comparison)}"
        group = groups.setdefault(command, UnfinishedGroup("to train: ", command))
        group.states["not begun"] += 1
    return [*groups.values(), *_list_missing_configurations(comparison)]


def _list_missing_configurations(comparison: Comparison) -> Iterator[UnfinishedGroup]:
    """Yield a group for each configuration that lacks seeds which others have, or without which a grid is not full."""
    listed = {tuple(sorted(member.overrides)) for member in comparison.collection.missing_runs}
    all_seeds = sorted({record.seed for cell in comparison.cells for record in cell.records})
    candidates: list[tuple[str, RunRecord, dict[str, str], list[int]]] = [
        (cell.title, cell.records[0], {}, _missing_seeds(cell, all_seeds)) for cell in comparison.cells
    ]
    candidates += [
        (format_label(values), comparison.records[0], values, all_seeds) for values in _find_gaps(comparison)
    ]
    for title, example, values, seeds in candidates:
        unlisted_seeds = [
            seed
            for seed in seeds
            if tuple(sorted(_replace_values(example, {**values, "seed": str(seed)}))) not in listed
        ]
        if unlisted_seeds:
            command = _training_command(example, values, unlisted_seeds)
            yield UnfinishedGroup("to train: ", command, Counter({"missing": len(unlisted_seeds)}), [title])


def _missing_seeds(cell: Row, all_seeds: Sequence[int]) -> list[int]:
    seeds = {record.seed for record in cell.records}
    return [seed for seed in all_seeds if seed not in seeds]


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


def _describe_state(record: RunRecord) -> str:
    """Return how far a run has come, in words that runs have in common."""
    progress = f"at epoch {record.last_epoch} of {record.max_epochs}"
    if record.status == "interrupted":
        return progress if record.last_epoch else "not begun"
    return f"{record.status} {progress}" if record.status in ("running", "diverged", "pruned") else record.status


def _command_again(record: RunRecord) -> str:
    """Return the command that goes on with a run or trains it again; "" if there is nothing to type."""
    if record.status in ("running", "diverged", "pruned"):
        return ""
    # A run of a notebook has no command line: its overrides say the same.
    command = record.command or join_words(["regexp", *record.overrides, *_directory_override(record, is_sweep=False)])
    return f"{command_prefix()}{command}"


def _command_of_member(member: SweepMember, comparison: Comparison) -> str:
    """Return the command that trains a member of a sweep: that of the sweep, or of the run if there is none."""
    if split_command(member.command)[:1] in (["regexp"], ["python"]):
        return member.command
    return join_words([*_program(comparison.records), *member.overrides, *_directory_override_of_sweep(comparison)])


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
