"""Every key that an override may name, in words, and which of them was meant by one that does not exist."""

import difflib
import types
from collections.abc import Iterator
from dataclasses import dataclass, fields
from functools import cache
from typing import Any, Union, get_args, get_origin, get_type_hints

from regexp.config.augmentation_schema import STEPS
from regexp.config.fields import leaves
from regexp.config.schema import OPTIONS, Config, LossConfig

# What other tools call it.
_ELSEWHERE = {
    "learning_rate": "optimizer.lr",
    "wd": "optimizer.weight_decay",
    "l2": "optimizer.weight_decay",
    "bs": "batch_size",
    "max_epochs": "epochs",
    "num_epochs": "epochs",
    "n_epochs": "epochs",
    "iterations": "epochs",
    "random_seed": "seed",
    "hidden": "model.hidden_sizes",
    "units": "model.hidden_sizes",
    "layers": "model.hidden_sizes",
    "smoothing": "loss.label_smoothing",
    "noise": "data.label_noise",
    "grad_clip": "optimizer.clip_norm",
    "max_norm": "optimizer.clip_norm",
    "norm": "normalization",
    "aug": "augmentation",
    "dataset": "data",
    "opt": "optimizer",
    "scheduler": "schedule",
    "lr_scheduler": "schedule",
    "gpu": "device",
    "stop": "early_stopping",
}


@dataclass(frozen=True)
class Key:
    """A key, other than those that choose a group's option.

    Attributes:
        name: dotted.
        default: its value in the first option that has it.
        rule: its metadata.
        kind: what its values are, in words.
        owner: the dataclass that declares it.
        options: those of its group that have it; empty where all have, or where it is in no group.
    """

    name: str
    default: Any
    rule: dict[str, Any]
    kind: str
    owner: type[Any]
    options: tuple[str, ...] = ()


@cache
def keys() -> tuple[Key, ...]:
    """All of them but those of augmentation steps: top-level keys first, then group by group."""
    own = [key for key in _keys(Config(), "") if "." not in key.name and key.name != "augmentation"]
    return (*own, *_keys(LossConfig(), "loss."), *(key for group in OPTIONS for key in _of_group(group)))


@cache
def step_keys() -> tuple[Key, ...]:
    """Those of augmentation steps: augmentation.STEP.KEY."""
    return tuple(key for name, step in STEPS.items() for key in _keys(step(), f"augmentation.{name}."))


def _of_group(group: str) -> Iterator[Key]:
    options = OPTIONS[group]
    found: dict[str, Key] = {}
    having: dict[str, list[str]] = {}
    for option, node in options.items():
        for key in _keys(node(), f"{group}."):
            found.setdefault(key.name, key)
            having.setdefault(key.name, []).append(option)
    for name, key in found.items():
        if name not in (f"{group}.name", f"{group}.kind"):
            some = () if len(having[name]) == len(options) else tuple(having[name])
            yield Key(name, key.default, key.rule, key.kind, key.owner, some)


def _keys(node: Any, prefix: str) -> list[Key]:
    hints = get_type_hints(type(node))
    types = {item.name: in_words(hints[item.name]) for item in fields(node)}
    return [Key(prefix + name, value, rule, types.get(name, ""), type(node)) for name, value, rule in leaves(node)]


def in_words(hint: Any) -> str:
    """What values of a type are: `float | None` -> "a number or null"."""
    if get_origin(hint) in (Union, types.UnionType):
        return " or ".join(in_words(part) for part in get_args(hint))
    if get_origin(hint) is list:
        return "a list of " + {int: "whole numbers", float: "numbers", str: "words"}[get_args(hint)[0]]
    words = {int: "a whole number", float: "a number", bool: "true or false", str: "a word", type(None): "null"}
    return words.get(hint, "a mapping")


def find(name: str) -> Key | None:
    """The key of this name, those of augmentation steps included."""
    return next((key for key in (*keys(), *step_keys()) if key.name == name), None)


def meant(name: str, groups: tuple[str, ...] = tuple(OPTIONS), among: tuple[str, ...] = ()) -> list[str]:
    """Up to three keys or groups that someone who typed `name` may have meant, the likeliest first.

    Args:
        name: dotted, and unknown.
        groups: names of groups.
        among: other keys that are known; the schema's always are.
    """
    known = list(dict.fromkeys([*(key.name for key in (*keys(), *step_keys())), *among]))
    last = name.rpartition(".")[2]
    # Keys without their prefix, or with a wrong one, are the commonest mistake of all.
    if whole := [key for key in known if "." in name and key.endswith(f".{name}")]:
        return whole
    if same := [key for key in known if key.rpartition(".")[2] == last and key != name]:
        return sorted(same, key=lambda key: -difflib.SequenceMatcher(None, name, key).ratio())[:3]
    if last in _ELSEWHERE and "." not in name:
        return [_ELSEWHERE[last]]
    head, dot, _ = name.rpartition(".")
    inside = {key.rpartition(".")[2]: key for key in known if dot and key.rpartition(".")[0] == head}
    if close := difflib.get_close_matches(last, list(inside), n=1, cutoff=0.5):
        return [inside[close[0]]]
    ends = {key.rpartition(".")[2]: key for key in reversed(known)}
    candidates = [*groups, *ends] if "." not in name else [*known, *ends]
    close = difflib.get_close_matches(name, candidates, n=1) or difflib.get_close_matches(last, list(ends), n=1)
    return [word if word in groups or "." in word else ends[word] for word in close]


# Other names of options.
_OPTIONS_ELSEWHERE = {
    "gpu": "cuda",
    "off": "none",
    "no": "none",
    "false": "none",
    "batchnorm": "batch",
    "batch_norm": "batch",
    "bn": "batch",
    "layernorm": "layer",
    "layer_norm": "layer",
    "ln": "layer",
    "fashion": "fashion_mnist",
    "fashionmnist": "fashion_mnist",
    "folder": "image_folder",
}


def closest(word: str, words: list[str]) -> str | None:
    """The one of `words` that was meant by `word`: another name of it, or what looks most like it."""
    if _OPTIONS_ELSEWHERE.get(word.lower()) in words:
        return _OPTIONS_ELSEWHERE[word.lower()]
    lowered = {candidate.lower(): candidate for candidate in words}
    close = difflib.get_close_matches(word.lower(), list(lowered), n=1, cutoff=0.5)
    return lowered[close[0]] if close else None
