"""The directories in which runs are trained: finished runs are found again, unfinished ones resume, nothing is lost.

This module imports no torch.
"""

import hashlib
import json
import secrets
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, field, replace
from pathlib import Path

from regexp.config.job import Job
from regexp.config.schema import source_arguments
from regexp.data.sources import locate
from regexp.errors import RunBusy, StorageError
from regexp.runs.directories import PlannedRun, ShorterRun, record_resumption, record_start
from regexp.runs.identity import Identity, identify
from regexp.runs.labels import make_labels
from regexp.runs.reserving.claims import Claim, Claims, find_holder
from regexp.runs.reserving.continuation import Progress, find_shorter_run
from regexp.runs.reserving.run_index import RunIndex, is_finished, is_set_aside, read_run
from regexp.runs.run import Run
from regexp.runs.sweep_record import SweepRecord
from regexp.utils.progress import track_progress
from regexp.utils.storage_errors import explain_storage_errors


def plan_runs(
    jobs: Sequence[Job],
    outputs: Path,
    claims: Claims | None = None,
    sweep: SweepRecord | None = None,
    labels: Sequence[str] = (),
) -> list[PlannedRun]:
    """Return a planned run for each job, in the order of the jobs; jobs with the same identity share one.

    A run that another process trains is left alone. All others that have not finished are claimed for this process. A
    run that cannot be stored leaves the others alone: the error becomes its `problem`.

    Args:
        jobs: the checked configurations.
        outputs: the directory that holds outputs/NAME/LABEL.
        claims: the claims of this process; None in a dry run, which looks for directories only, and writes nothing.
        sweep: the record of the sweep that the jobs belong to; None if they belong to none.
        labels: the labels of the runs, where they have been chosen before; none: they are chosen here.

    Raises:
        DataError: a data set is missing, or cannot be read or downloaded.
    """
    sources = {key: locate(*key) for key in {source_arguments(job.config) for job in jobs}}
    run_indices = {name: RunIndex(outputs / name) for name in {job.config.name for job in jobs}}
    forced = _find_forced_record(jobs, run_indices.values(), sweep)
    if sweep is not None and claims is not None:
        sweep.forced = forced
    labels = labels or (make_labels(jobs) if sweep is None else sweep.label(jobs))
    keys = []
    reservations: dict[tuple[str, Identity], Reservation] = {}
    for job, label in zip(track_progress(jobs, "identifying the runs"), labels, strict=True):
        name, identity = job.config.name, identify(job.config, sources[source_arguments(job.config)].fingerprint)
        keys.append((name, identity))
        if keys[-1] not in reservations:
            reservations[keys[-1]] = Reservation(job, identity, outputs / name, label, run_indices[name], forced)
    if claims is not None:
        for reservation in reservations.values():
            reservation.acquire(claims)
        if any(reservation.claim is not None for reservation in reservations.values()):
            # Before a run was claimed, another process may have finished it, or changed its directory.
            for run_index in run_indices.values():
                run_index.refresh()
    planned_by_key = {
        key: reservations[key].find() if claims is None else reservations[key].reserve(claims)
        for key in track_progress(list(reservations), "planning the runs")
    }
    return [planned_by_key[key] for key in keys]


def find_unfinished(planned_runs: Sequence[PlannedRun]) -> tuple[list[PlannedRun], list[Exception]]:
    """Return the runs to train, each once, and the errors of the runs that cannot be stored."""
    distinct_runs = dict.fromkeys(planned_runs)
    errors: list[Exception] = [planned.problem for planned in distinct_runs if planned.problem is not None]
    return [planned for planned in distinct_runs if planned.is_to_train], errors


def read_runs(planned_runs: Sequence[PlannedRun], some_failed: bool) -> list[Run]:
    """Return the runs in the directories of planned runs; those that failed may have left no directory."""
    if not some_failed:
        return [Run(planned.directory) for planned in planned_runs]
    return [run for planned in planned_runs if (run := read_run(planned.directory)) is not None]


def _find_forced_record(
    jobs: Sequence[Job], run_indices: Iterable[RunIndex], sweep: SweepRecord | None
) -> Mapping[str, str]:
    """Return what run.json records of a command with force=true that trains runs anew; empty without force=true.

    If such a command was interrupted and is typed again, it goes on: it gets its first record again, and the runs that
    finished under that record are not trained a second time. A command was interrupted if a run with its record has not
    finished.

    Args:
        jobs: the jobs.
        run_indices: the runs that are recorded.
        sweep: the record of the sweep that the jobs belong to; None if they belong to none.
    """
    if not any(job.config.force for job in jobs):
        return {}
    if sweep is not None and sweep.forced:
        return sweep.forced  # an earlier batch has found it
    # Without a command of several batches, the jobs stand for it: a notebook has one command line for all its calls.
    text = (sweep.command if sweep is not None else "") or json.dumps([job.overrides for job in jobs])
    command_hash = hashlib.sha256(text.encode(errors="surrogateescape")).hexdigest()[:16]
    for run_index in run_indices:
        for run in run_index.runs:
            forced = run.record.get("forced")
            if isinstance(forced, dict) and forced.get("command") == command_hash and not is_finished(run):
                return forced
    return {"command": command_hash, "id": secrets.token_hex(8)}


@dataclass
class Reservation:
    """The search for the directory of one job's run, and its reservation for this process.

    A run with the same identity is found whether or not it has finished, and if it has, also where it was set aside. A
    directory with other content is never overwritten: the label of the new run gets a short hash, or, where only the
    data or the code differ or `force` asks for it, the old directory is set aside. With `keep`, a finished run that
    other code trained is found as well, also where it was set aside.

    Attributes:
        job: the checked configuration.
        identity: the identity of the job.
        experiment: outputs/NAME, which holds the directories.
        label: the name of the directory that the run has if nothing else has it.
        run_index: the runs recorded there, by identity.
        forced: the record of the command, if it trains runs anew.
        claim: the claim on the run; None where it needs none, because it has finished and is only shown.
        trained_by: the process that trains the run at present, in words; empty if there is none but this one.
        problem: the error that prevents the run from being stored; None if nothing does.
    """

    job: Job
    identity: Identity
    experiment: Path
    label: str
    run_index: RunIndex
    forced: Mapping[str, str]
    claim: Claim | None = field(default=None, init=False)
    trained_by: str = field(default="", init=False)
    problem: StorageError | None = field(default=None, init=False)

    @property
    def labelled_directory(self) -> Path:
        """The directory that the run has if nothing else has its name."""
        return self.experiment / self.label

    def acquire(self, claims: Claims) -> None:
        """Claim the run, unless it has finished and is only shown, or another process trains it."""
        run, other_run = self._find_runs()
        shown_run = other_run if self.job.config.keep and other_run is not None else run
        if shown_run is not None and self._is_only_shown(shown_run) and not is_set_aside(shown_run.directory):
            return
        try:
            with explain_storage_errors(self.experiment):
                self.claim = claims.acquire(self.experiment, self.identity)
        except RunBusy as error:
            self.trained_by = str(error)
        except StorageError as error:
            self.problem = error

    def find(self) -> PlannedRun:
        """Return the planned run that `reserve` would return, without writing anything."""
        run, other_run = self._find_runs()
        trained_by = find_holder(self.experiment, self.identity)
        if other_run is not None and self.job.config.keep:
            return self._plan(other_run.directory, finished=True, other_code=_code_of(other_run))
        if run is not None and not self._is_trained_anew(run):
            return self._plan(run.directory, is_finished(run), trained_by=trained_by)
        directory = self.labelled_directory
        if directory.exists():
            directory = directory.with_name(f"{directory.name}-{self.identity.config[:6]}")
        planned = self._plan(directory, finished=False, other_code=_code_of(other_run), trained_by=trained_by)
        return replace(planned, shorter_run=self._find_shorter_run()[0])

    def reserve(self, claims: Claims) -> PlannedRun:
        """Reserve a directory for the run, or find the directory of the same run under another label."""
        try:
            if not self.trained_by and self.problem is None:
                planned = self._reserve(claims)
                return replace(planned, note="\n".join(self.run_index.take_notes()))
        except RunBusy as error:  # another run has the directory at present
            self.trained_by = str(error)
        except StorageError as error:
            self.problem = error
        run, _ = self._find_runs()
        directory = self.labelled_directory if run is None else run.directory
        planned = self._plan(directory, finished=False, trained_by=self.trained_by)
        return replace(planned, problem=self.problem)

    def _reserve(self, claims: Claims) -> PlannedRun:
        run, other_run = self._find_runs()
        run_index = self.run_index
        if other_run is not None and self.job.config.keep:
            return self._plan(
                run_index.put_back(other_run, claims).directory, finished=True, other_code=_code_of(other_run)
            )
        replaced_directory = None
        if other_run is not None:
            replaced_directory = run_index.set_aside(other_run.directory, claims)
        if run is not None and not self._is_trained_anew(run):
            run = run_index.put_back(run, claims)
            if is_finished(run):
                return self._plan(run.directory, finished=True)
            with explain_storage_errors(run.directory):
                record_resumption(run, self._forced_record())
            return self._plan(run.directory, finished=False)
        if run is not None:
            replaced_directory = run_index.set_aside(run.directory, claims)
        shorter_run, progress = self._find_shorter_run()
        directory = self._make_directory(claims, shorter_run, progress)
        planned = self._plan(directory, finished=False, other_code=_code_of(other_run))
        return replace(planned, replaced_directory=replaced_directory, shorter_run=shorter_run)

    def _find_shorter_run(self) -> tuple[ShorterRun | None, Progress | None]:
        if self.job.config.force:
            return None, None
        return find_shorter_run(self.job.config, self.identity, self.run_index)

    def _make_directory(self, claims: Claims, shorter_run: ShorterRun | None, progress: Progress | None) -> Path:
        """Make the directory of a run that starts, as a whole: another process sees all of it or nothing.

        Args:
            claims: the claims of this process.
            shorter_run: the finished run of fewer epochs, if there is one.
            progress: its progress, if the run goes on from it.
        """
        with explain_storage_errors(self.experiment):
            draft = claims.make_draft(self.experiment)
            try:
                if progress is None:
                    record_start(draft, self.job, self.identity, self._forced_record())
                else:
                    record_start(draft, self.job, self.identity, self._forced_record(), shorter_run)
                    progress.write(draft, self.job.config)
            except OSError as error:  # the user knows the directory by its label
                error.filename = str(error.filename).replace(str(draft), str(self.labelled_directory))
                raise
            while True:
                directory = self.run_index.free_directory(self.labelled_directory, self.identity.config, claims)
                try:
                    return draft.rename(directory)
                except OSError:
                    if not directory.exists():
                        raise
                    # Another process has just made a directory of this name.

    def _plan(self, directory: Path, finished: bool, other_code: str = "", trained_by: str = "") -> PlannedRun:
        return PlannedRun(
            self.job, self.identity, directory, finished, other_code, claim=self.claim, trained_by=trained_by
        )

    def _forced_record(self) -> Mapping[str, str]:
        return self.forced if self.job.config.force else {}

    def _is_trained_anew(self, run: Run) -> bool:
        """Return whether a recorded run is set aside and trained anew, because of force=true."""
        return self.job.config.force and is_finished(run) and run.record.get("forced") != self.forced

    def _is_only_shown(self, run: Run) -> bool:
        return is_finished(run) and not self._is_trained_anew(run)

    def _find_runs(self) -> tuple[Run | None, Run | None]:
        """Return the run with this identity, and a finished run that differs from it in the code alone.

        Returns:
            The run with this identity, finished or not, or None; and the run of other code, or None. The latter is
            always None where the run with this identity has finished or `force` is set, and without `keep` also where
            that run has begun.
        """
        config = self.job.config
        run = self.run_index.find(self.labelled_directory, self.identity, among_set_aside=not config.force)
        looks_for_other_code = run is None or (config.keep and not is_finished(run))
        if config.force or not looks_for_other_code:
            return run, None
        return run, self.run_index.find_trained_by_other_code(self.identity, among_set_aside=config.keep)


def _code_of(run: Run | None) -> str:
    """Return the hash of the code that trained a run; "" without a run."""
    return "" if run is None else str(run.record["identity"]["code"])
