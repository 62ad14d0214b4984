"""Problems that only follow from another one.

An override that is refused leaves its key at the default, and what does not go with the default is no mistake: after
`optimizer=sdg`, that adam has no momentum.
"""

import re
from collections.abc import Iterator, Sequence

from regexp.config.keys import find_key
from regexp.config.words.value_kinds import find_value_kind


def drop_consequences(problems: Sequence[str], earlier_problems: Sequence[str]) -> list[str]:
    """Return the problems without those that mention a key of which an earlier problem says that it was refused.

    Args:
        problems: the problems, each of which begins with what was typed.
        earlier_problems: the problems found before them.
    """
    refused_keys = dict.fromkeys(_find_keys(earlier_problems))
    return [problem for problem in problems if not any(_depends_on(problem, key) for key in refused_keys)]


def _find_keys(problems: Sequence[str]) -> Iterator[str]:
    """Yield the key or group that each problem is about, and those that were probably meant."""
    for problem in problems:
        names = re.findall(r"(?:^|did you mean '?)[+~]*([\w.]+)", problem)
        yield from (name for name in names if find_value_kind(name) is not None or find_key(name) is not None)


def _depends_on(problem: str, key: str) -> bool:
    """Return whether a problem of something else mentions the value of a key, other than to suggest it."""
    statement = problem.partition("; did you mean")[0].lstrip("+~")
    return re.search(rf"(?<![\w.]){re.escape(key)}=", statement) is not None and not statement.startswith(f"{key}=")
