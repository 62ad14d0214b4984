"""Paths that begin with ~ for a home."""

import os
from pathlib import Path

from regexp.errors import ConfigError
from regexp.utils.messages import quote_word


def expand_home(path: Path | str) -> Path:
    """Return a path with a leading `~` or `~USER` replaced by the home that it stands for.

    `~` and `~/...` always stand for the user's home. A file or folder whose name merely begins with ~, such as
    `~backup.npz`, is used where it exists.

    Raises:
        ConfigError: there is no such home.
    """
    text = os.fspath(path)
    name = text.partition(os.sep)[0]
    if not name.startswith("~") or (name != "~" and os.path.lexists(text)):
        return Path(path)
    is_unknown = name == "~" and os.environ.get("HOME") == ""  # would make ~/x the path /x
    expanded_text = os.path.expanduser(text)
    if not is_unknown and not expanded_text.startswith("~"):
        return Path(expanded_text)
    if name == "~":
        raise ConfigError(f"{text}: the home directory is unknown; set HOME, or type the whole path")
    local_path = quote_word(f"./{text}")
    raise ConfigError(f"{text}: there is no user {name[1:]}; for a file or folder of that name type {local_path}")
