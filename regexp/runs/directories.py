"""Directories of runs: finished runs are found again, unfinished runs resume, and nothing stored is ever lost.

This module imports no torch.
"""

import json
import platform
import time
import traceback
from collections.abc import Iterable, Iterator, Sequence
from concurrent.futures import ThreadPoolExecutor
from contextlib import contextmanager, suppress
from dataclasses import asdict, dataclass, replace
from functools import cache
from importlib.metadata import version
from pathlib import Path
from typing import Any

from regexp.config.job import Job
from regexp.config.schema import flatten, source_arguments
from regexp.data.sources import locate
from regexp.errors import StorageError
from regexp.runs.appended_file import AppendedFile
from regexp.runs.identity import Identity, identify, make_label
from regexp.runs.run import Run
from regexp.runs.run_index import RunIndex, is_finished, read_run, refuse_if_in_training
from regexp.utils.atomic_io import append_to_log, write_atomically
from regexp.utils.processes import describe_this_process, typed_command
from regexp.utils.progress import track_progress
from regexp.utils.storage_errors import explain_storage_errors

# The number of files that are written at the same time where there are many.
_FILES_AT_ONCE = 16


@dataclass(frozen=True, eq=False)
class PlannedRun:
    """A job and the directory in which it is, or will be, trained.

    Attributes:
        job: the checked configuration.
        identity: the hashes that decide the run's result.
        directory: the directory of the run.
        finished: whether the run in it has ended and is only shown, not trained.
        other_code: whether a finished run of the same configuration and data was trained by other code. It is kept with
            keep=true, and otherwise set aside.
        problem: the error that prevents the run from being stored; None if nothing does.
        note: what the user should know about its directory.
    """

    job: Job
    identity: Identity
    directory: Path
    finished: bool
    other_code: bool = False
    problem: StorageError | None = None
    note: str = ""


def plan_runs(jobs: Sequence[Job], outputs: Path, dry_run: bool = False) -> list[PlannedRun]:
    """Return a planned run for each job, in the order of the jobs; jobs with the same identity share one.

    A run that cannot be stored leaves the others alone: the error becomes its `problem`.

    Args:
        jobs: the checked configurations.
        outputs: the directory that holds outputs/NAME/LABEL.
        dry_run: whether to look for directories only, and write nothing.

    Raises:
        RunError: another process is training one of these runs.
        DataError: a data set is missing, or cannot be read or downloaded.
    """
    sources = {key: locate(*key) for key in {source_arguments(job.config) for job in jobs}}
    run_indices = {name: RunIndex(outputs / name) for name in {job.config.name for job in jobs}}
    choose_directory = find_directory if dry_run else reserve_directory
    planned_by_key: dict[tuple[str, Identity], PlannedRun] = {}
    planned_runs = []
    for job in track_progress(jobs, "planning the runs"):
        name = job.config.name
        identity = identify(job.config, sources[source_arguments(job.config)].fingerprint)
        if (name, identity) not in planned_by_key:
            run_index = run_indices[name]
            try:
                planned = choose_directory(job, identity, outputs, run_index)
            except StorageError as error:
                directory = outputs / name / make_label(job.overrides)
                planned = PlannedRun(job, identity, directory, finished=False, problem=error)
            planned_by_key[name, identity] = replace(planned, note="\n".join(run_index.take_notes()))
        planned_runs.append(planned_by_key[name, identity])
    return planned_runs


def find_unfinished(planned_runs: Sequence[PlannedRun]) -> tuple[list[PlannedRun], list[Exception]]:
    """Return the runs to train, each once, and the errors of the runs that cannot be stored."""
    distinct_runs = dict.fromkeys(planned_runs)
    errors: list[Exception] = [planned.problem for planned in distinct_runs if planned.problem is not None]
    return [planned for planned in distinct_runs if not planned.finished and planned.problem is None], errors


def read_runs(planned_runs: Sequence[PlannedRun], some_failed: bool) -> list[Run]:
    """Return the runs in the directories of planned runs; those that failed may have left no directory."""
    if not some_failed:
        return [Run(planned.directory) for planned in planned_runs]
    return [run for planned in planned_runs if (run := read_run(planned.directory)) is not None]


def find_directory(job: Job, identity: Identity, outputs: Path, run_index: RunIndex) -> PlannedRun:
    """Return the planned run that `reserve_directory` would return, without writing anything.

    Args:
        job: the checked configuration.
        identity: the identity of the job.
        outputs: the directory that holds outputs/NAME/LABEL.
        run_index: the runs recorded in outputs/NAME, by identity.

    Returns:
        The job with its directory, and whether the run in it has ended.
    """
    directory = outputs / job.config.name / make_label(job.overrides)
    run, other_run = _find_runs(job, identity, directory, run_index)
    if other_run is not None and job.config.keep:
        return PlannedRun(job, identity, other_run.directory, finished=True, other_code=True)
    if run is not None and not job.config.force:
        return PlannedRun(job, identity, run.directory, is_finished(run))
    if directory.exists():
        directory = directory.with_name(f"{directory.name}-{identity.config[:6]}")
    return PlannedRun(job, identity, directory, finished=False, other_code=other_run is not None)


def reserve_directory(job: Job, identity: Identity, outputs: Path, run_index: RunIndex) -> PlannedRun:
    """Reserve the directory outputs/NAME/LABEL for a job, or find the directory of the same run under another label.

    A run with the same identity is found whether or not it has finished, and if it has, also where it was set aside. A
    directory with other content is never overwritten: the label of the new run gets a short hash, or, where only the
    data or the code differ or `force` asks for it, the old directory is set aside. With `keep`, a finished run that
    other code trained is found as well, also where it was set aside.

    Args:
        job: the checked configuration.
        identity: the identity of the job.
        outputs: the directory that holds outputs/NAME/LABEL.
        run_index: the runs recorded in outputs/NAME, by identity.

    Returns:
        The job with its directory, and whether the run in it has ended.

    Raises:
        RunError: another process is training this very run.
        StorageError: the directory cannot be written.
    """
    directory = outputs / job.config.name / make_label(job.overrides)
    run, other_run = _find_runs(job, identity, directory, run_index)
    if other_run is not None and job.config.keep:
        kept_run = run_index.put_back(other_run)
        return PlannedRun(job, identity, kept_run.directory, finished=True, other_code=True)
    if other_run is not None:
        run_index.set_aside(other_run.directory)
    if run is not None:
        refuse_if_in_training(run)
        if not job.config.force:
            run = run_index.put_back(run)
            planned = PlannedRun(job, identity, run.directory, is_finished(run))
            return planned if planned.finished else _record(planned)
        run_index.set_aside(run.directory)
    directory = run_index.free_directory(directory, identity.config)
    return _record(PlannedRun(job, identity, directory, finished=False, other_code=other_run is not None))


def _find_runs(job: Job, identity: Identity, directory: Path, run_index: RunIndex) -> tuple[Run | None, Run | None]:
    """Return the run with this identity, and a finished run that differs from it in the code alone.

    Args:
        job: the checked configuration.
        identity: the identity of the job.
        directory: outputs/NAME/LABEL of the job.
        run_index: the runs recorded in outputs/NAME, by identity.

    Returns:
        The run with this identity, finished or not, or None; and the run of other code, or None. The latter is always
        None where the run with this identity has finished or `force` is set, and without `keep` also where that run has
        begun.
    """
    run = run_index.find(directory, identity, among_set_aside=not job.config.force)
    looks_for_other_code = run is None or (job.config.keep and not is_finished(run))
    if job.config.force or not looks_for_other_code:
        return run, None
    return run, run_index.find_trained_by_other_code(identity, among_set_aside=job.config.keep)


def _record(planned: PlannedRun) -> PlannedRun:
    """Write .hydra/ and run.json before a run starts; a run that resumes keeps those written at its first start."""
    job, directory = planned.job, planned.directory
    run = read_run(directory)
    now = time.strftime("%Y-%m-%dT%H:%M:%S%z")
    with explain_storage_errors(directory):
        if run is not None:
            _update(run, resumed=[*run.record.get("resumed", []), now], process=describe_this_process())
            return planned
        (directory / ".hydra").mkdir(parents=True, exist_ok=True)
        for name, document in job.hydra_files().items():
            (directory / ".hydra" / name).write_text(document, encoding="utf-8")
        record = {
            "config": flatten(job.config),
            "overrides": list(job.overrides),
            "tags": job.config.tags,
            "identity": asdict(planned.identity),
            "versions": _versions(),
            "python": platform.python_version(),
            "command": typed_command(),
            "started": now,
            "process": describe_this_process(),
        }
        # Nothing is lost yet if a power cut leaves an empty file, and a sweep has thousands of them.
        write_atomically(directory / "run.json", json.dumps(record, indent=2).encode(), sync=False)
    return planned


@cache
def _versions() -> dict[str, str]:
    """Return the installed versions of this package and of the libraries that shape a result."""
    return {name: version(name) for name in ("regexp", "torch", "torchvision", "hydra-core", "tensorboard")}


def _update(run: Run, **changes: Any) -> None:
    """Replace or add keys in a run's run.json."""
    write_atomically(run.directory / "run.json", json.dumps({**run.record, **changes}, indent=2).encode())


@contextmanager
def release_reservations(planned_runs: Sequence[PlannedRun]) -> Iterator[None]:
    """Record, when the block ends for any reason, that this process no longer trains these runs."""
    try:
        yield
    finally:
        # A disk takes as long for several files at once as for one.
        with ThreadPoolExecutor(_FILES_AT_ONCE) as executor:
            list(executor.map(_release, planned_runs))


def _release(planned: PlannedRun) -> None:
    with suppress(OSError):
        if (run := read_run(planned.directory)) is not None:
            _update(run, process={})


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
    """Write failure.json to a run's directory and the traceback to its log, unless the run has ended."""
    failure = {"kind": type(error).__name__, "message": (str(error).splitlines() or [""])[0], "again": typed_command()}
    if not (planned.directory / "summary.json").exists():
        with suppress(OSError):  # the error may be that nothing can be written
            write_atomically(planned.directory / "failure.json", json.dumps(failure, indent=2).encode())
            append_to_log(planned.directory, "".join(traceback.format_exception(error)).rstrip())
            for path in planned.directory.glob("events.out.tfevents.*"):
                from regexp.runs import event_file, session

                values = session.make_session(planned.job.config, planned.identity.data, "failed", time.time())
                event_file.EventFile(AppendedFile.read(path)).write(0, *values)
