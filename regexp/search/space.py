"""The space of a search: which overrides its trials share, and the distributions of the others."""

import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from hydra.core.config_loader import ConfigLoader
from hydra.core.override_parser.overrides_parser import OverridesParser
from hydra.core.override_parser.types import IntervalSweep, Override, RangeSweep
from optuna.distributions import BaseDistribution, CategoricalDistribution, FloatDistribution, IntDistribution

from regexp.config.keys import find_key
from regexp.errors import ConfigError
from regexp.runs.identity import DATA_PATH_KEYS, IGNORED_KEYS

# Numbers from an interval have so many significant digits: more only make labels and commands long.
DIGITS = 4


@dataclass(frozen=True)
class SearchSpace:
    """The space of a search.

    Attributes:
        fixed: the overrides that all trials share, without the seed.
        parameters: the distribution of each other key, by the key as it was typed.
        first_seed: the seed of the first run of a trial; the others follow.
    """

    fixed: tuple[str, ...]
    parameters: Mapping[str, BaseDistribution]
    first_seed: int

    def make_overrides(self, values: Mapping[str, Any]) -> tuple[str, ...]:
        """Return the overrides of a trial, without its seed.

        Args:
            values: the value of each parameter; other entries do not matter.
        """
        return (*self.fixed, *self.make_choices(values))

    def make_choices(self, values: Mapping[str, Any]) -> tuple[str, ...]:
        """Return the overrides that a trial has beside those that all share."""
        return tuple(
            f"{name}={format_parameter(values[name], distribution)}"
            for name, distribution in self.parameters.items()
            if name in values
        )

    def list_grid(self) -> dict[str, list[Any]]:
        """Return all values of each parameter.

        Raises:
            ConfigError: a parameter has no countable values.
        """
        problems = [
            f"{name}: hydra/sweeper/sampler=grid needs values to try, and an interval has too many; type {name}=A,B,C "
            f"or {name}='range(LOW,HIGH,step=STEP)'"
            for name, distribution in self.parameters.items()
            if isinstance(distribution, FloatDistribution) and distribution.step is None
        ]
        if problems:
            raise ConfigError("\n".join(problems))
        return {name: _list_values(distribution) for name, distribution in self.parameters.items()}

    def list_probes(self) -> dict[str, list[Any]]:
        """Return values of each parameter to try: all of a choice, the ends and the middle of others."""
        return {name: _choose_probes(distribution) for name, distribution in self.parameters.items()}


def read_space(words: Sequence[str], loader: ConfigLoader | None = None) -> SearchSpace:
    """Return the space that overrides describe; of several for one key the last one counts.

    `a,b` and `choice(a,b)` are values to choose from. `range(low,high,step=s)` has the values that it has in a sweep,
    those below `high`. `interval(low,high)` has all numbers between its ends, whole ones for a key that takes no
    others, and `tag(log, interval(low,high))` draws their logarithms.

    Args:
        words: overrides in the form in which Hydra reads them.
        loader: Hydra's loader, whose groups a glob may choose from.

    Raises:
        ConfigError: nothing varies, the seed or a key without a result does, or an interval or range is empty.
    """
    parser = OverridesParser.create(config_loader=loader)
    fixed: dict[str, str] = {}
    parameters: dict[str, BaseDistribution] = {}
    seed, problems = 0, []
    for word in words:
        [override] = parser.parse_overrides([word])
        name = word.partition("=")[0]
        fixed.pop(name, None)
        parameters.pop(name, None)
        if name.lstrip("+") == "seed":
            if override.is_sweep_override():
                problems.append(
                    f"{word}: a search has no seeds to choose from; hydra.sweeper.n_seeds=3 trains each trial with "
                    "three, from seed on"
                )
            elif isinstance(value := override.value(), int):
                seed = value
            else:
                fixed[name] = word  # checked with all others
        elif override.is_sweep_override() and name.lstrip("+") in IGNORED_KEYS - {*DATA_PATH_KEYS}:
            problems.append(f"{word}: {name} decides no result, so there is nothing to search; choose one value")
        elif override.is_sweep_override():
            try:
                parameters[name] = _make_distribution(override)
            except ValueError as error:
                problems.append(f"{word}: {error}")
        else:
            fixed[name] = word
    if not parameters and not problems:
        problems.append(
            "hydra/sweeper=optuna: there is nothing to search; type for example "
            "optimizer.lr='tag(log,interval(1e-4,1e-1))' or normalization=none,batch"
        )
    if problems:
        raise ConfigError("\n".join(problems))
    return SearchSpace(tuple(fixed.values()), parameters, seed)


def format_parameter(value: Any, distribution: BaseDistribution) -> str:
    """Return the value of a parameter as it is typed: a number from an interval in DIGITS significant digits."""
    if not isinstance(distribution, FloatDistribution):
        return str(value)
    if distribution.step is not None:
        return f"{value:.10g}"
    return repr(min(max(float(f"{value:.{DIGITS}g}"), distribution.low), distribution.high))


def _make_distribution(override: Override) -> BaseDistribution:
    """Return the distribution of an override with several values.

    Raises:
        ValueError: it has no values; the message says so.
    """
    value = override.value()
    tags = set(getattr(value, "tags", ()))
    if tags - {"log"}:
        raise ValueError(f"there is no tag {min(map(str, tags - {'log'}))}; the only one is tag(log, ...)")
    if tags and not isinstance(value, IntervalSweep | RangeSweep):
        raise ValueError("tag(log, ...) is for an interval or a range; leave it out")
    if isinstance(value, IntervalSweep):
        key = find_key(override.key_or_group)
        return _make_interval(value, key is not None and key.type_description.startswith("a whole number"))
    if isinstance(value, RangeSweep) and not value.shuffle:
        return _make_range(value)
    choices = list(dict.fromkeys(override.sweep_string_iterator()))
    if not choices:
        raise ValueError("has no values to choose from")
    return CategoricalDistribution(choices)


def _make_interval(interval: IntervalSweep, is_whole: bool) -> BaseDistribution:
    low, high, log = interval.start, interval.end, "log" in interval.tags
    assert low is not None
    assert high is not None
    if not (math.isfinite(low) and math.isfinite(high)):
        raise ValueError("the ends of an interval must be finite numbers")
    if not low < high:
        raise ValueError("the first end of the interval must be below the second one")
    if log and low <= 0:
        raise ValueError("the ends of an interval with tag(log, ...) must be above 0")
    if is_whole:
        if math.ceil(low) > math.floor(high):
            raise ValueError("the key takes whole numbers, and the interval has none")
        return IntDistribution(math.ceil(low), math.floor(high), log=log)
    return FloatDistribution(float(low), float(high), log=log)


def _make_range(values: RangeSweep) -> BaseDistribution:
    start, stop, step = values.start or 0, values.stop, values.step
    assert stop is not None
    count = math.ceil(round((stop - start) / step, 9)) if step else 0
    if count < 1:
        raise ValueError("the range has no values; its end is not one of them: range(1,4) has 1, 2 and 3")
    low, high = sorted((start, start + (count - 1) * step))
    log = "log" in values.tags
    if log and (abs(step) != 1 or low <= 0):
        raise ValueError("tag(log, range(...)) takes whole numbers above 0 with a step of 1")
    if all(isinstance(number, int) for number in (start, stop, step)):
        return IntDistribution(int(low), int(high), log=log, step=abs(int(step)))
    return FloatDistribution(float(low), float(high), step=abs(float(step)))


def _list_values(distribution: BaseDistribution) -> list[Any]:
    if isinstance(distribution, CategoricalDistribution):
        return list(distribution.choices)
    assert isinstance(distribution, IntDistribution | FloatDistribution)
    step = distribution.step or 1
    count = round((distribution.high - distribution.low) / step) + 1
    return [distribution.low + i * step for i in range(count)]


def _choose_probes(distribution: BaseDistribution) -> list[Any]:
    if isinstance(distribution, CategoricalDistribution):
        return list(distribution.choices)
    assert isinstance(distribution, IntDistribution | FloatDistribution)
    low, high = distribution.low, distribution.high
    middle = math.sqrt(low * high) if distribution.log else (low + high) / 2
    if distribution.step is not None and not distribution.log:
        middle = low + round((middle - low) / distribution.step) * distribution.step
    elif isinstance(distribution, IntDistribution):
        middle = round(middle)
    return list(dict.fromkeys([low, middle, high]))
