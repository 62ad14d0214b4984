"""Overrides as a user types them: reading them, explaining what cannot be read, and expanding sweeps."""

import difflib
import re
from collections.abc import Mapping, Sequence
from itertools import islice, takewhile

from hydra._internal.core_plugins.basic_sweeper import BasicSweeper
from hydra.core.config_loader import ConfigLoader
from hydra.core.override_parser.overrides_parser import OverridesParser
from hydra.core.override_parser.types import Override

from regexp.config.keys import closest_match, find_key, suggest_keys
from regexp.config.suggestions.patterns import describe_interval
from regexp.config.suggestions.synonyms import find_choice
from regexp.config.words.hydra_words import make_hydra_word
from regexp.config.words.parsing import is_readable
from regexp.config.words.value_kinds import find_value_kind
from regexp.errors import ConfigError
from regexp.utils.messages import did_you_mean, format_value, quote_word, say, say_where_keys_are

# The options of each group, by the name of the group.
Groups = Mapping[str, Sequence[str]]

# A sweep over more runs than this is a typing mistake.
MAX_RUNS = 100_000

_FLAGS = ("--help", "--hydra-help", "--version", "--multirun", "--cfg", "--config-dir", "--info", "--shell-completion")
_OPENING_BRACKETS = {"]": "[", ")": "(", "}": "{"}


def is_hydra_override(text: str) -> bool:
    """Return whether an override sets Hydra's own configuration."""
    return text.lstrip("+~").startswith(("hydra.", "hydra/", "hydra=", "hydra@"))


def read_overrides(words: Sequence[str], groups: Groups, multirun: bool = False) -> tuple[list[str], list[str]]:
    """Return the overrides among the words of a command line, and a problem for each word that is none.

    Words that the shell split at spaces (around =, within brackets or within a text) are joined again, so that the
    problem can say how to type them.

    Args:
        words: the words of the command line, without flags.
        groups: the options of each group.
        multirun: whether the command line is a sweep.

    Returns:
        The overrides, in the form in which Hydra reads them as they were typed (see words.hydra_words); the problems.
    """
    overrides: list[str] = []
    problems: list[str] = []
    words = list(words)
    while words:
        count = _count_split_words(words)
        parts, words = words[:count], words[count:]
        text = (" " if _takes_text(parts[0]) else "").join(parts)
        if count > 1:
            corrected_text = quote_word(_correct_key(text, groups))
            problems.append(f"{' '.join(parts)}: {_describe_split()}; type {corrected_text}")
            continue
        if text.startswith("-"):
            problems.append(_describe_flag(text, groups))
            continue
        if not text.lstrip("+~").partition("=")[0] and text:
            problems.append(f"{text}: the key before = is missing")
            continue
        if count := _count_text_words(text, words):
            parts, words = words[:count], words[count:]
            problems.append(_describe_split_text(" ".join([text, *parts])))
            continue
        try:
            hydra_word = make_hydra_word(text, multirun)
        except ConfigError as error:
            problems.append(f"{text.partition('=')[0]}={error}")
            continue
        if is_readable(hydra_word):
            overrides.append(hydra_word)
        else:
            problems.append(_describe_unreadable(text, groups))
    return overrides, problems


def _takes_text(override: str, in_list: bool = True) -> bool:
    """Return whether the key of an override takes free text, which may contain spaces, or also a list of texts."""
    kind = find_value_kind(override.lstrip("+").partition("=")[0])
    return kind is not None and kind.is_text and (in_list or not kind.is_list)


def _count_text_words(text: str, following_words: Sequence[str]) -> int:
    """Return how many of the following words belong to an override that the shell split at the spaces of its text."""
    if not _takes_text(text, in_list=False):
        return 0
    texts = takewhile(lambda word: "=" not in word and not word.startswith(("-", "~")), following_words)
    return len(list(texts))


def _describe_split_text(text: str) -> str:
    """Return the message for an override that the shell split at the spaces of its text."""
    typed_key, _, value = text.partition("=")
    key = find_key(typed_key.lstrip("+"))
    if key is not None and "pattern" in key.metadata and re.fullmatch(key.metadata["pattern"], value) is None:
        corrected_text = f"{typed_key}={value.replace(' ', '_')}"
        return f"{text}: {_describe_split()}, which {key.name} cannot hold{did_you_mean([corrected_text])}"
    return f"{text}: {_describe_split()}; type {quote_word(text)}"


def _describe_split() -> str:
    return say("the shell splits this at the spaces", "is split into several texts")


def _describe_flag(word: str, groups: Groups) -> str:
    """Return the message for a word that looks like a flag but is not one."""
    override = word.lstrip("-").replace("-", "_")
    name = override.partition("=")[0]
    if (choice := find_choice(name, override.partition("=")[2] or "true")) is not None:
        return f"{word}: keys have no dashes; type {choice}"
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
        return f"{word}: keys have no dashes; type {quote_word(_correct_key(override, groups))}"
    remedy = say("regexp --help lists what you can type", 'an override is a text such as "seed=1"')
    return f"{word}: there is no such flag; {remedy}"


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
    is_without_value = first_word.partition("=")[1:] == ("=", "")
    if is_without_value and len(words) > 1 and "=" not in second_word and second_word[:1] not in ("~", "-"):
        return 2
    if "=" in first_word and _count_open_brackets(first_word) and not _takes_text(first_word, in_list=False):
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
        return f"{text}: {say(f'type regexp --{text}', 'an override has the form KEY=VALUE')}"
    if not equals:
        return _describe_missing_value(text, groups)
    if _count_open_brackets(text):
        return f"{text}: a bracket is not closed"
    name = typed_key.lstrip("+~")
    trimmed_text = f"{typed_key}={value.lstrip('=').rstrip(',;')}"
    if trimmed_text != text and is_readable(trimmed_text):
        return f"{text}: cannot be read{did_you_mean([trimmed_text])}"
    if name in groups:
        return f"{text}: cannot be read; choose one of {', '.join(groups[name])}"
    key = find_key(name)
    if key is None:
        candidates = [f"{candidate}={value}" for candidate in suggest_keys(name, tuple(groups))]
        return f"{text}: there is no such key{did_you_mean(candidates) or say_where_keys_are()}"
    if "choices" in key.metadata:
        return f"{text}: must be one of {', '.join(key.metadata['choices'])}"
    example = quote_word(f"{name}={format_value(key.default)}")
    return f"{text}: cannot be read; must be {key.type_description}, for example {example}"


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
    words = [make_hydra_word(word, multirun=True) for word in words]
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
            problems.append(f"{word}: {describe_interval(override)}")
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
