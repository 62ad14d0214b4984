"""Transforms of torchvision's that a configuration names: which may be named, and what is made of their arguments."""

from collections.abc import Callable, Iterator, Mapping
from typing import TYPE_CHECKING, Any

from regexp.errors import ConfigError

if TYPE_CHECKING:
    from torch import Tensor

_MODULES = ("torchvision.transforms", "torchvision.transforms.v2")
# They look levels of brightness up in tables: images come to them as uint8.
_LEVELS = {"AugMix", "AutoAugment", "JPEG", "RandAugment", "RandomEqualize", "RandomPosterize", "TrivialAugmentWide"}


def instantiate(target: str, arguments: Mapping[str, Any]) -> "Callable[[Tensor], Tensor]":
    """The transform of images [C, H, W] that a configuration names.

    Args:
        target: torchvision.transforms.NAME or torchvision.transforms.v2.NAME.
        arguments: of the class; those that hold a `_target_` are themselves transforms.

    Raises:
        ConfigError: this is no transform, or torchvision does not take these arguments.
    """
    found = _look_up(target)
    given = {name: _argument(name, value) for name, value in arguments.items()}
    try:
        made: Callable[[Tensor], Tensor] = found(**given)
    except Exception as error:  # whatever a class of someone else's objects to in what the user wrote
        raise ConfigError(f"_target_={target}: torchvision says: {first_line(error)}") from error
    return made


def needs_uint8(target: str, arguments: Mapping[str, Any]) -> bool:
    """Whether a transform, or one among its arguments, takes uint8 images only."""
    return any(name.rpartition(".")[2] in _LEVELS for name in _targets({"_target_": target, **arguments}))


def first_line(error: Exception) -> str:
    """The first line of what an error says, or else its name."""
    return (str(error).strip().splitlines() or [type(error).__name__])[0]


def _look_up(target: str) -> Any:
    from importlib import import_module

    module, _, name = target.rpartition(".")
    if module not in _MODULES or name.startswith("_"):
        raise ConfigError(f"_target_={target}: use torchvision.transforms.NAME or torchvision.transforms.v2.NAME")
    found = getattr(import_module(module), name, None)
    if found is None:
        raise ConfigError(f"_target_={target}: {module} has no {name}")
    # Lambda holds a function, which no configuration can; what is called must be an instance, not the class itself.
    callable_instances = isinstance(found, type) and any("__call__" in vars(base) for base in found.__mro__)
    if not callable_instances or name == "Lambda":
        raise ConfigError(f"_target_={target}: is no transform that a configuration can make; name another class")
    return found


def _argument(name: str, value: Any) -> Any:
    """An argument as torchvision takes it: nested transforms made, names of interpolations and policies looked up."""
    if isinstance(value, Mapping):
        if "_target_" in value:
            nested = {key: entry for key, entry in value.items() if key != "_target_"}
            return instantiate(str(value["_target_"]), nested)
        return {key: _argument(str(key), entry) for key, entry in value.items()}
    if isinstance(value, list | tuple):
        return [_argument(name, entry) for entry in value]
    if isinstance(value, str) and name in ("interpolation", "policy"):
        from torchvision.transforms import AutoAugmentPolicy, InterpolationMode

        kind = InterpolationMode if name == "interpolation" else AutoAugmentPolicy
        try:
            return kind(value)
        except ValueError:
            known = ", ".join(str(member.value) for member in kind)
            raise ConfigError(f"{name}={value}: must be one of {known}") from None
    return value


def _targets(node: Any) -> Iterator[str]:
    """Every `_target_` at any depth."""
    if isinstance(node, Mapping):
        if "_target_" in node:
            yield str(node["_target_"])
        for entry in node.values():
            yield from _targets(entry)
    elif isinstance(node, list | tuple):
        for entry in node:
            yield from _targets(entry)
