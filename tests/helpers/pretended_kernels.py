"""torch's operators as its build description lists them: on which devices they run, and on which they agree."""

from dataclasses import dataclass
from functools import cache
from pathlib import Path
from typing import Any

import torchgen

# The keys of kernels that run on any device, because they consist of other operators.
_ANY_DEVICE = {"CompositeImplicitAutograd", "CompositeExplicitAutograd", "CompositeExplicitAutogradNonFunctional"}


@dataclass(frozen=True)
class Operator:
    """One of torch's operators.

    Attributes:
        keys: the devices for which it has a kernel ("CPU", "MPS"), or the kinds of kernels that run on any.
        takes_numbers: whether a tensor without dimensions may be on the CPU while the others are on another device.
    """

    keys: frozenset[str]
    takes_numbers: bool

    def runs_on(self, kind: str) -> bool:
        """Return whether the operator runs on this kind of device, "cuda" or "mps"."""
        return bool(self.keys & {*_ANY_DEVICE, kind.upper()})


@cache
def read_operators() -> dict[str, Operator]:
    """Return torch's operators by name and overload, such as "add.Tensor", from the list that torch is built from."""
    text = (Path(torchgen.__file__).parent / "packaged" / "ATen" / "native" / "native_functions.yaml").read_text()
    entries = [entry.splitlines() for entry in text.split("\n- func: ")[1:]]
    operators, delegates = {}, {}
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
        operators[name] = Operator(frozenset(keys or {"CompositeImplicitAutograd"}), takes_numbers)
    for name, delegate in delegates.items():
        keys = {*operators[name].keys} - {"CompositeImplicitAutograd"} | {*operators[delegate].keys}
        operators[name] = Operator(frozenset(keys), operators[name].takes_numbers)
    return operators


def find_operator(func: Any) -> Operator:
    """Return the operator that a dispatch mode is called with; those of oneDNN, which are not listed, run on CPUs."""
    name = func._schema.name.partition("::")[2]
    overload = func._schema.overload_name
    unlisted = Operator(frozenset({"CPU"}), takes_numbers=False)
    return read_operators().get(f"{name}.{overload}" if overload else name, unlisted)
