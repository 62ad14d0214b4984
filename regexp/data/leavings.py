"""What lies in folders of pictures without belonging to them: leavings of other programs, and what this one writes."""

import os
from collections import Counter
from collections.abc import Sequence
from dataclasses import dataclass, field
from pathlib import Path

from regexp.data.downloads.cifar import CIFAR_DATASETS
from regexp.data.downloads.idx import IDX_DATASETS
from regexp.data.downloads.svhn import SVHN_FILES, SVHN_FOLDER
from regexp.data.sources import cache_directory
from regexp.utils.messages import show_bytes

# Files and folders of file managers, network drives, archives and tools, in lower case; hidden ones are left out too.
_NAMES = {"@eadir", "#recycle", "#snapshot", "__macosx", "__pycache__", "$recycle.bin", "system volume information"}
_NAMES |= {"lost+found", "thumbs.db", "ehthumbs.db", "ehthumbs_vista.db", "desktop.ini", "icon\r"}
# The folder in which runs are recorded, unless the user chooses another.
OUTPUTS = "outputs"
# The folders of downloads, each with something that is in it.
_DOWNLOADS = {dataset.loader: "raw" for dataset in IDX_DATASETS.values()}
_DOWNLOADS |= {dataset.folder: dataset.test_file for dataset in CIFAR_DATASETS.values()}
_DOWNLOADS |= {SVHN_FOLDER: SVHN_FILES[0]}
# How many names a note lists.
_MAX_NAMES = 4


@dataclass
class LeftOut:
    """What was left out of a folder of pictures.

    Attributes:
        leavings: the names of files and folders of other programs.
        own: the names of folders that this program has written.
        suffixes: how many files that are no pictures there are, by suffix.
    """

    leavings: list[str] = field(default_factory=list)
    own: list[str] = field(default_factory=list)
    suffixes: Counter[str] = field(default_factory=Counter)

    def takes(self, entry: os.DirEntry[str]) -> bool:
        """Return whether a file or folder does not belong to the pictures, and count it if so."""
        if entry.name.startswith(".") or entry.name.lower() in _NAMES:
            self.leavings.append(entry.name)
            return True
        if entry.is_dir() and is_own(Path(entry.path)):
            self.own.append(entry.name)
            return True
        return False

    def describe(self) -> str:
        """Return what was left out in one line; "" if nothing was."""
        parts = []
        if self.leavings:
            parts.append(f"{_list(self.leavings)} (hidden, or of other programs)")
        if self.own:
            parts.append(f"{_list(self.own)} (written by regexp)")
        if self.suffixes:
            parts.append(", ".join(f"{count} {suffix}" for suffix, count in self.suffixes.most_common(_MAX_NAMES)))
        return "; ".join(parts)


def is_own(folder: Path) -> bool:
    """Return whether this program has written a folder: a run, a preview, a comparison, a download or the cache."""
    try:
        names = set(os.listdir(folder))
        is_output = {".hydra", "run.json"} <= names or "comparison.md" in names or names == {"augmentation.png"}
        is_download = _DOWNLOADS.get(folder.name) in names
        return is_output or is_download or os.path.samefile(folder, cache_directory())
    except OSError:
        return False


def _list(names: Sequence[str]) -> str:
    """Return the first of some names, and how many there are in all."""
    different = list(dict.fromkeys(show_bytes(name) for name in names))
    listed = ", ".join(different[:_MAX_NAMES]) + (", ..." if len(different) > _MAX_NAMES else "")
    return listed if len(names) == len(different) <= _MAX_NAMES else f"{len(names):,}: {listed}"
