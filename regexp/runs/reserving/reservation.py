"""The search for the directory of a run, and its reservation for this process. Imports no torch."""

from collections.abc import Callable, Mapping
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import Any

from regexp.config.job import Job
from regexp.config.schema import flatten
from regexp.errors import RunBusy, RunError, StorageError
from regexp.runs.directories import OutdatedRun, PlannedRun, ShorterRun, record_resumption, record_start
from regexp.runs.identity import Identity, data_paths
from regexp.runs.reserving.asked_measures import add_asked, ask_also, list_asked
from regexp.runs.reserving.claims import Claim, Claims, find_holder
from regexp.runs.reserving.continuation import Progress, find_shorter_run
from regexp.runs.reserving.missing_measures import find_obstacle, lacks_measures
from regexp.runs.reserving.run_index import RunIndex, is_finished, is_set_aside
from regexp.runs.reserving.tagging import add_tags
from regexp.runs.run import Run
from regexp.utils.messages import first_line
from regexp.utils.storage_errors import explain_storage_errors


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
        read_commit: a function that returns the commit of the repository in which the command was typed; None without.
        queued_as: the job of a queue that trains, or will train, the run, in words; empty if there is none.
        tags: the tags that the run gets, of all jobs that are this run; a dictionary without values.
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
    read_commit: Callable[[], Mapping[str, Any] | None]
    queued_as: str = ""
    tags: dict[str, None] = field(default_factory=dict, init=False)
    claim: Claim | None = field(default=None, init=False)
    trained_by: str = field(default="", init=False)
    problem: StorageError | None = field(default=None, init=False)

    @property
    def labelled_directory(self) -> Path:
        """The directory that the run has if nothing else has its name."""
        return self.experiment / self.label

    def acquire(self, claims: Claims) -> None:
        """Claim the run, unless it has finished and is only shown, or another process or a job trains it."""
        if self.queued_as:
            return
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
        if self.queued_as:
            return self._plan_queued()
        run, other_run = self._find_runs()
        trained_by = find_holder(self.experiment, self.identity)
        if other_run is not None and self.job.config.keep:
            return self._plan(other_run.directory, finished=True, other_code=_code_of(other_run))
        if run is not None and not self._is_trained_anew(run):
            planned = self._plan_recorded(run)
            new_tags = tuple(tag for tag in self.tags if tag not in run.tags) if planned.finished else ()
            return replace(planned, new_tags=new_tags, trained_by=trained_by)
        directory = self.labelled_directory
        if directory.exists():
            directory = directory.with_name(f"{directory.name}-{self.identity.config[:6]}")
        planned = self._plan(directory, finished=False, other_code=_code_of(other_run), trained_by=trained_by)
        outdated_run = self._find_outdated_run(other_run)
        return replace(planned, shorter_run=self._find_shorter_run()[0], outdated_run=outdated_run)

    def reserve(self, claims: Claims) -> PlannedRun:
        """Reserve a directory for the run, or find the directory of the same run under another label."""
        if self.queued_as:
            return self._plan_queued()
        try:
            if not self.trained_by and self.problem is None:
                planned = self._reserve(claims)
                if planned.finished and self.tags:
                    planned = self._add_tags(planned, claims)
                return replace(planned, note="\n".join([*self.run_index.take_notes(), *filter(None, [planned.note])]))
        except RunBusy as error:  # another run has the directory at present
            self.trained_by = str(error)
        except StorageError as error:
            self.problem = error
        run, _ = self._find_runs()
        directory = self.labelled_directory if run is None else run.directory
        planned = self._plan(directory, finished=False, trained_by=self.trained_by)
        return replace(planned, problem=self.problem)

    def _plan_queued(self) -> PlannedRun:
        """Return the planned run of a job that waits in a queue or trains; the run may have ended in the meantime."""
        run, _ = self._find_runs()
        planned = self._plan(self.labelled_directory, False) if run is None else self._plan_recorded(run)
        return replace(planned, queued_as="" if planned.finished else self.queued_as)

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
            planned = self._plan_recorded(run)
            if not planned.finished:
                with explain_storage_errors(run.directory):
                    record_resumption(run, self._forced_record(), self.tags, add_asked(run.record, planned.job))
            return planned
        if run is not None:
            replaced_directory = run_index.set_aside(run.directory, claims)
        outdated_run = self._find_outdated_run(other_run)
        if outdated_run is not None and outdated_run.finished:
            replaced_directory = run_index.set_aside(outdated_run.directory, claims)
        shorter_run, progress = self._find_shorter_run()
        directory = self._make_directory(claims, shorter_run, progress)
        planned = self._plan(directory, finished=False, other_code=_code_of(other_run))
        return replace(
            planned, replaced_directory=replaced_directory, shorter_run=shorter_run, outdated_run=outdated_run
        )

    def _find_outdated_run(self, other_run: Run | None) -> OutdatedRun | None:
        """Return the run in whose place this one is trained, but for a finished one of other code."""
        if self.job.config.force or other_run is not None:
            return None
        return self.run_index.find_outdated(self.identity, data_paths(flatten(self.job.config)))

    def _find_shorter_run(self) -> tuple[ShorterRun | None, Progress | None]:
        if self.job.config.force:
            return None, None
        return find_shorter_run(self.job.config, self.identity, self.run_index)

    def _add_tags(self, planned: PlannedRun, claims: Claims) -> PlannedRun:
        """Add the tags of the command to a finished run, which lacks some."""
        try:
            new_tags = add_tags(planned.directory, self.tags, claims)
        except (RunError, OSError) as error:  # it can be shown all the same, from a disk that is read-only too
            return replace(planned, note=f"{planned.directory} does not get its new tags: {first_line(error)}")
        return replace(planned, new_tags=new_tags)

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
                record_start(
                    draft, self.job, self.identity, self._make_entries(None if progress is None else shorter_run)
                )
                if progress is not None:
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

    def _make_entries(self, origin: ShorterRun | None) -> dict[str, Any]:
        """Return what run.json of a run that starts records of the command, and of the run from which it goes on."""
        entries: dict[str, Any] = {"tags": list(self.tags)}
        if (commit := self.read_commit()) is not None:
            entries["git"] = commit
        if forced := self._forced_record():
            entries["forced"] = dict(forced)
        if origin is not None:
            entries["continues"] = {"directory": origin.directory.name, "epoch": origin.epoch}
        return entries

    def _plan(self, directory: Path, finished: bool, other_code: str = "", trained_by: str = "") -> PlannedRun:
        return PlannedRun(
            self.job, self.identity, directory, finished, other_code, claim=self.claim, trained_by=trained_by
        )

    def _plan_recorded(self, run: Run) -> PlannedRun:
        """Return the planned run that a recorded one is: it is shown, it resumes, or more is measured of it."""
        planned = self._plan(run.directory, is_finished(run))
        if not planned.finished:  # what the command asked for that began it is not forgotten
            return replace(planned, job=ask_also(self.job, list_asked(run.config)))
        if not lacks_measures(self.job.config, run):
            return planned
        obstacle = find_obstacle(run)
        return replace(planned, finished=obstacle != "", adds_measures=obstacle == "", unmeasured=obstacle)

    def _forced_record(self) -> Mapping[str, str]:
        return self.forced if self.job.config.force else {}

    def _is_trained_anew(self, run: Run) -> bool:
        """Return whether a recorded run is set aside and trained anew, because of force=true."""
        return self.job.config.force and is_finished(run) and run.record.get("forced") != self.forced

    def _is_only_shown(self, run: Run) -> bool:
        return not self._is_trained_anew(run) and self._plan_recorded(run).finished

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
