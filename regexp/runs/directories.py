"""Directories of runs: finished runs are found again, unfinished runs go on, and nothing stored is ever lost.

Imports no torch.
"""

import json
import platform
import time
import traceback
from collections.abc import Iterable, Iterator, Sequence
from contextlib import contextmanager, suppress
from dataclasses import asdict, dataclass
from functools import cache
from importlib.metadata import version
from pathlib import Path
from typing import Any

from regexp.config.job import Job
from regexp.config.schema import data_source, flatten
from regexp.data.sources import locate
from regexp.errors import RunError
from regexp.runs.identity import Identity, identify, label
from regexp.runs.run import Run, find_runs
from regexp.utils.atomic_io import log, storage_errors, write_atomically
from regexp.utils.processes import command, is_alive, this_process
from regexp.utils.progress import progress


@dataclass(frozen=True, eq=False)
class PlannedRun:
    """A job and the directory in which it is, or will be, trained.

    Attributes:
        job: the checked configuration.
        identity: the hashes that decide the run's result.
        directory: the directory of the run.
        finished: whether the run in it has ended and is only shown, not trained.
    """

    job: Job
    identity: Identity
    directory: Path
    finished: bool


def plan_runs(jobs: Sequence[Job], outputs: Path, dry_run: bool = False) -> list[PlannedRun]:
    """Return a planned run for each job, in the order of the jobs; jobs with the same identity share one.

    Args:
        jobs: the checked configurations.
        outputs: the directory that holds outputs/NAME/LABEL.
        dry_run: only look for directories, and write nothing.

    Raises:
        RunError: another process is training one of these runs.
        StorageError: a directory cannot be written.
        DataError: a data set is missing, or cannot be read or downloaded.
    """
    sources = {key: locate(*key) for key in {data_source(job.config) for job in jobs}}
    recorded_runs = {name: _runs_by_identity(outputs / name) for name in {job.config.name for job in jobs}}
    choose_directory = find_directory if dry_run else reserve_directory
    planned_by_key: dict[tuple[str, Identity], PlannedRun] = {}
    planned_runs = []
    for job in progress(jobs, "planning the runs"):
        name = job.config.name
        identity = identify(job.config, sources[data_source(job.config)].fingerprint)
        if (name, identity) not in planned_by_key:
            planned_by_key[name, identity] = choose_directory(job, identity, outputs, recorded_runs[name])
        planned_runs.append(planned_by_key[name, identity])
    return planned_runs


# The runs recorded in a directory outputs/NAME, by their identity.
RunsByIdentity = dict[Identity, Run]


def _runs_by_identity(directory: Path) -> RunsByIdentity:
    """Return the runs directly below a directory by identity; of several with the same identity, the first by name."""
    runs: RunsByIdentity = {}
    for run in find_runs(directory):
        if (identity := _recorded_identity(run)) is not None:
            runs.setdefault(identity, run)
    return runs


def find_directory(job: Job, identity: Identity, outputs: Path, runs_by_identity: RunsByIdentity) -> PlannedRun:
    """Return the planned run that `reserve_directory` would return, without writing anything.

    Args:
        job: the checked configuration.
        identity: the identity of the job.
        outputs: the directory that holds outputs/NAME/LABEL.
        runs_by_identity: the runs recorded in outputs/NAME.

    Returns:
        The job with its directory, and whether the run in it has ended.
    """
    directory = outputs / job.config.name / label(job.overrides)
    matching_run = _matching_run(directory, identity, runs_by_identity)
    if matching_run is not None and not job.config.force:
        return PlannedRun(job, identity, matching_run.directory, _is_finished(matching_run))
    if directory.exists():
        directory = directory.with_name(f"{directory.name}-{identity.config[:6]}")
    return PlannedRun(job, identity, directory, finished=False)


def reserve_directory(job: Job, identity: Identity, outputs: Path, runs_by_identity: RunsByIdentity) -> PlannedRun:
    """Reserve the directory outputs/NAME/LABEL for a job, or find the directory of the same run under another label.

    A run with the same identity is found whether or not it has finished. A directory with other content is never
    overwritten: the label of the new run gets a short hash, or, where only the data or the code differ or `force` asks
    for it, the old directory is set aside.

    Args:
        job: the checked configuration.
        identity: the identity of the job.
        outputs: the directory that holds outputs/NAME/LABEL.
        runs_by_identity: the runs recorded in outputs/NAME; runs that are set aside are removed from it.

    Returns:
        The job with its directory, and whether the run in it has ended.

    Raises:
        RunError: another process is training this very run.
        StorageError: the directory cannot be written.
    """
    directory = outputs / job.config.name / label(job.overrides)
    if (matching_run := _matching_run(directory, identity, runs_by_identity)) is not None:
        finished = _is_finished(matching_run)
        _refuse_if_in_training(matching_run)
        if not job.config.force:
            planned = PlannedRun(job, identity, matching_run.directory, finished)
            return planned if finished else _record(planned)
        _set_aside(matching_run.directory, runs_by_identity)
    if directory.exists():
        other_run = _read_run(directory)
        if other_run is None or other_run.record.get("identity", {}).get("config") in (None, identity.config):
            _set_aside(directory, runs_by_identity)
        else:
            directory = directory.with_name(f"{directory.name}-{identity.config[:6]}")
            if directory.exists():
                _set_aside(directory, runs_by_identity)
    return _record(PlannedRun(job, identity, directory, finished=False))


def _record(planned: PlannedRun) -> PlannedRun:
    """Write .hydra/ and run.json before a run starts; a run that goes on keeps those written at its first start."""
    job, directory = planned.job, planned.directory
    run = _read_run(directory)
    now = time.strftime("%Y-%m-%dT%H:%M:%S%z")
    with storage_errors(directory):
        if run is not None:
            _update(run, resumed=[*run.record.get("resumed", []), now], process=this_process())
            return planned
        (directory / ".hydra").mkdir(parents=True, exist_ok=True)
        for name, document in job.documents().items():
            (directory / ".hydra" / name).write_text(document)
        record = {
            "config": flatten(job.config),
            "overrides": list(job.overrides),
            "tags": job.config.tags,
            "identity": asdict(planned.identity),
            "versions": _versions(),
            "python": platform.python_version(),
            "command": command(),
            "started": now,
            "process": this_process(),
        }
        write_atomically(directory / "run.json", json.dumps(record, indent=2).encode())
    return planned


@cache
def _versions() -> dict[str, str]:
    """Return the installed versions of this package and of the libraries that shape a result."""
    return {name: version(name) for name in ("regexp", "torch", "torchvision", "hydra-core", "tensorboard")}


def _update(run: Run, **changes: Any) -> None:
    """Replace or add keys in a run's run.json."""
    write_atomically(run.directory / "run.json", json.dumps({**run.record, **changes}, indent=2).encode())


@contextmanager
def reservations_released(planned_runs: Sequence[PlannedRun]) -> Iterator[None]:
    """Record, when the block ends for any reason, that this process no longer trains these runs."""
    try:
        yield
    finally:
        for planned in planned_runs:
            with suppress(OSError):
                if (run := _read_run(planned.directory)) is not None:
                    _update(run, process={})


@contextmanager
def recording_failure(planned_runs: Iterable[PlannedRun]) -> Iterator[None]:
    """Write failure.json for those of these runs that have not ended, if an exception ends the block."""
    try:
        yield
    except Exception as error:
        for planned in planned_runs:
            record_failure(planned, error)
        raise


def record_failure(planned: PlannedRun, error: Exception) -> None:
    """Write failure.json to a run's directory and the traceback to its log, unless the run has ended."""
    failure = {"kind": type(error).__name__, "message": (str(error).splitlines() or [""])[0], "again": command()}
    if not (planned.directory / "summary.json").exists():
        with suppress(OSError):  # the error may be that nothing can be written
            write_atomically(planned.directory / "failure.json", json.dumps(failure, indent=2).encode())
            log(planned.directory, "".join(traceback.format_exception(error)).rstrip())
            for path in planned.directory.glob("events.out.tfevents.*"):
                from regexp.runs import event_file

                event_file.EventFile(path).write(0, event_file.session_end(success=False))


def _matching_run(directory: Path, identity: Identity, runs_by_identity: RunsByIdentity) -> Run | None:
    """Return the run with this identity, or None; the run in `directory` comes before all others."""
    run = _read_run(directory)
    return run if run is not None and _recorded_identity(run) == identity else runs_by_identity.get(identity)


def _recorded_identity(run: Run) -> Identity | None:
    """Return the identity in a run's run.json, or None if it holds none that can be read."""
    try:
        return Identity(**run.record["identity"])
    except (KeyError, TypeError):
        return None


def _read_run(directory: Path) -> Run | None:
    """Return the run recorded in a directory, or None if there is none that can be read."""
    try:
        return Run(directory)
    except RunError:
        return None


def _is_finished(run: Run) -> bool:
    """Return whether a run has ended; a broken summary.json counts as missing, and is written again at the end."""
    try:
        return run.summary is not None
    except RunError:
        return False


def _refuse_if_in_training(run: Run) -> None:
    """Raise RunError if another process is training a run."""
    process = run.record.get("process", {})
    if not _is_finished(run) and is_alive(process):
        raise RunError(f"{run.directory} is being trained by process {process['pid']}; wait for it, or stop it")


def _set_aside(directory: Path, runs_by_identity: RunsByIdentity) -> None:
    """Rename a directory, so that its name is free; raise RunError if another process works in it."""
    if (run := _read_run(directory)) is not None:
        _refuse_if_in_training(run)
    stamp = f"{directory}.old-{time.strftime('%Y%m%d-%H%M%S')}"
    target, count = Path(stamp), 1
    while target.exists():
        count += 1
        target = Path(f"{stamp}-{count}")
    with storage_errors(directory):
        directory.rename(target)
    for identity in [identity for identity, run in runs_by_identity.items() if run.directory == directory]:
        del runs_by_identity[identity]
