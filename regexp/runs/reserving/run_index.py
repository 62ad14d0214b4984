"""An index of the runs recorded in outputs/NAME, which also sets directories aside. Imports no torch."""

import re
import time
from collections.abc import Collection, Iterable, Mapping
from contextlib import nullcontext, suppress
from dataclasses import replace
from functools import cached_property
from pathlib import Path

from regexp.errors import RunError
from regexp.runs.directories import OutdatedRun
from regexp.runs.identity import Identity, data_paths
from regexp.runs.reserving.claims import Claims
from regexp.runs.run import SET_ASIDE, Run
from regexp.utils.storage_errors import explain_storage_errors

_SET_ASIDE = re.compile(r"\.old-\d{8}-\d{6}(-\d+)?$")


class RunIndex:
    """The runs recorded directly below a directory, by identity; of several with one identity, the first by name.

    Attributes:
        directory: the directory.
        notes: what the user should know about directories that were set aside because no run can be read in them.
    """

    def __init__(self, directory: Path) -> None:
        """Read run.json of every run in the directory but those that were set aside."""
        self.directory = directory
        self.notes: list[str] = []
        self._runs_by_directory: dict[Path, Run] = {}
        self._file_states: dict[Path, tuple[int, int]] = {}
        self.refresh()

    @property
    def runs(self) -> Collection[Run]:
        """The runs but those that were set aside, by the names of their directories."""
        return self._runs_by_directory.values()

    def refresh(self) -> None:
        """Read run.json of the runs that have appeared or changed, and forget those that are gone."""
        previous_runs, previous_states = self._runs_by_directory, self._file_states
        self._runs_by_directory, self._file_states = {}, {}
        for file in sorted(self.directory.glob("*/run.json")):
            directory = file.parent
            with suppress(OSError, RunError):  # a run without a record that can be read has no identity
                if not is_set_aside(directory):
                    stat = file.stat()
                    state = self._file_states[directory] = (stat.st_ino, stat.st_mtime_ns)
                    is_unchanged = directory in previous_runs and previous_states[directory] == state
                    self._runs_by_directory[directory] = previous_runs[directory] if is_unchanged else Run(directory)
        self._runs = _index_by_identity(self.runs)
        for name in ("_set_aside_runs", "_runs_by_configuration", "epoch_counts"):
            self.__dict__.pop(name, None)  # they are made again when they are needed

    @cached_property
    def _set_aside_runs(self) -> "RunsByIdentity":
        """The finished runs that were set aside; of several with one identity, the newest."""
        paths = [path for path in self.directory.glob("*.old-*") if _SET_ASIDE.search(path.name)]
        paths.sort(key=lambda path: path.name.rpartition(".old-")[2], reverse=True)
        return _index_by_identity(run for run in map(read_run, paths) if run is not None and is_finished(run))

    @cached_property
    def _runs_by_configuration(self) -> dict[str, list[Run]]:
        """The runs but those that were set aside, by the hash of their configuration."""
        runs_by_configuration: dict[str, list[Run]] = {}
        for run in self.runs:
            if (identity := recorded_identity(run)) is not None:
                runs_by_configuration.setdefault(identity.config, []).append(run)
        return runs_by_configuration

    @cached_property
    def epoch_counts(self) -> list[int]:
        """The values of `epochs` that any recorded run has, the largest first."""
        counts = {run.record.get("config", {}).get("epochs") for run in self.runs}
        return sorted((count for count in counts if isinstance(count, int)), reverse=True)

    def find_finished(self, config_hash: str, identity: Identity) -> list[Run]:
        """Return the finished runs of a configuration, those of an identity's data and code first.

        Args:
            config_hash: the hash of the configuration.
            identity: the identity whose data and code come first; its configuration does not matter.
        """
        runs = [run for run in self._runs_by_configuration.get(config_hash, []) if is_finished(run)]
        return sorted(runs, key=lambda run: recorded_identity(run) != replace(identity, config=config_hash))

    def find_outdated(self, identity: Identity, paths: Mapping[str, str]) -> OutdatedRun | None:
        """Return a run that is trained again because its data, or before it finished its code, have changed, or None.

        Args:
            identity: the identity of the new run.
            paths: the paths of its data. Data of another path are other data, and have not changed.
        """
        outdated_runs = []
        for run in self._runs_by_configuration.get(identity.config, []):
            recorded = recorded_identity(run)
            if recorded is None or not (run.directory / "run.json").exists():  # it has been set aside meanwhile
                continue
            if recorded.data != identity.data and data_paths(run.config) == paths:
                outdated_runs.append(OutdatedRun(run.directory, is_finished(run), "data"))
            elif recorded.data == identity.data and recorded.code != identity.code and not is_finished(run):
                outdated_runs.append(OutdatedRun(run.directory, False, "code"))
        return max(outdated_runs, key=lambda outdated: outdated.finished, default=None)

    def find(self, directory: Path, identity: Identity, among_set_aside: bool = False) -> Run | None:
        """Return the run with this identity, or None.

        Args:
            directory: its run comes before all others.
            identity: the identity of the run that is asked for.
            among_set_aside: whether to look among finished runs that were set aside, too, after all others.
        """
        run = self._runs_by_directory.get(directory)
        if run is None or not is_finished(run):  # what has ended stays as it is; the others may have changed since
            run = read_run(directory)
        if run is not None and recorded_identity(run) == identity:
            return run
        for runs in (self._runs, self._set_aside_runs) if among_set_aside else (self._runs,):
            if (run := runs.get(_without_code(identity), {}).get(identity.code)) is not None:
                return run
        return None

    def find_trained_by_other_code(self, identity: Identity, among_set_aside: bool = False) -> Run | None:
        """Return a finished run of the same configuration and data that other code trained, or None.

        Args:
            identity: the identity of the run that is asked for.
            among_set_aside: whether to look among directories that were set aside, too.
        """
        for runs in (self._runs, self._set_aside_runs) if among_set_aside else (self._runs,):
            for code, run in runs.get(_without_code(identity), {}).items():
                if code != identity.code and is_finished(run):
                    return run
        return None

    def take_notes(self) -> list[str]:
        """Return the notes since the last call."""
        notes, self.notes = self.notes, []
        return notes

    def set_aside(self, directory: Path, claims: Claims) -> Path:
        """Rename a directory, so that its name is free, and return its new path.

        Raises:
            RunBusy: another process trains the run in it.
            StorageError: it cannot be renamed.
        """
        recorded_run = read_run(directory)
        identity = None if recorded_run is None else recorded_identity(recorded_run)
        target = _free_name(directory)
        with (
            explain_storage_errors(directory),
            nullcontext() if identity is None else claims.hold(self.directory, identity),
            suppress(FileNotFoundError),  # another process has just set it aside
        ):
            directory.rename(target)
        run = self._runs_by_directory.pop(directory, None)
        if run is not None and (identity := recorded_identity(run)) is not None:
            runs = self._runs[_without_code(identity)]
            if runs.get(identity.code) is run:
                del runs[identity.code]
        return target

    def free_directory(self, directory: Path, config_hash: str, claims: Claims) -> Path:
        """Return a free name for a directory of a configuration: `directory`, or that name with a short hash.

        A run of the same configuration that has the name is set aside. One of another configuration keeps it, and the
        name that is returned gets a short hash. A directory in which no run can be read is set aside, with a note.

        Args:
            directory: the name that is wanted.
            config_hash: the configuration's part of the identity.
            claims: the claims of this process.

        Raises:
            RunBusy: another process trains the run that has the name.
            StorageError: a directory cannot be renamed.
        """
        if directory.exists():
            run = read_run(directory)
            identity = None if run is None else recorded_identity(run)
            if identity is not None and identity.config != config_hash:
                directory = directory.with_name(f"{directory.name}-{config_hash[:6]}")
        if directory.exists():
            problem = _find_problem(directory)
            target = self.set_aside(directory, claims)
            if problem is not None:
                self.notes.append(f"{problem}. The directory is set aside as {target.name}; its run starts anew.")
        return directory

    def put_back(self, run: Run, claims: Claims) -> Run:
        """Rename the directory of a run that was set aside to its old name, and return the run.

        What has the name now makes room as in `free_directory`. The directory of a run that was not set aside keeps its
        name.
        """
        target = run.directory.with_name(_SET_ASIDE.sub("", run.directory.name))
        if target != run.directory:
            target = self.free_directory(target, run.record["identity"]["config"], claims)
            with explain_storage_errors(target):
                run.directory.rename(target)
            run = Run(target)
        return run


# Runs by the hashes of configuration and data, and then by that of the code.
RunsByIdentity = dict[tuple[str, str], dict[str, Run]]


def _index_by_identity(runs: Iterable[Run]) -> RunsByIdentity:
    """Return runs by identity, without those whose identity cannot be read; of several the first."""
    index: RunsByIdentity = {}
    for run in runs:
        if (identity := recorded_identity(run)) is not None:
            index.setdefault(_without_code(identity), {}).setdefault(identity.code, run)
    return index


def _without_code(identity: Identity) -> tuple[str, str]:
    return identity.config, identity.data


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


def _find_problem(directory: Path) -> str | None:
    """Return why no run can be read in a directory; None if one can."""
    try:
        run = Run(directory)
    except RunError as error:
        return str(error)
    if recorded_identity(run) is None:
        return f"{directory / 'run.json'} is broken: it holds no identity"
    return None


def is_finished(run: Run) -> bool:
    """Return whether a run has ended for good. One that a search has pruned goes on where a command asks for it.

    A broken summary.json counts as missing, and is written again at the end.
    """
    try:
        return run.summary is not None and not is_pruned(run)
    except RunError:
        return False


def is_pruned(run: Run) -> bool:
    """Return whether a search has pruned a run, and no other command has trained it to its end since."""
    try:
        return run.status == "pruned"
    except RunError:
        return False


def is_set_aside(directory: Path) -> bool:
    """Return whether a directory has the name of one that was set aside."""
    return SET_ASIDE in directory.name


def _free_name(directory: Path) -> Path:
    """Return a name for a directory that is set aside: with the time, and where that is taken a number."""
    stamp = f"{directory}.old-{time.strftime('%Y%m%d-%H%M%S')}"
    name = Path(stamp)
    count = 1
    while name.exists():
        count += 1
        name = Path(f"{stamp}-{count}")
    return name
