"""What was typed, word by word: which words can be read, and what was meant by those that cannot."""

import shlex
from collections.abc import Mapping, Sequence
from functools import lru_cache

from hydra.core.override_parser.overrides_parser import OverridesParser
from hydra.core.override_parser.types import Override
from hydra.errors import HydraException

from regexp.checking import show
from regexp.vocabulary import closest, find, meant

# group -> its options
Groups = Mapping[str, Sequence[str]]

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
    overrides, problems = [], []
    words = list(words)
    while words:
        taken = _together(words)
        spaced, words = words[:taken], words[taken:]
        whole = "".join(spaced)
        if taken > 1:
            said = f"{' '.join(spaced)}: the shell takes this apart at the spaces"
            problems.append(f"{said}; type {shlex.quote(_corrected(whole, groups))}")
        elif whole.startswith("-"):
            bare = whole.lstrip("-").replace("-", "_")
            problems.append(f"{whole}: keys have no dashes; type {_corrected(bare, groups)}")
        elif not whole.lstrip("+~").partition("=")[0] and whole:
            problems.append(f"{whole}: the key before = is missing")
        elif readable(whole):
            overrides.append(whole)
        else:
            problems.append(_unreadable(whole, groups))
    return overrides, problems


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
    if not equals:
        if (entry := find(text)) is not None:
            return f"{text}: an override has the form KEY=VALUE; for example {text}={show(entry.default)}"
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
        return f"{text}: cannot be read; must be {entry.kind}, for example {bare}={show(entry.default)}"
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
