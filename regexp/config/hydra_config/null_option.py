"""The choice of no experiment, experiment=null, in the form that Hydra takes."""

import re
from collections.abc import Sequence

# One value, or one among the values of a sweep.
_NULL = re.compile(r"(?<=[=,])null(?=,|$)")


def replace_null_option(words: Sequence[str]) -> list[str]:
    """Return the words of a command line with experiment=[] for experiment=null, which Hydra refuses.

    An empty list of options means the same, and Hydra takes it on a command line and in a sweep.
    """
    return [_NULL.sub("[]", word) if word.startswith("experiment=") else word for word in words]
