"""The parts of a typed value: the elements of a list, a mapping or a sweep, with quotes and brackets around them."""

import re

_QUOTED_TEXT = re.compile(r"""\s*(?:"(?:[^"\\]|\\.)*"|'(?:[^'\\]|\\.)*')\s*(?=[,\])}]|$)""", re.DOTALL)
_FUNCTION_CALL = re.compile(r"(\w+)\((.*)\)", re.DOTALL)
_BRACKETS = {"[": "]", "(": ")", "{": "}"}


def split_elements(text: str) -> list[str]:
    """Return the parts of a text between its commas, without splitting within quotes or brackets.

    A quote begins only where an element does: the apostrophe in `Bob's` is a letter.
    """
    elements: list[str] = []
    start = position = 0
    open_brackets: list[str] = []
    begins_element = True
    while position < len(text):
        if begins_element and (quoted_text := _QUOTED_TEXT.match(text, position)) is not None:
            position, begins_element = quoted_text.end(), False
            continue
        character = text[position]
        if character == "," and not open_brackets:
            elements.append(text[start:position])
            start = position + 1
        elif character in _BRACKETS:
            open_brackets.append(_BRACKETS[character])
        elif open_brackets and character == open_brackets[-1]:
            open_brackets.pop()
        begins_element = character in ",:=" or character in _BRACKETS
        position += 1
    return [*elements, text[start:]]


def is_quoted(text: str) -> bool:
    """Return whether a text is one quoted string as Hydra reads it."""
    return _QUOTED_TEXT.fullmatch(text) is not None


def unwrap(text: str, brackets: str) -> str | None:
    """Return what a text has between its brackets, such as "[]", or None if it is not one pair around all the rest."""
    stripped_text = text.strip(" \t")
    is_wrapped = len(stripped_text) >= 2 and stripped_text[0] + stripped_text[-1] == brackets
    return stripped_text[1:-1] if is_wrapped and len(split_elements(stripped_text)) == 1 else None


def split_call(text: str) -> tuple[str, str] | None:
    """Return the name and the arguments of a text like `choice(a,b)`, or None if it is no call."""
    call = _FUNCTION_CALL.fullmatch(text.strip(" \t"))
    return None if call is None else (call[1], call[2])
