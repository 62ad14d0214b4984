"""Overrides as a user types them: reading them, explaining what cannot be read, and expanding sweeps."""

import difflib
import shlex
from collections.abc import Mapping, Sequence
from functools import lru_cache
from itertools import islice

from hydra._internal.core_plugins.basic_sweeper import BasicSweeper
from hydra.core.config_loader import ConfigLoader
from hydra.core.override_parser.overrides_parser import OverridesParser
from hydra.core.override_parser.types import Override
from hydra.errors import HydraException

from regexp.config.keys import closest_match, find_key, suggest_keys
from regexp.errors import ConfigError
from regexp.utils.messages import did_you_mean, format_value

# The options of each group, by the name of the group.
Groups = Mapping[str, Sequence[str]]

# A sweep over more runs than this is a typing mistake.
MAX_RUNS = 100_000

_FLAGS = ("--help", "--hydra-help", "--version", "--multirun", "--cfg", "--config-dir", "--info", "--shell-completion")
_OPENING_BRACKETS = {"]": "[", ")": "(", "}": "{"}


@lru_cache(maxsize=4096)
def parse_override(text: str) -> Override:
    """Return an override as Hydra parses it.

    Raises:
        HydraException: if Hydra cannot read the override.
    """
    return OverridesParser.create().parse_override(text)


def is_readable(text: str) -> bool:
    """Return whether Hydra can read an override."""
    try:
        parse_override(text)
    except (HydraException, RecursionError, ValueError):
        return False
    return True


def is_hydra_override(text: str) -> bool:
    """Return whether an override sets Hydra's own configuration."""
    return text.lstrip("+~").startswith(("hydra.", "hydra/", "hydra=", "hydra@"))


def read_overrides(words: Sequence[str], groups: Groups) -> tuple[list[str], list[str]]:
    """Return the words of a command line that are overrides, and a problem for each word that is not.

    Words that the shell split at spaces (around =, or within brackets) are joined again, so that the problem can say
    how to type them.

    Args:
        words: the words of the command line, without flags.
        groups: the options of each group.
    """
    overrides: list[str] = []
    problems: list[str] = []
    words = list(words)
    while words:
        count = _count_split_words(words)
        parts, words = words[:count], words[count:]
        text = "".join(parts)
        if count > 1:
            corrected_text = shlex.quote(_correct_key(text, groups))
            problems.append(f"{' '.join(parts)}: the shell splits this at the spaces; type {corrected_text}")
        elif text.startswith("-"):
            problems.append(_describe_flag(text, groups))
        elif not text.lstrip("+~").partition("=")[0] and text:
            problems.append(f"{text}: the key before = is missing")
        elif "=" not in text and overrides and _takes_text(overrides[-1]):
            problems.append(f"{overrides[-1]} {text}: the shell splits this at the spaces; quote it")
        elif is_readable(text):
            overrides.append(text)
        else:
            problems.append(_describe_unreadable(text, groups))
    return overrides, problems


def _takes_text(override: str) -> bool:
    """Return whether the key of an override takes free text, which may contain spaces."""
    key = find_key(override.lstrip("+").partition("=")[0])
    return (
        key is not None and key.type_description in ("a string", "a string or null") and "choices" not in key.metadata
    )


def _describe_flag(word: str, groups: Groups) -> str:
    """Return the message for a word that looks like a flag but is not one."""
    override = word.lstrip("-").replace("-", "_")
    name = override.partition("=")[0]
    suggestions = suggest_keys(name, tuple(groups))
    is_key = (
        name in groups
        or find_key(name) is not None
        or any(suggestion.endswith(f".{name}") for suggestion in suggestions)
    )
    flags = [] if is_key else difflib.get_close_matches(word.partition("=")[0], _FLAGS, n=1, cutoff=0.75)
    if flags:
        return f"{word}: there is no such flag{did_you_mean(flags)}"
    if is_key or suggestions:
        return f"{word}: keys have no dashes; type {_correct_key(override, groups)}"
    return f"{word}: there is no such flag; regexp --help lists what you can type"


def _count_split_words(words: Sequence[str]) -> int:
    """Return the number of words at the beginning that were one word before the shell split them at spaces."""
    first_word = words[0]
    second_word = words[1] if len(words) > 1 else ""
    if first_word.startswith("-") or not first_word:
        return 1
    if "=" not in first_word and second_word == "=" and len(words) > 2:
        return 3
    if "=" not in first_word and second_word.startswith("=") and second_word != "=":
        return 2
    if first_word.endswith("=") and len(words) > 1 and "=" not in second_word and second_word[:1] not in ("~", "-"):
        return 2
    if "=" in first_word and _count_open_brackets(first_word):
        for count in range(2, len(words) + 1):
            if _count_open_brackets("".join(words[:count])) == 0:
                return count
    return 1


def _count_open_brackets(text: str) -> int:
    """Return how many brackets are opened and not closed, outside quotes."""
    open_brackets: list[str] = []
    quote = ""
    for char in text:
        if quote:
            quote = "" if char == quote else quote
        elif char in "'\"":
            quote = char
        elif char in _OPENING_BRACKETS.values():
            open_brackets.append(char)
        elif char in _OPENING_BRACKETS and open_brackets and open_brackets[-1] == _OPENING_BRACKETS[char]:
            open_brackets.pop()
    return len(open_brackets)


def _correct_key(text: str, groups: Groups) -> str:
    """Return an override with the key that the user probably meant, and VALUE for a missing value."""
    key, equals, value = text.partition("=")
    name = key.lstrip("+~")
    if name not in groups and find_key(name) is None and (suggestions := suggest_keys(name, tuple(groups))):
        key = suggestions[0]
    return key + (equals or "=") + (value or ("VALUE" if not equals else ""))


def _describe_unreadable(text: str, groups: Groups) -> str:
    """Return the message for a word that Hydra cannot read."""
    typed_key, equals, value = text.partition("=")
    if text in ("help", "version"):
        return f"{text}: type regexp --{text}"
    if not equals:
        return _describe_missing_value(text, groups)
    if _count_open_brackets(text):
        return f"{text}: a bracket is not closed"
    name = typed_key.lstrip("+~")
    trimmed_text = f"{typed_key}={value.lstrip('=').rstrip(',;')}"
    if trimmed_text != text and is_readable(trimmed_text):
        return f"{text}: cannot be read{did_you_mean([shlex.quote(trimmed_text)])}"
    if name in groups:
        return f"{text}: cannot be read; choose one of {', '.join(groups[name])}"
    key = find_key(name)
    if key is not None and "string" not in key.type_description:
        example = f"{name}={format_value(key.default)}"
        return f"{text}: cannot be read; must be {key.type_description}, for example {example}"
    quoted_text = f"{typed_key}={_quote_strings(value)}"
    if is_readable(quoted_text):
        return f"{text}: the value must be quoted; type {shlex.quote(quoted_text)}"
    return f"{text}: cannot be read; an override has the form KEY=VALUE, where VALUE is a number, a string or a [list]"


def _describe_missing_value(text: str, groups: Groups) -> str:
    """Return the message for a word without =."""
    if (key := find_key(text)) is not None:
        return f"{text}: an override has the form KEY=VALUE; for example {text}={format_value(key.default)}"
    candidates = [f"{group}={option}" for group, options in groups.items() for option in options if option == text]
    if not candidates:
        similar_options = {group: _find_similar_option(text, options) for group, options in groups.items()}
        candidates = [f"{group}={option}" for group, option in similar_options.items() if option]
    if not candidates and text in groups:
        candidates = [f"{text}={groups[text][0]}"]
    if not candidates:
        candidates = [f"{name}=VALUE" for name in suggest_keys(text, tuple(groups))]
    return f"{text or repr(text)}: an override has the form KEY=VALUE{did_you_mean(candidates[:3])}"


def _quote_strings(value: str) -> str:
    """Return a value in quotes; of a list, each entry in quotes."""
    unquoted_value = value.replace("'", "").replace('"', "")
    if not unquoted_value.startswith("["):
        return f'"{unquoted_value}"'
    entries = [f'"{entry.strip()}"' for entry in unquoted_value.strip("[]").split(",")]
    return f"[{','.join(entries)}]"


def _find_similar_option(word: str, options: Sequence[str]) -> str | None:
    """Return the option that a user meant by a word of about the same length, or None."""
    match = closest_match(word, list(options))
    return match if match is not None and abs(len(match) - len(word)) <= 2 else None


def expand_grid(words: Sequence[str], loader: ConfigLoader) -> list[list[str]]:
    """Return the overrides of each run of a sweep, combined as Hydra's basic sweeper combines them.

    Args:
        words: the overrides of the sweep.
        loader: Hydra's loader, whose groups a glob may choose from.

    Raises:
        ConfigError: if an override cannot be part of a grid, or the grid has too many runs.
    """
    parser = OverridesParser.create(config_loader=loader)
    hydra_overrides: list[str] = []
    overrides: list[Override] = []
    problems: list[str] = []
    total = 1
    for word in words:
        [override] = parser.parse_overrides([word])
        if is_hydra_override(word):
            hydra_overrides.append(word)
        elif override.is_sweep_override() and not override.is_discrete_sweep():
            key = override.key_or_group
            problems.append(f"{word}: the basic sweeper takes no intervals; list the values, such as {key}=1,2")
        else:
            overrides.append(override)
            if override.is_sweep_override():
                count = _count_values(override)
                if count == 0:
                    problems.append(f"{word}: has no values, so the sweep has no runs")
                total *= count or 1
            if total > MAX_RUNS:
                problems.append(f"{word}: makes more than {MAX_RUNS:,} runs; sweep over fewer values at once")
                break
    if problems:
        raise ConfigError("\n".join(problems))
    [combinations] = BasicSweeper.split_arguments(overrides, max_batch_size=None)
    return [[*hydra_overrides, *combination] for combination in combinations]


def _count_values(override: Override) -> int:
    """Return how many values an override sweeps over, counting no further than one above MAX_RUNS."""
    try:
        return sum(1 for _ in islice(override.sweep_iterator(), MAX_RUNS + 1))
    except ValueError:  # a range whose step is 0
        return 0
