"""Messages about overrides that Hydra can read but that do not fit: the key, the value, and what to type instead."""

import re
from collections import Counter
from collections.abc import Iterator, Mapping, Sequence
from itertools import islice
from pathlib import Path

from hydra.core.override_parser.types import Override
from omegaconf import DictConfig, OmegaConf
from omegaconf.errors import ConfigAttributeError, ConfigKeyError, ValidationError

from regexp.config.constraints import can_convert, describe_wrong_type, find_violations
from regexp.config.keys import closest_match, find_key, find_open_key, suggest_keys, suggest_overrides
from regexp.config.overrides import Groups
from regexp.config.schemas.augmentation import STEPS
from regexp.config.suggestions.patterns import describe_interval, describe_range, describe_target, describe_unnamed_step
from regexp.config.suggestions.synonyms import find_choice
from regexp.utils.messages import did_you_mean, first_line, quote_word, say, say_where_keys_are

# The most values of a sweep that a message lists.
MAX_SHOWN_VALUES = 6


def describe_unexpected_sweep(override: Override) -> str:
    """Return the message for an override with several values on a command line that trains one run."""
    text, name, typed_value = str(override.input_line), override.key_or_group, _typed_value(override)
    if (problem := describe_interval(override)) is not None:
        return f"{text}: {problem}"
    key = find_key(name)
    type_description = "" if key is None else key.type_description
    alternative = ""
    if type_description.startswith("a list") and "(" not in typed_value:
        alternative = f", or for one list {quote_word(f'{name}=[{typed_value}]')}"
    if type_description.startswith("a number") and re.fullmatch(r"\d+,\d+", typed_value):
        alternative = f", or for one number {name}={typed_value.replace(',', '.')}"
    values = list(islice(override.sweep_iterator(), MAX_SHOWN_VALUES + 1)) if override.is_discrete_sweep() else []
    grid = f"sweep({{{name!r}: {values}}})" if 0 < len(values) <= MAX_SHOWN_VALUES else "sweep"
    remedy = say(f"type regexp -m {quote_word(text)}{alternative}", f"call {grid}{alternative}")
    return f"{text}: several values make a sweep; {remedy}"


def merge_swept_problems(counts: Counter[str], sweeps: Sequence[Override]) -> Counter[str]:
    """Return problems with one in place of those that all values of an override have, such as a mistyped key.

    Args:
        counts: the number of runs that have each problem.
        sweeps: the overrides with several values that the runs were made from.
    """
    for override in sweeps:
        name, _, typed_values = str(override.input_line).partition("=")
        by_text: dict[str, list[str]] = {}
        values = list(dict.fromkeys(map(str, override.sweep_string_iterator()))) if counts else []
        for value in values:
            # In "lr=0: ...; for example lr=0.1" the second 0 is another value.
            value_pattern = re.compile(rf"={re.escape(value)}(?![\w.])")
            for problem in counts:
                if problem.startswith(f"{name}={value}:"):
                    text = f"={typed_values}".join(value_pattern.split(problem))
                    by_text.setdefault(text, []).append(problem)
        replacements = {
            problem: text for text, alike in by_text.items() if len(alike) == len(values) > 1 for problem in alike
        }
        merged: Counter[str] = Counter()
        for problem, count in counts.items():
            merged[replacements.get(problem, problem)] += count
        counts = merged
    return counts


def count_runs(counts: Counter[str], total: int, problems_of_all: Sequence[str]) -> Iterator[str]:
    """Yield problems, each with the number of runs that have it where that is not all of them.

    Args:
        counts: the number of runs that have each problem.
        total: the number of runs.
        problems_of_all: problems that belong to no single run.
    """
    for problem, count in counts.items():
        yield problem if count == total or problem in problems_of_all else f"{problem} ({count} of {total} runs)"


def describe_choice_problem(override: Override, groups: Groups) -> str | None:
    """Return the problem of an override that chooses a group's option, or None if there is none.

    Args:
        override: the override, whose key is a group.
        groups: the options of each group.
    """
    text, group, value = str(override.input_line), override.key_or_group, override.value()
    options = list(groups[group])
    if override.is_delete():
        remedy = f"{group}=none" if "none" in options else f"one of its options, such as {group}={options[0]}"
        return f"{text}: a group cannot be dropped; choose {remedy}"
    if override.is_add() or override.is_force_add():
        return f"{text}: the group is already there; type {quote_word(text.lstrip('+'))}"
    for option in value if isinstance(value, list) else [value]:
        if option is None or option == "":
            return f"{text}: choose one of {', '.join(options)}"
        if str(option) not in options:
            suggestion = _suggest_option(group, str(option), options)
            return f"{text}: {group} must be one of {', '.join(options)}{suggestion}"
    return None


def _suggest_option(group: str, option: str, options: list[str]) -> str:
    """Return the end of a message that suggests what to type instead of an option that does not exist."""
    if group == "data" and option.endswith(".npz"):
        return f"; for your own arrays type data=arrays {quote_word(f'data.path={option}')}"
    if group == "data" and (set(option) & set("./~") or Path(option).is_dir()):
        return f"; for your own pictures type data=image_folder {quote_word(f'data.root={option}')}"
    if group == "device" and (indexed := re.fullmatch(r"(cuda|mps):(\d+)", option)):
        return f"; did you mean device={indexed[1]} device.index={indexed[2]}?"
    match = closest_match(option.rpartition(".")[2], options)  # of torch.optim.SGD the name of the class
    # What has another place elsewhere: augmentation=mixup, regularization=batchnorm.
    choice = f"{group}={match}" if match else find_choice(option)
    return did_you_mean([choice] if choice else [])


def find_schema_problems(overrides: Sequence[Override]) -> Iterator[str]:
    """Yield the problems that the schema alone shows: unknown keys, wrong types and broken constraints."""
    for override in overrides:
        name, typed_value = override.key_or_group, _typed_value(override)
        if override.is_delete() or name.partition(".")[0] == "augmentation":
            continue
        key = find_key(name)
        if key is None:
            suggestion = did_you_mean(suggest_overrides(name, typed_value))
            yield f"{override.input_line}: there is no such key{suggestion}"
        elif not isinstance(override.value(), dict) and "${" not in typed_value and typed_value != "???":
            if problem := describe_range(name, override.value(), key):
                yield f"{override.input_line}: {problem}"
            elif not can_convert(override.value(), key):
                yield describe_wrong_type(name, override.value(), key)
            else:
                for violation in find_violations(override.value(), key.metadata):
                    yield f"{name}={typed_value}: {violation}"


def describe_value_problem(
    override: Override, error: Exception, cfg: DictConfig, choices: Mapping[str, str], groups: Groups
) -> str:
    """Return the message for an override whose value Hydra could not set.

    Args:
        override: the override.
        error: the error that Hydra or OmegaConf raised.
        cfg: the configuration in which the value was to be set.
        choices: the chosen option of each group.
        groups: the options of each group.
    """
    text, name, cause = str(override.input_line), override.key_or_group, error.__cause__ or error
    key = find_key(name)
    if override.is_delete():
        steps = ", ".join(cfg.augmentation) or "none"
        return f"{text}: there is no such step in augmentation={choices.get('augmentation')}; its steps: {steps}"
    if "An item is already at" in str(error):
        return f"{text}: the key is already there; type {quote_word(text.lstrip('+'))}"
    if key is not None and (problem := describe_range(name, override.value(), key)):
        return f"{text}: {problem}"
    if isinstance(cause, ValidationError) and key is not None:
        return describe_wrong_type(name, override.value(), key)
    rejected_key = str(getattr(cause, "full_key", None) or name)
    value = override.value()
    if isinstance(value, dict) and rejected_key != name:
        if name == "augmentation" and (problem := describe_unnamed_step(value)):
            return f"{text}: {problem}"
        suggestion = did_you_mean(suggest_overrides(rejected_key))
        return f"{text}: {rejected_key} does not exist or does not take this value{suggestion}"
    if isinstance(cause, ConfigKeyError | ConfigAttributeError) or key is None:
        return _describe_missing_key(override, cfg, choices, groups)
    return f"{text}: {first_line(cause)}"


def _describe_missing_key(override: Override, cfg: DictConfig, choices: Mapping[str, str], groups: Groups) -> str:
    """Return the message for an override whose key does not exist; see `describe_value_problem`."""
    text, name, typed_value = str(override.input_line), override.key_or_group, _typed_value(override)
    if (problem := describe_target(name, typed_value, groups)) is not None:
        return f"{text}: {problem}"
    if (choice := find_choice(name, typed_value)) is not None:
        return f"{text}: there is no such key{did_you_mean([choice])}"
    group, _, rest = name.partition(".")
    node = cfg.augmentation.get(rest.partition(".")[0]) if group == "augmentation" and "." in rest else None
    if isinstance(node, DictConfig) and "_target_" in node:  # whose keys are those of a class
        return f"{text}: there is no such key{did_you_mean([f'+{text}'])}"
    option, key = choices.get(group), find_key(name)
    open_key = find_open_key(group, option)
    if group == "loss" and OmegaConf.select(cfg, "loss.target") is None:  # the cross entropy has no options
        open_key = None
    step = rest.partition(".")[0]
    if group == "augmentation" and step in STEPS and step not in cfg.augmentation and (key or rest == step):
        return f"{text}: augmentation={option} has no step {step}; to add it type {quote_word('+' + text.lstrip('+'))}"
    if key is not None and isinstance(node, DictConfig):  # the file that chose the step does not set this
        return f"{text}: the step {step} is chosen without this key; to set it type {quote_word('+' + text)}"
    if key is not None and key.options:
        options_with_key = " and ".join(f"{group}={candidate}" for candidate in key.options)
        verb = "has" if len(key.options) == 1 else "have"
        suggestion = did_you_mean([f"{open_key.name}.{rest}={typed_value}"] if open_key is not None else [])
        return f"{text}: {group}={option} has no such key; {options_with_key} {verb} it{suggestion}"
    suggestions = suggest_keys(name, tuple(groups))
    if (
        open_key is not None
        and "." not in rest
        and not any(_is_available(suggestion, choices) for suggestion in suggestions)
    ):
        suggestions = [f"{open_key.name}.{rest}"]
    # Suggest keys that the chosen options have, if there are any among them.
    suggestions = [suggestion for suggestion in suggestions if _is_available(suggestion, choices)] or suggestions
    corrected_overrides = []
    for suggestion in suggestions:
        if suggestion in groups:
            match = closest_match(typed_value, list(groups[suggestion]))
            corrected_overrides.append(f"{suggestion}={match or 'OPTION'}")
        else:
            suggested_group, _, suggested_rest = suggestion.partition(".")
            suggested_step = suggested_rest.partition(".")[0]
            is_missing_step = suggested_group == "augmentation" and suggested_step not in cfg.augmentation
            corrected_overrides.append(f"{'+' if is_missing_step else ''}{suggestion}={typed_value}")
    return f"{text}: there is no such key{did_you_mean(corrected_overrides) or say_where_keys_are()}"


def _is_available(name: str, choices: Mapping[str, str]) -> bool:
    """Return whether the chosen options have a key, or would have it with one more augmentation step."""
    key = find_key(name)
    return key is None or not key.options or choices.get(name.partition(".")[0]) in key.options


def _typed_value(override: Override) -> str:
    return str(override.input_line).partition("=")[2]
