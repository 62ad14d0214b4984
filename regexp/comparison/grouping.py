"""Grouping of runs into configurations by the keys that varied between them. Imports no torch."""

from collections.abc import Sequence
from dataclasses import dataclass, field, replace

from regexp.comparison.conditions import parse_condition, resolve_values
from regexp.runs.identity import DATA_PATH_KEYS, IGNORED_KEYS
from regexp.runs.run_record import RunRecord
from regexp.utils.messages import format_value

# Stands for the value of a key that a configuration does not have.
ABSENT = "-"


@dataclass
class Configuration:
    """Runs that differ in their seed only.

    Attributes:
        values: the values of the keys that varied, as the user would type them, by key.
        records: the runs.
    """

    values: dict[str, str]
    records: list[RunRecord] = field(default_factory=list)


def group_by_configuration(records: Sequence[RunRecord]) -> list[Configuration]:
    """Return the configurations of runs, in order of appearance."""
    groups: dict[str, list[RunRecord]] = {}
    for record in records:
        groups.setdefault(record.configuration_key, []).append(record)
    names = _Names(_augmentation_options(records), _data_paths(records))
    values_of_groups = [_all_values(group, names) for group in groups.values()]
    keys = _distinguishing_keys(values_of_groups, records)
    return [
        Configuration({key: values.get(key, ABSENT) for key in keys}, group)
        for values, group in zip(values_of_groups, groups.values(), strict=True)
    ]


def filter_records(records: Sequence[RunRecord], conditions: Sequence[str]) -> list[RunRecord]:
    """Return the runs that meet all conditions.

    Args:
        records: the runs.
        conditions: each "key=value", or for any of several "key=value,value" or "key=range(2)". A key may be short (lr
            for optimizer.lr) where it is unambiguous. "tags=NAME" is met by runs that have that tag among others.

    Raises:
        ConfigError: a condition is malformed, no run has its key, or no run has its value.
    """
    if not conditions:
        return list(records)
    names = _Names(_augmentation_options(records), _data_paths(records))
    values_of_records = [
        {key: (value,) for key, value in {**_all_values([record], names), "seed": str(record.seed)}.items()}
        | {"tags": record.tags or (ABSENT,)}
        for record in records
    ]
    all_keys = list(dict.fromkeys(key for values in values_of_records for key in values))
    chosen_indices = list(range(len(records)))
    for condition in conditions:
        key, typed_values = parse_condition(condition, all_keys)
        values_of_key = [values.get(key, (ABSENT,)) for values in values_of_records]
        existing_values = list(dict.fromkeys(value for values in values_of_key for value in values))
        accepted_values = set(resolve_values(typed_values, existing_values, condition))
        chosen_indices = [i for i in chosen_indices if accepted_values.intersection(values_of_key[i])]
    return [records[i] for i in chosen_indices]


@dataclass(frozen=True)
class _Names:
    """The names under which users know what records hold in other words.

    Attributes:
        options: the name of an augmentation's option, by the augmentation's text (see `_augmentation_options`).
        data_paths: the paths of a data set by key, by its fingerprint (see `_data_paths`).
    """

    options: dict[str, str]
    data_paths: dict[str, dict[str, str]]


def _all_values(group: Sequence[RunRecord], names: _Names) -> dict[str, str]:
    """Return the value of every key of a configuration, as the user would type it.

    Args:
        group: the runs of the configuration.
        names: the names of augmentations and data.

    Returns:
        The values of the configuration by key, paths of its data first, and those that were typed for keys which it
        does not record.
    """
    config = group[0].config
    values = dict(names.data_paths.get(str(config["data.fingerprint"]), {}))
    values |= {key: format_value(value, mark_fractions=True) for key, value in config.items()}
    values["augmentation"] = names.options.get(_augmentation_text(group[0]), str(config["augmentation"]))
    values["augmentation.steps"] = str(config["augmentation"])
    for record in group:
        for key, value in _typed_values(record).items():
            if key not in DATA_PATH_KEYS:
                values.setdefault(key, value)
    return values


def _typed_values(record: RunRecord) -> dict[str, str]:
    """Return the values that a run's overrides set, by key, without those that cannot change the result."""
    values = {}
    ignored_keys = {"seed", *IGNORED_KEYS} - set(DATA_PATH_KEYS)
    for override in record.overrides:
        key, _, value = override.lstrip("+").partition("=")
        if not key.startswith(("~", "hydra")) and key not in ignored_keys:
            values[key] = value
    return values


def _augmentation_text(record: RunRecord) -> str:
    """Return the whole augmentation of a run as text."""
    augmentation = {key: value for key, value in record.config.items() if key.startswith("augmentation")}
    return format_value(augmentation, mark_fractions=True)


def _augmentation_options(records: Sequence[RunRecord]) -> dict[str, str]:
    """Return the option with which each augmentation was first chosen, by the augmentation's text."""
    names: dict[str, str] = {}
    for record in records:
        if (option := _typed_values(record).get("augmentation")) is not None:
            names.setdefault(_augmentation_text(record), option)
    return names


def _data_paths(records: Sequence[RunRecord]) -> dict[str, dict[str, str]]:
    """Return the paths of each data set by key, by its fingerprint: of several with the same files, the first.

    So that a path stands for one data set wherever it tells them apart, and never for two.
    """
    paths: dict[str, dict[str, str]] = {}
    for record in records:
        paths.setdefault(str(record.config["data.fingerprint"]), record.data_paths)
    return paths


def _distinguishing_keys(values_of_groups: Sequence[dict[str, str]], records: Sequence[RunRecord]) -> list[str]:
    """Return keys that distinguish all configurations: typed keys that varied, then as few others as are needed."""
    typed_keys = dict.fromkeys(key for record in records for key in _typed_values(record))
    keys = [key for key in typed_keys if len({values.get(key, ABSENT) for values in values_of_groups}) > 1]
    other_keys = [
        key for key in dict.fromkeys(key for values in values_of_groups for key in values) if key not in typed_keys
    ]
    while other_keys and _count_distinct(values_of_groups, keys) < len(values_of_groups):
        # Add the key that, together with the keys so far, distinguishes the most configurations; the first of several.
        best_key = max(other_keys, key=lambda key: _count_distinct(values_of_groups, [*keys, key]))
        keys.append(best_key)
        other_keys.remove(best_key)
    return keys


def _count_distinct(values_of_groups: Sequence[dict[str, str]], keys: Sequence[str]) -> int:
    """Return the number of configurations that these keys distinguish."""
    return len({tuple(values.get(key, ABSENT) for key in keys) for values in values_of_groups})


def drop_repeated_seeds(configurations: Sequence[Configuration]) -> tuple[list[Configuration], int]:
    """Keep one run for each seed of a configuration: the newest finished run, or the newest if none has finished.

    Returns:
        The configurations with one run for each seed, and the number of runs that were dropped.
    """
    kept_configurations = []
    dropped = 0
    for configuration in configurations:
        by_seed: dict[int, RunRecord] = {}
        for record in configuration.records:
            previous = by_seed.get(record.seed)
            if previous is None or (record.finished, record.started) >= (previous.finished, previous.started):
                by_seed[record.seed] = record
        dropped += len(configuration.records) - len(by_seed)
        kept_configurations.append(replace(configuration, records=list(by_seed.values())))
    return kept_configurations, dropped
