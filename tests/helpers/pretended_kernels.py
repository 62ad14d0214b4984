"""The operators of torch, on which devices they run, and where they wait, from torch's own description of them."""

from collections.abc import Set
from dataclasses import dataclass
from functools import cache
from pathlib import Path
from typing import Any

import torch
import torchgen

# The keys of kernels that run on any device, because they consist of other operators.
_ANY_DEVICE = {"CompositeImplicitAutograd", "CompositeExplicitAutograd", "CompositeExplicitAutogradNonFunctional"}


@dataclass(frozen=True)
class Operator:
    """One of torch's operators.

    Attributes:
        name: the name, without its overload.
        keys: the devices for which it has a kernel ("CPU", "MPS"), or the kinds of kernels that run on any.
        takes_numbers: whether a tensor without dimensions may be on the CPU while the others are on another device.
        reads_values: whether the host has to wait for values, on which the result or its shape depends.
        returns_views: whether it computes nothing, and returns views of its arguments.
    """

    name: str
    keys: Set[str]
    takes_numbers: bool
    reads_values: bool
    returns_views: bool

    def runs_on(self, kind: str) -> bool:
        """Return whether the operator runs on this kind of device, "cuda" or "mps"."""
        return not self.keys.isdisjoint({*_ANY_DEVICE, kind.upper()})


@cache
def read_kernels() -> dict[str, tuple[Set[str], bool]]:
    """Return `keys` and `takes_numbers` of torch's operators, by name and overload such as "add.Tensor".

    They are read from the list of operators that torch is built from.
    """
    text = (Path(torchgen.__file__).parent / "packaged" / "ATen" / "native" / "native_functions.yaml").read_text()
    entries = [entry.splitlines() for entry in text.split("\n- func: ")[1:]]
    kernels, delegates = {}, {}
    for first_line, *lines in entries:
        name = first_line.partition("(")[0]
        keys: set[str] = set()
        in_dispatch = takes_numbers = False
        for line in lines:
            key, _, value = line.strip().partition(":")
            value = value.partition("#")[0].strip()
            in_dispatch = key == "dispatch" or (in_dispatch and line.startswith("    "))
            if in_dispatch and value:
                keys |= set(key.replace(" ", "").split(","))
            elif key == "structured_delegate":
                delegates[name] = value
            elif key == "ufunc_inner_loop":
                keys |= {"CPU", "CUDA"}
            elif key == "device_check":
                takes_numbers = value == "NoCheck"
        kernels[name] = keys, takes_numbers
    for name, delegate in delegates.items():
        kernels[name][0].update(kernels[delegate][0])
    return {
        name: (keys or {"CompositeImplicitAutograd"}, takes_numbers) for name, (keys, takes_numbers) in kernels.items()
    }


@cache
def find_operator(func: Any) -> Operator:
    """Return the operator that a dispatch mode is called with. Those of oneDNN, which are not listed, run on CPUs."""
    schema = func._schema
    name = schema.name.partition("::")[2]
    keys, takes_numbers = read_kernels().get(name + f".{schema.overload_name}".rstrip("."), ({"CPU"}, False))
    aliases = [value.alias_info for value in schema.returns]
    return Operator(
        name,
        keys,
        takes_numbers,
        # The shape of an indexing's result depends on values if an index is a mask, which is seen at each call.
        reads_values=bool({torch.Tag.data_dependent_output, torch.Tag.dynamic_output_shape} & {*func.tags})
        and name not in ("index", "_unsafe_index"),
        returns_views=bool(aliases) and all(alias is not None and not alias.is_write for alias in aliases),
    )
