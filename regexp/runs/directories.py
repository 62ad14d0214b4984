"""Which folder a run gets: nothing finished is repeated, nothing stored is lost. Imports no torch."""

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
    """A folder for a job.

    Attributes:
        finished: the run in it has ended, and is only to be shown.
    """

    job: Job
    identity: Identity
    directory: Path
    finished: bool


def plan_runs(jobs: Sequence[Job], outputs: Path, dry: bool = False) -> list[PlannedRun]:
    """A claim for each job; jobs that are the same run share one.

    Args:
        outputs: folder that holds outputs/NAME/LABEL.
        dry: only look; write nothing.

    Raises as `claim`, and DataError.
    """
    sources = {key: locate(*key) for key in {data_source(job.config) for job in jobs}}
    known = {name: _runs_by_identity(outputs / name) for name in {job.config.name for job in jobs}}
    claims: dict[tuple[str, Identity], PlannedRun] = {}
    keys = []
    for job in progress(jobs, "recording what will be trained"):
        identity = identify(job.config, sources[data_source(job.config)].fingerprint)
        keys.append((job.config.name, identity))
        if keys[-1] not in claims:
            look_or_claim = find_directory if dry else reserve_directory
            claims[keys[-1]] = look_or_claim(job, identity, outputs, known[job.config.name])
    return [claims[key] for key in keys]


# The runs in a folder, by their identity.
RunsByIdentity = dict[Identity, Run]


def _runs_by_identity(folder: Path) -> RunsByIdentity:
    found: RunsByIdentity = {}
    for run in find_runs(folder):
        if (identity := _identity(run)) is not None:
            found.setdefault(identity, run)
    return found


def find_directory(job: Job, identity: Identity, outputs: Path, known: RunsByIdentity) -> PlannedRun:
    """What `claim` would find; nothing is written."""
    own = outputs / job.config.name / label(job.overrides)
    same = _same(own, identity, known)
    if same is not None and not job.config.force:
        return PlannedRun(job, identity, same.directory, _finished(same))
    return PlannedRun(job, identity, own.with_name(f"{own.name}-{identity.config[:6]}") if own.exists() else own, False)


def reserve_directory(job: Job, identity: Identity, outputs: Path, known: RunsByIdentity) -> PlannedRun:
    """The folder outputs/NAME/LABEL for a job, or that of the same run, finished or not, under another label.

    A folder of other content is never touched: the newcomer's label gets a short hash, or, where only data or code
    differ or `force` asks for it, the old folder is set aside.

    Raises:
        RunError: another process is training this very run.
        StorageError: the folder cannot be written.
    """
    own = outputs / job.config.name / label(job.overrides)
    if (same := _same(own, identity, known)) is not None:
        finished = _finished(same)
        _leave_alone_if_busy(same)
        if not job.config.force:
            found = PlannedRun(job, identity, same.directory, finished)
            return found if finished else _record(found)
        _set_aside(same.directory, known)
    if own.exists():
        other = _readable(own)
        if other is None or other.record.get("identity", {}).get("config") in (None, identity.config):
            _set_aside(own, known)
        else:
            own = own.with_name(f"{own.name}-{identity.config[:6]}")
            if own.exists():
                _set_aside(own, known)
    return _record(PlannedRun(job, identity, own, finished=False))


def _record(planned: PlannedRun) -> PlannedRun:
    """Write what a run is before it starts: .hydra/ and run.json. One that goes on keeps what was written first."""
    job, directory = planned.job, planned.directory
    run = _readable(directory)
    now = time.strftime("%Y-%m-%dT%H:%M:%S%z")
    with storage_errors(directory):
        if run is not None:
            _update(run, resumed=[*run.record.get("resumed", []), now], process=this_process())
            return planned
        (directory / ".hydra").mkdir(parents=True, exist_ok=True)
        for name, document in job.documents().items():
            (directory / ".hydra" / name).write_text(document)
        facts = {
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
        write_atomically(directory / "run.json", json.dumps(facts, indent=2).encode())
    return planned


@cache
def _versions() -> dict[str, str]:
    return {name: version(name) for name in ("regexp", "torch", "torchvision", "hydra-core", "tensorboard")}


def _update(run: Run, **facts: Any) -> None:
    write_atomically(run.directory / "run.json", json.dumps({**run.record, **facts}, indent=2).encode())


@contextmanager
def reservations_released(claims: Sequence[PlannedRun]) -> Iterator[None]:
    """Whatever ends what is inside, this process no longer trains these runs."""
    try:
        yield
    finally:
        for planned in claims:
            with suppress(OSError):
                if (run := _readable(planned.directory)) is not None:
                    _update(run, process={})


@contextmanager
def recording_failure(claims: Iterable[PlannedRun]) -> Iterator[None]:
    """If an error ends what is inside, leave failure.json in the folders of the runs that have not ended."""
    try:
        yield
    except Exception as error:
        for planned in claims:
            record_failure(planned, error)
        raise


def record_failure(planned: PlannedRun, error: Exception) -> None:
    """Leave failure.json in a run's folder, and the traceback in its log; not where it has ended."""
    failure = {"kind": type(error).__name__, "message": (str(error).splitlines() or [""])[0], "again": command()}
    if not (planned.directory / "summary.json").exists():
        with suppress(OSError):  # the error may be that nothing can be written
            write_atomically(planned.directory / "failure.json", json.dumps(failure, indent=2).encode())
            log(planned.directory, "".join(traceback.format_exception(error)).rstrip())
            for path in planned.directory.glob("events.out.tfevents.*"):
                from regexp.runs import event_file

                event_file.EventFile(path).write(0, event_file.session_end(success=False))


def _same(own: Path, identity: Identity, known: RunsByIdentity) -> Run | None:
    """The run of this identity, looked for under its own label first."""
    run = _readable(own)
    return run if run is not None and _identity(run) == identity else known.get(identity)


def _identity(run: Run) -> Identity | None:
    try:
        return Identity(**run.record["identity"])
    except (KeyError, TypeError):
        return None


def _readable(directory: Path) -> Run | None:
    try:
        return Run(directory)
    except RunError:
        return None


def _finished(run: Run) -> bool:
    """Whether a run's end was recorded; what cannot be read was not, and is recorded again from its checkpoint."""
    try:
        return run.summary is not None
    except RunError:
        return False


def _leave_alone_if_busy(run: Run) -> None:
    """Raises RunError if another process is training a run."""
    process = run.record.get("process", {})
    if not _finished(run) and is_alive(process):
        raise RunError(f"{run.directory} is being trained by process {process['pid']}; wait for it, or stop it")


def _set_aside(directory: Path, known: RunsByIdentity) -> None:
    """Rename a folder, so that its name is free. Raises RunError if another process works in it."""
    if (run := _readable(directory)) is not None:
        _leave_alone_if_busy(run)
    stamp = f"{directory}.old-{time.strftime('%Y%m%d-%H%M%S')}"
    target, count = Path(stamp), 1
    while target.exists():
        count += 1
        target = Path(f"{stamp}-{count}")
    with storage_errors(directory):
        directory.rename(target)
    for identity in [identity for identity, run in known.items() if run.directory == directory]:
        del known[identity]
