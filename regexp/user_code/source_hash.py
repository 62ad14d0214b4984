"""The hash of the user's own code, which changes when the code that a target runs may have changed."""

import hashlib
import json
from collections.abc import Sequence

from regexp.user_code.python_objects import describe_python_source
from regexp.user_code.sources import find_installed_version, list_source_files, normalize_source
from regexp.user_code.targets import PYTHON_PREFIX, find_target


def hash_user_code(texts: Sequence[str]) -> str:
    """Return the hash of the code of targets: 16 hexadecimal digits, or "" without targets.

    Raises:
        ConfigError: there is no such target.
    """
    if not texts:
        return ""
    content = json.dumps({text: _describe_code(text) for text in texts}, sort_keys=True)
    return hashlib.sha256(content.encode()).hexdigest()[:16]


def _describe_code(text: str) -> str:
    """Return a text that changes when the code of a target does: its source, or its installed version."""
    if text.startswith(PYTHON_PREFIX):
        return json.dumps(describe_python_source(text).parts, sort_keys=True)
    target = find_target(text)
    version = find_installed_version(target)
    if version is not None:
        return version
    sources = [(file.name, normalize_source(file.read_bytes())) for file in list_source_files(target)]
    return json.dumps(sources)
