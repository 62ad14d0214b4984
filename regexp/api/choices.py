"""The arguments of Python's functions that choose data, a model and values, as overrides."""

from collections.abc import Callable, Mapping, Sequence
from typing import TYPE_CHECKING, Any, TypeAlias

from regexp.config.words.python_values import name_keywords, write_overrides
from regexp.data.arrays import Arrays
from regexp.errors import ConfigError
from regexp.user_code.loading import name_python_object

if TYPE_CHECKING:
    from torch import nn

# What chooses the data, and what chooses the model.
Data: TypeAlias = Arrays | str | None
Model: TypeAlias = "Callable[..., nn.Module] | str | None"


def add_choices(runs: Sequence[Sequence[str]], data: Data, model: Model, values: Mapping[str, Any]) -> list[list[str]]:
    """Return the overrides of runs with those that further arguments stand for.

    Args:
        runs: the overrides of each run.
        data: the name of a data set, or images and labels in memory, or None.
        model: the name of a model, or what makes a network, or None.
        values: the keyword arguments that set keys.

    Raises:
        ConfigError: an argument is of another type, or chooses what a run chooses too.
    """
    if data is not None and not isinstance(data, Arrays | str):
        raise ConfigError(
            f'data={type(data).__name__}: must be regexp.Arrays(images, labels), a name such as "mnist", or None'
        )
    choices: list[str] = []
    if isinstance(data, str):
        _refuse_choices(runs, f"data={data!r}", "data", ("data=",))
        choices += write_overrides({"data": data})
    elif data is not None:
        _refuse_choices(runs, "data=Arrays(...)", "data", ("data=", "data.path=", "data.root="))
        choices += ["data=arrays", f"data.path={data.save()}"]
    if isinstance(model, str):
        _refuse_choices(runs, f"model={model!r}", "model", ("model=",))
        choices += write_overrides({"model": model})
    elif model is not None:
        _refuse_choices(runs, "model=...", "model", ("model=", "model.target="))
        choices += ["model=module", f"model.target={name_python_object(model)}"]
    shared_overrides = write_overrides(name_keywords(values))
    return [[*choices, *overrides, *shared_overrides] for overrides in runs]


def _refuse_choices(runs: Sequence[Sequence[str]], argument: str, noun: str, beginnings: tuple[str, ...]) -> None:
    """Raise ConfigError if an override of a run chooses what an argument chooses too."""
    for overrides in runs:
        for override in overrides:
            if override.startswith(beginnings):
                raise ConfigError(f"{override} with {argument}: both choose the {noun}; leave one of them out")
