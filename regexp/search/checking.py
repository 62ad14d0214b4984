"""The check of a search's space before anything is trained."""

import random
import re
from collections.abc import Callable, Iterator, Mapping, Sequence
from typing import Any

from optuna.distributions import CategoricalDistribution

from regexp.errors import ConfigError
from regexp.search.space import SearchSpace

# A value that does not go with the first values of the other keys is tried with so many others.
_MAX_COMBINATIONS = 30


def check_space(space: SearchSpace, check: Callable[[Sequence[str]], object]) -> Mapping[str, Any]:
    """Check that every key of a space exists, and that its values can be set.

    A value that goes with some values of the other keys and not with others is no mistake: trials that combine it
    wrongly fail when they come.

    Args:
        space: the space.
        check: raises ConfigError if overrides are wrong.

    Returns:
        Values of the parameters that go together, the first of each where they do.

    Raises:
        ConfigError: lists the mistakes that remain whatever the other keys are.
    """
    probes = space.list_probes()
    generator = random.Random(0)
    fitting: Mapping[str, Any] | None = None
    problems: dict[str, None] = {}
    for name, values in probes.items():
        lines_by_value = {}
        for value in values:
            combination, lines = _find_combination(space, name, value, probes, check, generator)
            if combination is None:
                lines_by_value[value] = lines
            elif fitting is None:
                fitting = combination
        is_choice = isinstance(space.parameters[name], CategoricalDistribution)
        problems |= dict.fromkeys(_merge_problems(lines_by_value, is_choice and len(lines_by_value) < len(values)))
    if problems:
        raise ConfigError("\n".join(problems))
    assert fitting is not None  # a space has parameters, and each has values
    return fitting


def _merge_problems(lines_by_value: Mapping[Any, Sequence[str]], differ: bool) -> Iterator[str]:
    """Yield the problems of the values of a parameter, one that several of them have only once.

    Args:
        lines_by_value: the problems of each value that has some.
        differ: whether the values are to be told apart, since others of them have no problem.
    """
    told = set()
    for lines in lines_by_value.values():
        for line in lines:
            pattern = line if differ else re.sub(r"=[^\s:;?]+", "=", line)
            if pattern not in told:
                told.add(pattern)
                yield line


def _find_combination(
    space: SearchSpace,
    name: str,
    value: Any,
    probes: Mapping[str, Sequence[Any]],
    check: Callable[[Sequence[str]], object],
    generator: random.Random,
) -> tuple[Mapping[str, Any] | None, list[str]]:
    """Return values of all parameters that go with a value of one; without any, None and what is wrong with all.

    Args:
        space: the space.
        name: the parameter.
        value: its value.
        probes: values of each parameter.
        check: raises ConfigError if overrides are wrong.
        generator: draws values of the other parameters.
    """
    lines: list[str] = []
    others = [key for key in probes if key != name and len(probes[key]) > 1]
    for attempt in range(_MAX_COMBINATIONS if others else 1):
        choices = {key: values[0] if attempt == 0 else generator.choice(values) for key, values in probes.items()}
        choices[name] = value
        try:
            check(space.make_overrides(choices))
            return choices, []
        except ConfigError as error:
            found = str(error).splitlines()
            lines = found if attempt == 0 else [line for line in lines if line in found] or lines
    return None, lines
