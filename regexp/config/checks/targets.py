"""The check that there is code where a configuration names code of the user's own."""

from collections.abc import Iterator

from regexp.errors import ConfigError
from regexp.user_code.python_objects import get_python_object
from regexp.user_code.targets import PYTHON_PREFIX, find_target


def find_target_problems(key: str, text: str) -> Iterator[str]:
    """Yield the problem of a key that names code of the user's own, if there is no such code."""
    try:
        if text.startswith(PYTHON_PREFIX):
            get_python_object(text)
        else:
            find_target(text)
    except ConfigError as error:
        yield f"{key}={error}"
