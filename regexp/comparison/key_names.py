"""Short names of keys, and the labels of configurations that are made of them. Imports no torch."""

from collections import Counter
from collections.abc import Mapping, Sequence

from regexp.runs.identity import short_names

# Names that are usual in the field, by the last part of a key. They are accepted wherever a key is typed.
_ABBREVIATIONS = {
    "normalization": "norm",
    "augmentation": "aug",
    "optimizer": "opt",
    "weight_decay": "wd",
    "label_smoothing": "smoothing",
    "activation": "act",
    "hidden_sizes": "hidden",
    "batch_size": "bs",
}


def abbreviate_keys(keys: Sequence[str]) -> dict[str, str]:
    """Return the shortest usual name of each key, by key: "wd" for optimizer.weight_decay.

    Keys that would get the same name keep their longer one (see `short_names`).
    """
    names = short_names(keys)
    abbreviations = {key: _ABBREVIATIONS.get(name, name) for key, name in names.items()}
    uses = Counter(abbreviations.values())
    return {key: name if uses[name] == 1 else names[key] for key, name in abbreviations.items()}


def format_label(values: Mapping[str, str]) -> str:
    """Return the label of a configuration in one line: "norm=batch dropout=0.5"; of a single key, its value alone."""
    if len(values) < 2:
        return next(iter(values.values()), "all")
    names = abbreviate_keys(list(values))
    return " ".join(f"{names[key]}={value}" for key, value in values.items())
