"""Which folder TensorBoard is to be given, so that it shows exactly these runs. Imports no torch."""

import hashlib
import os
from collections.abc import Sequence
from contextlib import suppress
from pathlib import Path

from regexp.data.sources import cache_folder


def logdir(runs: Sequence[Path], extra: Path | None = None) -> Path:
    """The folder that holds runs, where it holds no others, else one of links to them in the user's cache.

    Args:
        runs: their folders.
        extra: a folder beside them to be shown as well, if it is there.

    Where no links can be made (some systems, a full disk) the folder that holds the runs, and others.
    """
    folders = list(dict.fromkeys(run.resolve() for run in runs))
    parents = {folder.parent for folder in folders}
    common = Path(os.path.commonpath(parents))
    # Whatever holds events is a run to TensorBoard, what was set aside as well.
    files = common.glob("*/events.out.tfevents.*") if len(parents) == 1 else common.rglob("events.out.tfevents.*")
    if {file.parent for file in files} <= set(folders):
        return common
    key = hashlib.sha256("\n".join(sorted(str(folder) for folder in folders)).encode()).hexdigest()[:8]
    links = cache_folder() / "tensorboard" / f"{common.name}-{key}"
    targets = {links / folder.relative_to(common): folder for folder in folders}
    if extra is not None and extra.is_dir():
        targets[links / extra.name] = extra
    try:
        for link, target in targets.items():
            link.parent.mkdir(parents=True, exist_ok=True)
            if link.is_symlink() and link.resolve() != target.resolve():
                link.unlink()
            with suppress(FileExistsError):
                link.symlink_to(target.resolve(), target_is_directory=True)
    except OSError:
        return common
    return links
