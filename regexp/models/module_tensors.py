"""The tensors of a torch module by name: which names share a tensor, and loading where only one of them is stored."""

from collections.abc import Mapping

from torch import Tensor, nn


def list_shared_names(module: nn.Module) -> list[list[str]]:
    """Return the names of each parameter and each stored buffer of a module; a shared tensor has several."""
    names: dict[int, list[str]] = {}
    for name, parameter in module.named_parameters(remove_duplicate=False):
        names.setdefault(id(parameter), []).append(name)
    for name, buffer in module.named_buffers(remove_duplicate=False):
        owner, leaf = find_owner(module, name)
        if leaf not in owner._non_persistent_buffers_set:
            names.setdefault(id(buffer), []).append(name)
    return list(names.values())


def find_owner(module: nn.Module, name: str) -> tuple[nn.Module, str]:
    """Return the submodule that a tensor belongs to, and the tensor's name there."""
    path, _, leaf = name.rpartition(".")
    return module.get_submodule(path), leaf


def get_tensor(module: nn.Module, name: str) -> Tensor:
    """Return the parameter or buffer with a dotted name."""
    owner, leaf = find_owner(module, name)
    tensor: Tensor = getattr(owner, leaf)
    return tensor


def load_tensors(module: nn.Module, state: Mapping[str, Tensor]) -> None:
    """Copy stored tensors into a module. Of a tensor that it shares under several names, one name suffices.

    Raises:
        RuntimeError: a tensor is missing, is not the module's, or has another shape.
    """
    complete = dict(state)
    for names in list_shared_names(module):
        stored_names = [name for name in names if name in state]
        if stored_names:
            complete |= dict.fromkeys(names, state[stored_names[0]])
    result = module.load_state_dict(complete, strict=False)
    # What get_extra_state returns need not be a tensor, and is not stored.
    missing_names = [name for name in result.missing_keys if not name.endswith("_extra_state")]
    if names := [*missing_names, *result.unexpected_keys]:
        raise RuntimeError(f"{names[0]} is {'not stored' if missing_names else 'no tensor of the module'}")
