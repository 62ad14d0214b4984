"""Directories of runs: what is written to them before a run starts, and where it fails.

This module imports no torch.
"""

import json
import platform
import shutil
import time
import traceback
from collections.abc import Iterable, Iterator, Mapping, Sequence
from contextlib import contextmanager, suppress
from dataclasses import asdict, dataclass, replace
from functools import cache
from importlib.metadata import version
from pathlib import Path
from typing import Any

from regexp.config.job import Job
from regexp.config.schema import flatten, source_arguments, stream_key
from regexp.errors import DeviceError, RunError, StorageError
from regexp.runs.appended_file import AppendedFile
from regexp.runs.identity import Identity
from regexp.runs.reserving.claims import Claim
from regexp.runs.run import Run
from regexp.runs.trials import PrunableTrial
from regexp.utils.atomic_io import append_to_log, write_atomically
from regexp.utils.processes import typed_command


@dataclass(frozen=True)
class ShorterRun:
    """A finished run that differs from a planned one in having fewer epochs only.

    Attributes:
        directory: its directory.
        epoch: its last epoch.
        obstacle: why the planned run cannot go on from it; empty if it does.
        is_over: whether it stopped early, so that more epochs change nothing.
    """

    directory: Path
    epoch: int
    obstacle: str = ""
    is_over: bool = False


@dataclass(frozen=True)
class OutdatedRun:
    """A run of the same configuration that is trained again because its code or its data have changed.

    Attributes:
        directory: its directory.
        finished: whether it had ended.
        change: what has changed: "code" or "data".
    """

    directory: Path
    finished: bool
    change: str


@dataclass(frozen=True, eq=False)
class PlannedRun:
    """A job and the directory in which it is, or will be, trained.

    Attributes:
        job: the checked configuration.
        identity: the hashes that decide the run's result.
        directory: the directory of the run.
        finished: whether the run in it has ended and is only shown, not trained.
        other_code: the hash of the other code that trained a finished run of the same configuration and data, which is
            kept with keep=true and otherwise set aside; empty if there is no such run.
        shows_stream: whether the picture of its augmentation goes into TensorBoard: one run of each image stream does.
        claim: the claim of this process on the run; None where it is not to be trained.
        problem: the error that prevents the run from being stored; None if nothing does.
        note: what the user should know about its directory.
        trained_by: the process that trains the run at present, in words; empty if there is none but this one.
        queued_as: the job of a queue that trains, or will train, the run, in words; empty if there is none.
        replaced_directory: the directory that was set aside for this one; None if none was.
        shorter_run: the finished run of fewer epochs from which it goes on, or cannot; None if there is none.
        outdated_run: the run in whose place it is trained, other than one that keep=true keeps; None if there is none.
        new_tags: the tags that a finished run has got from this command.
        trial: the trial that it belongs to, if that may be pruned; None for other runs.
        adds_measures: whether the run had ended, and is not trained: more is measured of it.
        unmeasured: why nothing more can be measured of a finished run, of which the command asks for more; empty if
            there is no such reason.
    """

    job: Job
    identity: Identity
    directory: Path
    finished: bool
    other_code: str = ""
    shows_stream: bool = True
    claim: Claim | None = None
    problem: StorageError | None = None
    note: str = ""
    trained_by: str = ""
    queued_as: str = ""
    replaced_directory: Path | None = None
    shorter_run: ShorterRun | None = None
    outdated_run: OutdatedRun | None = None
    new_tags: tuple[str, ...] = ()
    trial: PrunableTrial | None = None
    adds_measures: bool = False
    unmeasured: str = ""

    @property
    def is_to_train(self) -> bool:
        """Whether this command is to see to it that the run is trained."""
        return not self.finished and not self.trained_by and self.problem is None

    @property
    def continues(self) -> bool:
        """Whether the run is a new one that begins where a finished run of fewer epochs ended."""
        return not self.finished and self.shorter_run is not None and not self.shorter_run.obstacle

    def refuse_if_taken_over(self) -> None:
        """Raise RunError if another process may train the run by now, because this one gave no sign of life."""
        if self.claim is not None:
            self.claim.refuse_if_lost()


def choose_shown_streams(planned_runs: Sequence[PlannedRun], shown: set[str]) -> list[PlannedRun]:
    """Return planned runs of which the first one of each image stream shows its pictures.

    Args:
        planned_runs: the runs.
        shown: the image streams that other runs show; those of these runs are added.
    """
    chosen_runs = []
    for planned in planned_runs:
        config = planned.job.config
        stream = repr((source_arguments(config), stream_key(config)))
        chosen_runs.append(replace(planned, shows_stream=False) if stream in shown else planned)
        shown.add(stream)
    return chosen_runs


def record_start(directory: Path, job: Job, identity: Identity, entries: Mapping[str, Any]) -> None:
    """Write .hydra/ and run.json of a run that starts.

    Args:
        directory: the directory to write them to.
        job: the checked configuration.
        identity: the identity of the job.
        entries: further entries of run.json: its tags, the command that trains it anew, what it goes on from, and the
            commit of the repository.

    Raises:
        OSError: a file cannot be written.
    """
    (directory / ".hydra").mkdir(parents=True, exist_ok=True)
    for name, document in job.hydra_files().items():
        (directory / ".hydra" / name).write_text(document, encoding="utf-8")
    record = {
        "config": flatten(job.config),
        "overrides": list(job.recorded_overrides),
        "identity": asdict(identity),
        "versions": _versions(),
        "python": platform.python_version(),
        "command": typed_command(),
        "started": time.strftime("%Y-%m-%dT%H:%M:%S%z"),
        **entries,
    }
    # Nothing is lost yet if a power cut leaves an empty file, and a sweep has thousands of them.
    write_atomically(directory / "run.json", json.dumps(record, indent=2).encode(), sync=False)


def record_resumption(run: Run, forced: Mapping[str, str], tags: Iterable[str], entries: Mapping[str, Any]) -> None:
    """Add to run.json of a run that resumes when it does.

    Args:
        run: the run.
        forced: the record of the command with force=true that resumes it; empty where none does.
        tags: the tags that it gets in addition to those that it has.
        entries: the entries of run.json that change, because the command asks for more.

    Raises:
        OSError: the file cannot be written.
    """
    record = {**run.record, "resumed": [*run.record.get("resumed", []), time.strftime("%Y-%m-%dT%H:%M:%S%z")]}
    record |= {**entries, "tags": list(dict.fromkeys([*run.tags, *tags]))}
    with suppress(RunError):  # a broken summary is written again at the end
        if run.status == "pruned":  # it goes on
            (run.directory / "summary.json").unlink(missing_ok=True)
    if forced:
        record["forced"] = dict(forced)
    write_atomically(run.directory / "run.json", json.dumps(record, indent=2).encode())


@cache
def _versions() -> dict[str, str]:
    """Return the installed versions of this package and of the libraries that shape a result."""
    return {name: version(name) for name in ("regexp", "torch", "torchvision", "hydra-core", "tensorboard")}


@contextmanager
def record_failure_of(planned_runs: Iterable[PlannedRun]) -> Iterator[None]:
    """Write failure.json for the runs among these that have not ended, if an exception ends the block."""
    try:
        yield
    except Exception as error:
        for planned in planned_runs:
            record_failure(planned, error)
        raise


def record_failure(planned: PlannedRun, error: Exception) -> None:
    """Write failure.json to a run's directory and the traceback to its log, unless the run has ended.

    Where the machine lacks the device, the run has not failed: all is left as it was before, also what was set aside.
    Nothing is written either where another process has taken the run over.
    """
    directory = planned.directory
    if (directory / "summary.json").exists() or (planned.claim is not None and planned.claim.is_lost()):
        return
    if type(error) is DeviceError:
        if not (directory / "metrics.csv").exists():
            _withdraw(planned)
        return
    failure = {"kind": type(error).__name__, "message": (str(error).splitlines() or [""])[0]}
    with suppress(RunError):  # a worker process was started with other words than the user's
        failure["again"] = str(Run(directory).record.get("command", ""))
    with suppress(OSError):  # the error may be that nothing can be written
        write_atomically(directory / "failure.json", json.dumps(failure, indent=2).encode())
        append_to_log(directory, "".join(traceback.format_exception(error)).rstrip())
        for path in directory.glob("events.out.tfevents.*"):
            from regexp.runs.tensorboard import event_file, session

            values = session.make_session(planned.job.config, planned.identity.data, "failed", time.time())
            event_file.EventFile(AppendedFile.read(path)).write(0, *values)


def _withdraw(planned: PlannedRun) -> None:
    """Remove what `record_start` has written, and the directory if it holds nothing else; put back what it replaced."""
    directory = planned.directory
    with suppress(OSError):
        (directory / "run.json").unlink(missing_ok=True)
        shutil.rmtree(directory / ".hydra", ignore_errors=True)
        directory.rmdir()
        if planned.replaced_directory is not None:
            planned.replaced_directory.rename(directory)
