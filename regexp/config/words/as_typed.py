"""Messages that show overrides as they were typed.

What composes and checks a configuration knows `epochs=-1e2` as `epochs=-100`, and `data.root=Bob's pics` in Hydra's
quotes. Its messages are brought back to what was typed here, so that it need not know that.
"""

import re
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from functools import partial

from regexp.config.words.elements import split_elements
from regexp.config.words.hydra_words import UNREADABLE, make_hydra_word, read_element
from regexp.errors import ConfigError
from regexp.utils.messages import format_value, quote_word


@contextmanager
def problems_as_typed(words: Sequence[str], multirun: bool = False) -> Iterator[None]:
    """Show overrides as they were typed in the problems of a ConfigError that ends the block.

    Args:
        words: the overrides as they were typed.
        multirun: whether the command line is a sweep.
    """
    try:
        yield
    except ConfigError as error:
        typed_forms = _find_typed_forms(words, multirun)
        lines = [_show_as_typed(line, typed_forms) for line in str(error).splitlines()]
        raise ConfigError("\n".join(dict.fromkeys(lines))) from error


def _show_as_typed(problem: str, typed_forms: Mapping[str, str]) -> str:
    """Return a problem with the overrides at its beginning, after "with" and in its commands as they were typed."""
    for shown, typed in typed_forms.items():
        place = rf"(^| with ){re.escape(shown)}(?=[:;, ]|$)"
        problem = re.sub(place, partial(_replace_form, typed), problem)
        if (command := quote_word(shown)) != shown:
            problem = problem.replace(command, quote_word(typed))
    return problem


def _replace_form(typed: str, match: re.Match[str]) -> str:
    return f"{match[1]}{typed}"


def _find_typed_forms(words: Sequence[str], multirun: bool) -> dict[str, str]:
    """Return the forms in which messages may show the overrides and the values of sweeps, each with what was typed."""
    typed_forms: dict[str, str] = {}
    for word in dict.fromkeys(words):
        try:
            hydra_word = make_hydra_word(word, multirun)
        except ConfigError:  # whose message shows what was typed
            continue
        typed_forms |= _list_forms(word, hydra_word)
    return {form: typed for form, typed in typed_forms.items() if form != typed and form not in words}


def _list_forms(word: str, hydra_word: str) -> Iterator[tuple[str, str]]:
    """Yield the forms in which messages may show an override and its values, each with what was typed."""
    yield hydra_word, word
    typed_key, _, typed_value = word.partition("=")
    typed_elements = split_elements(typed_value)
    hydra_elements = split_elements(hydra_word.partition("=")[2])
    for i, element in enumerate(hydra_elements):
        value = read_element(element)
        if value is UNREADABLE:
            continue
        # A path that holds commas is one element for Hydra.
        typed = typed_elements[i].strip(" \t") if len(typed_elements) == len(hydra_elements) else str(value)
        for key in dict.fromkeys((typed_key, typed_key.lstrip("+"))):
            for shown in (element, str(value), format_value(value)):
                yield f"{key}={shown}", f"{key}={typed}"
