"""Who a run is (its identity) and what it is called (its label). Imports no torch."""

import hashlib
import json
import re
from collections import Counter
from collections.abc import Sequence
from dataclasses import dataclass

from regexp.config.fields import leaves
from regexp.config.schema import Config, identity_items
from regexp.config.validation import format_value
from regexp.runs.code_hash import code_hash

# What a label leaves out: `device` chooses nothing that could change a result.
IGNORED_KEYS = {key for key, _, meta in leaves(Config()) if not meta.get("identity", True)} | {"device"}
_LONGEST = 100


@dataclass(frozen=True)
class Identity:
    """What decides a run's result: hashes of its configuration, its data and our code."""

    config: str
    data: str
    code: str


def identify(config: Config, fingerprint: str) -> Identity:
    """The identity of a configuration on the data with this fingerprint."""
    canonical = json.dumps(identity_items(config), sort_keys=True)
    return Identity(_hash(canonical.encode()), fingerprint, code_hash())


def seed_group(config: Config) -> str:
    """Equal for runs that differ in their seed only: what is not the default, and a hash of all.

    For example "batch affine lr=0.003 (32e458)".
    """
    items = {key: value for key, value in identity_items(config).items() if key != "seed"}
    usual = {**identity_items(Config()), "augmentation": items["augmentation"]}
    changed = {key: value for key, value in items.items() if key in usual and value != usual[key]}
    names = short_names(list(changed))
    words = [
        value if key.endswith(".name") else f"{names[key]}={format_value(value)}" for key, value in changed.items()
    ]
    words += ["+".join(config.augmentation)] if config.augmentation else []
    return f"{' '.join(words) or 'defaults'} ({_hash(json.dumps(items, sort_keys=True).encode())[:6]})"


def label(overrides: Sequence[str]) -> str:
    """What the user changed, safe as a folder's name and short: "lr=0.01,normalization=batch"; "defaults" if nothing.

    What cannot change the result is left out, but for the place of the user's own data; of a dotted key the last part
    stays, or as many as tell it from others.
    """
    changes = {}
    named = ("data.path", "data.root") if "data=image_folder" in overrides else ("data.path",)
    for override in overrides:
        key, _, value = override.partition("=")
        bare = key.lstrip("+~")
        if (bare not in IGNORED_KEYS or bare in named) and not bare.startswith("hydra"):
            changes[bare] = ("~" if key.startswith("~") else "", value)
    names = short_names(list(changes))
    parts = [
        sign + names[key] + (f"={_safe(value)}" if value else "") for key, (sign, value) in sorted(changes.items())
    ]
    text = re.sub(r"[^\w.,=~+-]", "-", ",".join(parts)) or "defaults"
    return text if len(text) <= _LONGEST else f"{text[: _LONGEST - 9]}-{_hash(text.encode())[:8]}"


def short_names(keys: Sequence[str]) -> dict[str, str]:
    """Of each dotted key the last part (of a step's key the last two), or all where that would not tell two apart."""
    short = {key: ".".join(key.split(".")[-1 if key.count(".") < 2 else -2 :]) for key in keys}
    uses = Counter(short.values())
    return {key: name if uses[name] == 1 else key for key, name in short.items()}


def _safe(value: str) -> str:
    return "none" if value == "[]" else value.strip("[]'\"").replace(",", "-")


def _hash(content: bytes) -> str:
    return hashlib.sha256(content).hexdigest()[:16]
