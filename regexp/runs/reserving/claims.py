"""Claims: of all processes that share a file system, the one that holds the claim on a run trains it. Imports no torch.

The claim on a run is a directory, outputs/NAME/.claims/KEY, and in it an empty file with the name of its holder; beside
it is the holder's heartbeat, HOLDER.json. The directory is made under another name and renamed: of several processes
exactly one succeeds, because a directory that holds a file cannot be replaced, on any file system. The claim of a dead
holder is emptied, by removing its file by its name, and renamed over in the same way. So nobody can remove the claim of
a new holder because an old one is dead, however late it acts on what it saw.

The heartbeat of a holder that is found dead is removed. Should it be alive after all (a machine that slept, a network
that was cut), it notices that before it writes again, and leaves its runs to others.
"""

import errno
import hashlib
import os
import secrets
import shutil
import time
from collections.abc import Callable, Iterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import contextmanager, suppress
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Self

from regexp.errors import RunBusy, RunTakenOver
from regexp.runs.identity import Identity
from regexp.runs.reserving.heartbeats import (
    STALE_SECONDS,
    Heartbeats,
    read_beat,
    read_process,
    seems_alive,
    touch,
    watch,
)

_DIRECTORY = ".claims"
# How often what failed because of another process is tried again, with pauses that grow to a tenth of a second.
_MAX_TRIES = 100
# The number of claims that are released at the same time where there are many.
_FILES_AT_ONCE = 16


@dataclass(frozen=True)
class Claim:
    """The right of a process to train a run.

    Attributes:
        directory: the directory that stands for it.
        holder: the name of the holder.
    """

    directory: Path
    holder: str

    @property
    def file(self) -> Path:
        """The file that names the holder."""
        return self.directory / self.holder

    @property
    def heartbeat(self) -> Path:
        """The heartbeat of the holder."""
        return self.directory.parent / f"{self.holder}.json"

    def is_lost(self) -> bool:
        """Return whether another process has declared the holder dead. It costs a look at a file."""
        return not self.heartbeat.exists() and self.heartbeat.parent.exists()

    def release(self) -> None:
        """Leave the run to others before this process ends."""
        with suppress(OSError):
            self.file.unlink()
            self.directory.rmdir()

    def refuse_if_lost(self) -> None:
        """Raise RunTakenOver if another process has declared the holder dead."""
        if self.is_lost():
            raise RunTakenOver(
                f"this process gave no sign of life for a while, so its runs in {self.directory.parent.parent} are "
                "free for other processes to train; nothing is written to them from here any more"
            )


class Claims:
    """The claims that this process holds. It is used in a `with` statement, at whose end all are released."""

    def __init__(self, announce: Callable[[str], None]) -> None:
        """Prepare to claim runs.

        Args:
            announce: called with a message before a wait of many seconds.
        """
        self.holder = secrets.token_hex(8)
        self._announce = announce
        self._heartbeats = Heartbeats()
        self._directories: set[Path] = set()  # outputs/NAME/.claims of each NAME
        self._claims: dict[Path, Claim] = {}
        self._num_drafts = 0
        self._living_holders: set[Path] = set()  # those that had to be watched

    def __enter__(self) -> Self:
        """Return the claims."""
        return self

    def __exit__(self, *error: object) -> None:
        """Release all claims, and leave nothing behind."""
        self._heartbeats.stop()  # from here on others may claim the runs
        with ThreadPoolExecutor(_FILES_AT_ONCE) as executor:
            list(executor.map(Claim.release, self._claims.values()))
        for directory in self._directories:
            with suppress(OSError):  # other processes have claims there, or have just removed it
                for draft in directory.glob(f"{self.holder}-*.draft"):
                    shutil.rmtree(draft, ignore_errors=True)
                _remove_leftovers(directory)
                directory.rmdir()

    def acquire(self, experiment: Path, identity: Identity) -> Claim:
        """Claim a run for this process, or return the claim that it holds already.

        Args:
            experiment: outputs/NAME.
            identity: the identity of the run. Its code does not matter: the runs of all codes share one directory.

        Raises:
            RunBusy: another process holds the claim.
            OSError: a file cannot be written.
        """
        claim = Claim(claim_directory(experiment, identity), self.holder)
        if claim.directory in self._claims:
            return claim
        draft = self.make_draft(experiment)
        (draft / self.holder).touch()
        for tries in range(_MAX_TRIES):
            try:
                draft.rename(claim.directory)
            except OSError as error:
                is_occupied = error.errno in (errno.ENOTEMPTY, errno.EEXIST) or claim.directory.exists()
                # A network file system may report that a rename failed that it has done.
                if not claim.file.exists():
                    if not is_occupied or tries == _MAX_TRIES - 1:
                        raise
                    self._remove_dead_holders(claim.directory, draft)
                    time.sleep(tries / 1000)
                    continue
            break
        self._claims[claim.directory] = claim
        return claim

    @contextmanager
    def hold(self, experiment: Path, identity: Identity) -> Iterator[None]:
        """Hold the claim on a run during a `with` statement, for work on its directory.

        Raises:
            RunBusy: another process holds the claim.
        """
        was_held = claim_directory(experiment, identity) in self._claims
        claim = self.acquire(experiment, identity)
        try:
            yield
        finally:
            if not was_held:
                del self._claims[claim.directory]
                claim.release()

    def make_draft(self, experiment: Path) -> Path:
        """Return a new, empty directory below outputs/NAME for what shall appear elsewhere as a whole.

        Raises:
            OSError: it cannot be written.
        """
        directory = experiment / _DIRECTORY
        if directory not in self._directories:
            self._begin(directory)
        self._num_drafts += 1
        draft = directory / f"{self.holder}-{self._num_drafts}.draft"
        draft.mkdir()
        return draft

    def _begin(self, directory: Path) -> None:
        """Start the heartbeat of this process in a directory."""
        for _ in range(_MAX_TRIES):
            directory.mkdir(parents=True, exist_ok=True)
            try:
                self._heartbeats.start(directory / f"{self.holder}.json")
            except FileNotFoundError:
                continue  # another process has just left the directory empty, and removed it
            self._directories.add(directory)
            return
        raise FileNotFoundError(errno.ENOENT, os.strerror(errno.ENOENT), str(directory))

    def _remove_dead_holders(self, directory: Path, draft: Path) -> None:
        """Free the claim of a dead holder; raise RunBusy if the holder is alive."""
        for file in _holder_files(directory):
            heartbeat = directory.parent / f"{file.name}.json"
            if self._is_alive(heartbeat):
                shutil.rmtree(draft, ignore_errors=True)
                raise RunBusy(describe_process(read_process(heartbeat)))
            heartbeat.unlink(missing_ok=True)
            file.unlink(missing_ok=True)
        with suppress(OSError):
            directory.rmdir()  # not every system renames onto an empty directory

    def _is_alive(self, heartbeat: Path) -> bool:
        """Return whether the process of a heartbeat is alive, after watching it if that is not clear."""
        if heartbeat in self._living_holders:
            return heartbeat.exists()
        own_heartbeat = heartbeat.with_name(f"{self.holder}.json")
        touch(own_heartbeat)
        beat = read_beat(own_heartbeat)
        is_alive = seems_alive(heartbeat, None if beat is None else beat / 1e9)
        if is_alive is None:
            process = describe_process(read_process(heartbeat))
            self._announce(f"looking for up to {STALE_SECONDS:g} s whether {process}, which trained here, is alive")
            is_alive = watch(heartbeat)
            if is_alive:
                self._living_holders.add(heartbeat)
        return is_alive


def claim_directory(experiment: Path, identity: Identity) -> Path:
    """Return the directory that stands for the claim on a run, given outputs/NAME and the run's identity."""
    key = hashlib.sha256(f"{identity.config} {identity.data}".encode()).hexdigest()[:16]
    return experiment / _DIRECTORY / key


def find_holder(experiment: Path, identity: Identity) -> str:
    """Return the process that trains a run, in words; empty if there is none, as far as can be told without writing.

    Args:
        experiment: outputs/NAME.
        identity: the identity of the run.
    """
    directory = claim_directory(experiment, identity)
    for file in _holder_files(directory):
        heartbeat = directory.parent / f"{file.name}.json"
        if seems_alive(heartbeat):
            return describe_process(read_process(heartbeat))
    return ""


def describe_process(process: dict[str, Any]) -> str:
    """Return a process in words, given its record: "process 4242 on node3"."""
    if "pid" not in process:
        return "another process"
    return f"process {process['pid']} on {process.get('host')}"


def _holder_files(directory: Path) -> list[Path]:
    """Return the files that name the holders of a claim: one, or none while the claim changes hands."""
    try:
        return list(directory.iterdir())
    except OSError:
        return []


def _remove_leftovers(directory: Path) -> None:
    """Remove what dead processes have left in a directory of claims. Without its heartbeat, a holder is dead.

    Raises:
        OSError: something cannot be removed, or another process has just removed it.
    """
    for heartbeat in directory.glob("*.json"):
        if seems_alive(heartbeat) is False:
            heartbeat.unlink(missing_ok=True)
    for draft in directory.glob("*.draft"):
        if not (directory / f"{draft.name.partition('-')[0]}.json").exists():
            shutil.rmtree(draft, ignore_errors=True)
    for file in directory.glob("*/*"):
        if file.parent.suffix != ".draft" and not (directory / f"{file.name}.json").exists():
            file.unlink(missing_ok=True)
            file.parent.rmdir()
