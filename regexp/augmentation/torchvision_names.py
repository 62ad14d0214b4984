"""The transforms of torchvision that a configuration may name, and their construction from its arguments."""

from collections.abc import Callable, Iterator, Mapping
from importlib import import_module
from typing import TYPE_CHECKING, Any

from regexp.errors import ConfigError
from regexp.utils.messages import first_line

if TYPE_CHECKING:
    from torch import Tensor

_MODULES = ("torchvision.transforms", "torchvision.transforms.v2")
# Transforms that take uint8 images only, because they use brightness as an index into tables.
_UINT8 = {"AugMix", "AutoAugment", "JPEG", "RandAugment", "RandomEqualize", "RandomPosterize", "TrivialAugmentWide"}


def instantiate(target: str, arguments: Mapping[str, Any]) -> "Callable[[Tensor], Tensor]":
    """Make the transform of images [C, H, W] that a configuration names.

    Args:
        target: torchvision.transforms.NAME or torchvision.transforms.v2.NAME.
        arguments: the arguments of the class; those with a `_target_` are themselves transforms.

    Raises:
        ConfigError: this is not a transform, or torchvision refuses the arguments.
    """
    transform_class = _find_class(target)
    converted = {name: _convert_argument(name, value) for name, value in arguments.items()}
    try:
        transform: Callable[[Tensor], Tensor] = transform_class(**converted)
    except Exception as error:  # code that is not ours may raise anything for wrong arguments
        raise ConfigError(f"_target_={target}: torchvision says: {first_line(error)}") from error
    return transform


def needs_uint8(target: str, arguments: Mapping[str, Any]) -> bool:
    """Return whether a transform, or one among its arguments, takes uint8 images only."""
    return any(name.rpartition(".")[2] in _UINT8 for name in _all_targets({"_target_": target, **arguments}))


def _find_class(target: str) -> Any:
    """Return the class of a transform by its dotted name."""
    module, _, name = target.rpartition(".")
    if module not in _MODULES or name.startswith("_"):
        raise ConfigError(f"_target_={target}: use torchvision.transforms.NAME or torchvision.transforms.v2.NAME")
    member = getattr(import_module(module), name, None)
    if member is None:
        raise ConfigError(f"_target_={target}: {module} has no {name}")
    # What is called is an instance, so the class must define __call__. Lambda needs a function as its argument, which
    # a configuration cannot hold.
    is_transform = isinstance(member, type) and any("__call__" in vars(base) for base in member.__mro__)
    if not is_transform or name == "Lambda":
        raise ConfigError(f"_target_={target}: is not a transform that a configuration can make; name another class")
    return member


def _convert_argument(name: str, value: Any) -> Any:
    """Convert an argument for torchvision: make nested transforms, and enums of interpolations and policies."""
    if isinstance(value, Mapping):
        if "_target_" in value:
            nested_arguments = {key: entry for key, entry in value.items() if key != "_target_"}
            return instantiate(str(value["_target_"]), nested_arguments)
        return {key: _convert_argument(str(key), entry) for key, entry in value.items()}
    if isinstance(value, list | tuple):
        return [_convert_argument(name, entry) for entry in value]
    if isinstance(value, str) and name in ("interpolation", "policy"):
        from torchvision.transforms import AutoAugmentPolicy, InterpolationMode

        enum = InterpolationMode if name == "interpolation" else AutoAugmentPolicy
        try:
            return enum(value)
        except ValueError:
            choices = ", ".join(str(member.value) for member in enum)
            raise ConfigError(f"{name}={value}: must be one of {choices}") from None
    return value


def _all_targets(node: Any) -> Iterator[str]:
    """Yield every `_target_` in nested mappings and lists."""
    if isinstance(node, Mapping):
        if "_target_" in node:
            yield str(node["_target_"])
        for entry in node.values():
            yield from _all_targets(entry)
    elif isinstance(node, list | tuple):
        for entry in node:
            yield from _all_targets(entry)
