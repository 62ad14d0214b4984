"""What was typed, word by word: which words can be read, and what was meant by those that cannot."""

import difflib
import shlex
from collections.abc import Mapping, Sequence
from functools import lru_cache

from hydra.core.override_parser.overrides_parser import OverridesParser
from hydra.core.override_parser.types import Override
from hydra.errors import HydraException

from regexp.config.keys import closest, find, meant
from regexp.config.validation import format_value

# group -> its options
Groups = Mapping[str, Sequence[str]]

_FLAGS = ("--help", "--hydra-help", "--version", "--multirun", "--cfg", "--config-dir", "--info", "--shell-completion")
_BRACKETS = {"]": "[", ")": "(", "}": "{"}


@lru_cache(maxsize=4096)
def parse(text: str) -> Override:
    """One override. Raises HydraException if it cannot be read."""
    return OverridesParser.create().parse_override(text)


def readable(text: str) -> bool:
    """Whether Hydra can read an override."""
    try:
        parse(text)
    except (HydraException, RecursionError, ValueError):
        return False
    return True


def read(words: Sequence[str], groups: Groups) -> tuple[list[str], list[str]]:
    """The words that are overrides, and a problem for each that is not.

    What the shell took apart (spaces around =, or within brackets) is put together again, to say how it is typed.
    """
    overrides: list[str] = []
    problems: list[str] = []
    words = list(words)
    while words:
        taken = _together(words)
        spaced, words = words[:taken], words[taken:]
        whole = "".join(spaced)
        if taken > 1:
            said = f"{' '.join(spaced)}: the shell takes this apart at the spaces"
            problems.append(f"{said}; type {shlex.quote(_corrected(whole, groups))}")
        elif whole.startswith("-"):
            problems.append(_dashed(whole, groups))
        elif not whole.lstrip("+~").partition("=")[0] and whole:
            problems.append(f"{whole}: the key before = is missing")
        elif "=" not in whole and overrides and _split_words(overrides[-1]):
            problems.append(f"{overrides[-1]} {whole}: the shell takes this apart at the spaces; quote it")
        elif readable(whole):
            overrides.append(whole)
        else:
            problems.append(_unreadable(whole, groups))
    return overrides, problems


def _split_words(text: str) -> bool:
    """Whether an override has a value of words, which may hold spaces."""
    entry = find(text.lstrip("+").partition("=")[0])
    return entry is not None and entry.kind in ("a word", "a word or null") and "choices" not in entry.rule


def _dashed(word: str, groups: Groups) -> str:
    """What to say of a word that looks like a flag and is none of Hydra's."""
    bare = word.lstrip("-").replace("-", "_")
    key = bare.partition("=")[0]
    keys = meant(key, tuple(groups))
    exact = key in groups or find(key) is not None or any(found.endswith(f".{key}") for found in keys)
    flags = [] if exact else difflib.get_close_matches(word.partition("=")[0], _FLAGS, n=1, cutoff=0.75)
    if flags:
        return f"{word}: there is no such flag; did you mean {flags[0]}?"
    if exact or keys:
        return f"{word}: keys have no dashes; type {_corrected(bare, groups)}"
    return f"{word}: there is no such flag; regexp --help shows what can be typed"


def _together(words: Sequence[str]) -> int:
    """How many of the first words were one before the shell split them."""
    first, following = words[0], list(words[1:3])
    if first.startswith("-") or not first:
        return 1
    if "=" not in first and following[:1] == ["="] and len(following) == 2:
        return 3
    if "=" not in first and following and following[0].startswith("=") and len(following[0]) > 1:
        return 2
    if first.endswith("=") and following and "=" not in following[0] and not following[0].startswith(("~", "-")):
        return 2
    if "=" in first and _open(first):
        for count in range(2, len(words) + 1):
            if _open("".join(words[:count])) == 0:
                return count
    return 1


def _open(text: str) -> int:
    """How many brackets are opened and not closed; quotes hide them."""
    stack: list[str] = []
    quote = ""
    for char in text:
        if quote:
            quote = "" if char == quote else quote
        elif char in "'\"":
            quote = char
        elif char in _BRACKETS.values():
            stack.append(char)
        elif char in _BRACKETS and stack and stack[-1] == _BRACKETS[char]:
            stack.pop()
    return len(stack)


def _corrected(text: str, groups: Groups) -> str:
    """An override with the key that was meant."""
    key, equals, value = text.partition("=")
    bare = key.lstrip("+~")
    if bare not in groups and find(bare) is None and (keys := meant(bare, tuple(groups))):
        key = keys[0]
    return key + (equals or "=") + (value or ("VALUE" if not equals else ""))


def _unreadable(text: str, groups: Groups) -> str:
    """What to say of a word that Hydra cannot read."""
    key, equals, value = text.partition("=")
    if text in ("help", "version"):
        return f"{text}: type regexp --{text}"
    if not equals:
        if (entry := find(text)) is not None:
            return f"{text}: an override has the form KEY=VALUE; for example {text}={format_value(entry.default)}"
        chosen = [f"{group}={option}" for group, options in groups.items() for option in options if option == text]
        chosen = chosen or [
            f"{group}={close}" for group, options in groups.items() if (close := _almost(text, options))
        ]
        if not chosen and text in groups:
            chosen = [f"{text}={groups[text][0]}"]
        if not chosen:
            chosen = [f"{word}=VALUE" for word in meant(text, tuple(groups))]
        suggestion = f"; did you mean {' or '.join(chosen[:3])}?" if chosen else ""
        return f"{text or repr(text)}: an override has the form KEY=VALUE{suggestion}"
    if _open(text):
        return f"{text}: a bracket is not closed"
    bare = key.lstrip("+~")
    trimmed = f"{key}={value.lstrip('=').rstrip(',;')}"
    if trimmed != text and readable(trimmed):
        return f"{text}: cannot be read; did you mean {shlex.quote(trimmed)}?"
    entry = find(bare)
    if bare in groups:
        return f"{text}: cannot be read; choose one of {', '.join(groups[bare])}"
    if entry is not None and "word" not in entry.kind:
        return f"{text}: cannot be read; must be {entry.kind}, for example {bare}={format_value(entry.default)}"
    plain = value.replace("'", "").replace('"', "")
    quoted = f'{key}="{plain}"'
    if plain.startswith("["):
        quoted = f"{key}=[{','.join(chr(34) + part.strip() + chr(34) for part in plain.strip('[]').split(','))}]"
    if readable(quoted):
        return f"{text}: the value needs quotes of its own; type {shlex.quote(quoted)}"
    return f"{text}: cannot be read; an override has the form KEY=VALUE, with VALUE a number, a word or [a,list]"


def _almost(word: str, options: Sequence[str]) -> str | None:
    close = closest(word, list(options))
    return close if close is not None and abs(len(close) - len(word)) <= 2 else None
