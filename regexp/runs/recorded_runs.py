"""An index of the runs recorded in outputs/NAME, which also sets directories aside. Imports no torch."""

import re
import time
from collections.abc import Iterator
from pathlib import Path

from regexp.errors import RunError
from regexp.runs.identity import Identity
from regexp.runs.run import Run, find_runs
from regexp.utils.atomic_io import explain_storage_errors
from regexp.utils.processes import is_alive

_SET_ASIDE = re.compile(r"\.old-\d{8}-\d{6}(-\d+)?$")


class RecordedRuns:
    """The runs recorded directly below a directory, by identity; of several with one identity, the first by name."""

    def __init__(self, directory: Path) -> None:
        """Read run.json of every run in the directory but those that were set aside."""
        self.directory = directory
        # By the hashes of configuration and data, and then by that of the code.
        self._runs: dict[tuple[str, str], dict[str, Run]] = {}
        for run in find_runs(directory):
            self._add(run)

    def _add(self, run: Run) -> None:
        if (identity := recorded_identity(run)) is not None:
            self._runs.setdefault((identity.config, identity.data), {}).setdefault(identity.code, run)

    def find(self, directory: Path, identity: Identity) -> Run | None:
        """Return the run with this identity, or None; the run in `directory` comes before all others."""
        run = read_run(directory)
        if run is not None and recorded_identity(run) == identity:
            return run
        return self._runs.get((identity.config, identity.data), {}).get(identity.code)

    def find_trained_by_other_code(self, identity: Identity, among_set_aside: bool = False) -> Run | None:
        """Return a finished run of the same configuration and data that other code trained, or None.

        Args:
            identity: the identity of the run that is asked for.
            among_set_aside: whether to look among directories that were set aside, too; the newest comes first.
        """
        candidates = list(self._runs.get((identity.config, identity.data), {}).values())
        if among_set_aside:
            candidates += self._set_aside_runs()
        for run in candidates:
            other = recorded_identity(run)
            if other is None or (other.config, other.data) != (identity.config, identity.data):
                continue
            if other.code != identity.code and is_finished(run):
                return run
        return None

    def _set_aside_runs(self) -> Iterator[Run]:
        """Yield the runs that were set aside, the newest first."""
        paths = [path for path in self.directory.glob("*.old-*") if _SET_ASIDE.search(path.name)]
        for path in sorted(paths, key=lambda path: path.name.rpartition(".old-")[2], reverse=True):
            if (run := read_run(path)) is not None:
                yield run

    def set_aside(self, directory: Path) -> None:
        """Rename a directory, so that its name is free; raise RunError if another process trains the run in it."""
        if (run := read_run(directory)) is not None:
            refuse_if_in_training(run)
        stamp = f"{directory}.old-{time.strftime('%Y%m%d-%H%M%S')}"
        target = Path(stamp)
        count = 1
        while target.exists():
            count += 1
            target = Path(f"{stamp}-{count}")
        with explain_storage_errors(directory):
            directory.rename(target)
        for runs in self._runs.values():
            for code in [code for code, run in runs.items() if run.directory == directory]:
                del runs[code]

    def put_back(self, run: Run) -> Run:
        """Rename the directory of a run that was set aside to its old name, and return the run.

        What has the name now is set aside in exchange. The directory of any other run keeps its name.
        """
        target = run.directory.with_name(_SET_ASIDE.sub("", run.directory.name))
        if target != run.directory:
            if target.exists():
                self.set_aside(target)
            with explain_storage_errors(target):
                run.directory.rename(target)
            run = Run(target)
            self._add(run)
        return run


def recorded_identity(run: Run) -> Identity | None:
    """Return the identity in a run's run.json, or None if it holds none that can be read."""
    try:
        return Identity(**run.record["identity"])
    except (KeyError, TypeError):
        return None


def read_run(directory: Path) -> Run | None:
    """Return the run recorded in a directory, or None if there is none that can be read."""
    try:
        return Run(directory)
    except RunError:
        return None


def is_finished(run: Run) -> bool:
    """Return whether a run has ended; a broken summary.json counts as missing, and is written again at the end."""
    try:
        return run.summary is not None
    except RunError:
        return False


def refuse_if_in_training(run: Run) -> None:
    """Raise RunError if another process is training a run."""
    process = run.record.get("process", {})
    if not is_finished(run) and is_alive(process):
        raise RunError(f"{run.directory} is being trained by process {process['pid']}; wait for it, or stop it")
