"""Log directories for TensorBoard that show exactly the chosen runs. Imports no torch."""

import hashlib
import os
from collections.abc import Sequence
from contextlib import suppress
from pathlib import Path

from regexp.data.sources import cache_directory
from regexp.runs.run import SET_ASIDE

# The directory beside runs that describes the columns of the HParams page (see hparams_columns).
COLUMNS_DIRECTORY = "hparams"


def make_current_logdir(outputs: Path) -> Path:
    """Return a directory for `tensorboard --logdir` that shows all runs but those that were set aside.

    TensorBoard would average a run that was set aside with the run that has replaced it.

    Args:
        outputs: the directory that holds outputs/NAME/LABEL.

    Returns:
        That directory, if nothing in it was set aside; else a directory of links to the current runs, which has the
        same path each time.
    """
    if not any(outputs.glob(f"*/*{SET_ASIDE}*")):
        return outputs
    directories = [path.parent for path in outputs.glob("*/*/run.json") if SET_ASIDE not in path.parent.name]
    directories += outputs.glob(f"*/{COLUMNS_DIRECTORY}")
    return make_logdir(directories, key=str(outputs.resolve()))


def make_logdir(directories: Sequence[Path], extra_directory: Path | None = None, key: str | None = None) -> Path:
    """Return a directory for `tensorboard --logdir` that shows exactly these runs.

    Args:
        directories: the directories of the runs.
        extra_directory: a directory beside them that is shown as well, if it exists.
        key: what decides the path of a directory of links; None: the runs.

    Returns:
        The directory that holds the runs, if it holds no others; else a directory of links to them in the user's cache.
        Where links cannot be made (some systems, a full disk), the directory that holds the runs and others.
    """
    run_directories = list(dict.fromkeys(directory.resolve() for directory in directories))
    parents = {directory.parent for directory in run_directories}
    common = Path(os.path.commonpath(parents))
    # TensorBoard takes every directory with an event file for a run, also one that was set aside.
    files = common.glob("*/events.out.tfevents.*") if len(parents) == 1 else common.rglob("events.out.tfevents.*")
    shown_directories = {file.parent for file in files if file.parent.name != COLUMNS_DIRECTORY}
    if shown_directories <= set(run_directories):
        return common
    digest = hashlib.sha256(os.fsencode(key or "\n".join(sorted(map(str, run_directories))))).hexdigest()[:8]
    links = cache_directory() / "tensorboard" / f"{common.name}-{digest}"
    targets = {links / directory.relative_to(common): directory for directory in run_directories}
    if extra_directory is not None and extra_directory.is_dir():
        targets[links / extra_directory.name] = extra_directory
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
