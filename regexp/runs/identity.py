"""The identity of a run, which decides its result. Imports no torch."""

import hashlib
import json
from collections import Counter
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from regexp.config.fields import iterate_fields
from regexp.config.schema import Config, identity_items, list_targets
from regexp.runs.provenance.code_hash import code_hash
from regexp.user_code.source_hash import hash_user_code
from regexp.utils.messages import format_value

# The keys that cannot change a result, and that labels therefore leave out. The choice of a `device` changes no random
# draw, and results by rounding only.
IGNORED_KEYS = {key for key, _, metadata in iterate_fields(Config()) if not metadata.get("identity", True)}
IGNORED_KEYS |= {"device"}
DATA_PATH_KEYS = ("data.path", "data.root")
# The sections of a configuration in the order of a seed group's name, of which TensorBoard shows 15 characters. The
# empty one stands for all that are not named here.
_SECTIONS = ["normalization", "augmentation", "mixing", "model", "optimizer", "loss", ""]
_SECTIONS += ["device", "data", "batch_size", "epochs"]


@dataclass(frozen=True)
class Identity:
    """The hashes that decide a run's result; a finished run with the same identity is not trained again.

    Attributes:
        config: the hash of the configuration, without the keys that cannot change the result.
        data: the fingerprint of the data set's files.
        code: the hash of the code that shapes results; after a + follows that of the user's own, if there is any.
    """

    config: str
    data: str
    code: str


def identify(config: Config, fingerprint: str) -> Identity:
    """Return the identity of a run of a configuration on the data with this fingerprint."""
    code = _join_code_hashes(code_hash(), hash_user_code(list_targets(config)))
    return Identity(hash_configuration(config), fingerprint, code)


def hash_configuration(config: Config) -> str:
    """Return the hash of a configuration, without the keys that cannot change the result."""
    return _hash(json.dumps(identity_items(config), sort_keys=True).encode())


def split_code_hash(code: str) -> tuple[str, str]:
    """Return the two parts of an identity's code: the hash of regexp's own, and that of the user's own or ""."""
    package_hash, _, user_hash = code.partition("+")
    return package_hash, user_hash


def _join_code_hashes(package_hash: str, user_hash: str) -> str:
    return f"{package_hash}+{user_hash}" if user_hash else package_hash


def seed_group(config: Config, fingerprint: str) -> str:
    """Return the name of a configuration's seed group, which is the same for all of its seeds.

    The name lists what differs from the defaults, with what experiments seldom vary at the end, and then a hash of
    everything: "batch affine lr=0.003 epochs=9 (32e458)". It does not depend on the sweep, because a row of the HParams
    page takes its runs from several sweeps.

    Args:
        config: the configuration of one of its runs.
        fingerprint: the fingerprint of the data set's files.
    """
    items = {key: value for key, value in identity_items(config).items() if key != "seed"}
    # Also of keys that are left out of the identity where they do nothing.
    defaults = {**{key: value for key, value, _ in iterate_fields(Config())}, "augmentation": items["augmentation"]}
    changes = {key: value for key, value in items.items() if key in defaults and value != defaults[key]}
    changes |= {"augmentation.name": "+".join(config.augmentation)} if config.augmentation else {}
    names = short_names(list(changes))
    words = [
        value if key.endswith(".name") else f"{names[key]}={format_value(value, mark_fractions=True)}"
        for key, value in sorted(changes.items(), key=lambda change: _rank(change[0]))
    ]
    content = json.dumps({**items, "data.fingerprint": fingerprint}, sort_keys=True)
    return f"{' '.join(words) or 'defaults'} ({_hash(content.encode())[:6]})"


def _rank(key: str) -> int:
    """Return the place of a key in the name of a seed group."""
    section = key.partition(".")[0]
    return _SECTIONS.index(section if section in _SECTIONS else "")


def data_paths(config: Mapping[str, Any]) -> dict[str, str]:
    """Return the paths of the data in a flat configuration, by key.

    They do not decide a result, because data may move, but they are the names that users have for their data.
    """
    return {key: str(config[key]) for key in DATA_PATH_KEYS if config.get(key)}


def short_names(keys: Sequence[str]) -> dict[str, str]:
    """Return a short name for each dotted key, by key.

    The short name is the last part of the key, or its last two parts if it has three or more (augmentation steps). Keys
    that would get the same short name keep their full name.
    """
    names = {}
    for key in keys:
        parts = key.split(".")
        names[key] = ".".join(parts[-2:]) if len(parts) >= 3 else parts[-1]
    uses = Counter(names.values())
    return {key: name if uses[name] == 1 else key for key, name in names.items()}


def _hash(content: bytes) -> str:
    """Return the SHA-256 hash of bytes, cut to 16 hexadecimal digits."""
    return hashlib.sha256(content).hexdigest()[:16]
